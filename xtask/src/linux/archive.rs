//! Archives of the kind that Linux unpacks at its start (`newc`).

/// An archive that grows by a member at a time.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    members: u32,
}

impl Archive {
    /// Adds a folder; those above it are there.
    pub(crate) fn folder(&mut self, name: &str) {
        self.member(name, 0o40_755, &[]);
    }

    /// Adds a file that can be run.
    pub(crate) fn program(&mut self, name: &str, data: &[u8]) {
        self.member(name, 0o100_755, data);
    }

    /// The whole.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.members = 0;
        self.member("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn member(&mut self, name: &str, mode: u32, data: &[u8]) {
        let bytes = &mut self.bytes;
        let (size, name_size) = (data.len() as u32, name.len() as u32 + 1);
        bytes.extend(b"070701");
        for field in [self.members, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            bytes.extend(format!("{field:08X}").bytes());
        }
        bytes.extend(name.bytes().chain([0]));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.members += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn the_archive_is_one_that_cpio_reads() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.program("bench-posix", b"program");
        let bytes = archive.finish();
        assert!(bytes.len().is_multiple_of(4));
        assert_eq!(bytes.windows(6).filter(|window| window == b"070701").count(), 3);
        let at = bytes.windows(11).position(|window| window == b"bench-posix").unwrap();
        // 110 bytes of head and 12 of name are 122, and data starts at a multiple of 4.
        assert_eq!(&bytes[at + 14..at + 21], b"program");
        assert_eq!(&bytes[at - 110 + 54..at - 110 + 62], b"00000007", "the size");
    }
}
