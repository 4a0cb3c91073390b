//! An archive of many small files, for `tar x` and `rm -r`.

/// Files in it.
pub(super) const FILES: u64 = 20_000;
/// Folders that hold them, all in one.
const FOLDERS: u64 = 400;
/// Sizes of files: from and below.
const SIZES: (u64, u64) = (200, 9_000);
const BLOCK: usize = 512;

/// The archive, in the format that every `tar` reads (`ustar`). The same bytes each time.
pub(super) fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    header(&mut bytes, "tree/", 0, b'5');
    let mut state = 88_172_645_463_325_252_u64;
    for folder in 0..FOLDERS {
        header(&mut bytes, &format!("tree/folder-{folder:03}/"), 0, b'5');
        for file in 0..FILES / FOLDERS {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let size = SIZES.0 + state % (SIZES.1 - SIZES.0);
            header(&mut bytes, &format!("tree/folder-{folder:03}/file-{file:02}"), size, b'0');
            bytes.resize(bytes.len() + size as usize, b'a' + (state % 26) as u8);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

fn header(bytes: &mut Vec<u8>, name: &str, size: u64, kind: u8) {
    let mut block = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, if kind == b'5' { "0000755" } else { "0000644" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "14000000000");
    // The sum is made with spaces in its own place.
    put(148, "        ");
    put(257, "ustar");
    put(263, "00");
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend(block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_tar_lists() {
        let file = std::env::temp_dir().join(format!("serix-tree-{}.tar", std::process::id()));
        std::fs::write(&file, archive()).unwrap();
        let output = std::process::Command::new("tar").arg("-tvf").arg(&file).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(listed.lines().count() as u64, 1 + FOLDERS + FILES);
        assert_eq!(listed.lines().filter(|line| line.starts_with("drwxr-xr-x")).count(), 401);
    }
}
