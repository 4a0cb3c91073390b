//! What a cached metadata block is: how it is checked when it is read, and sealed when it leaves.
use crate::checksum::crc32c;
use crate::error::{Error, Result};
use crate::layout::bytes::{put_u32, u32_at, u64_at};
use crate::layout::superblock::Superblock;
use crate::layout::{attributes, directory, extent, htree, inode, superblock};
use crate::zones::Zones;

/// The role of a block. Those of an inode carry its checksum seed, so that a block that two inodes
/// claim is checked against each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing is known of the contents: a slow symbolic link, a block of pointers.
    Plain,
    /// The block that holds the superblock.
    Superblock,
    /// Group descriptors; the index among the descriptor blocks.
    Descriptors(u32),
    /// The block bitmap of a group.
    BlockBitmap(u32),
    /// The inode bitmap of a group.
    InodeBitmap(u32),
    /// A block of an inode table; the first inode's number.
    Inodes(u32),
    /// A node of an extent tree.
    Extents(u32),
    /// Entries of a directory.
    Entries(u32),
    /// The root of a directory's index.
    IndexRoot(u32),
    /// Another node of a directory's index.
    IndexNode(u32),
    /// Extended attributes.
    Attributes,
    /// A block of the orphan file.
    Orphans(u32),
}

/// What checking and sealing needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) has_checksums: bool,
    pub(crate) seed: u32,
    pub(crate) directory: directory::Encoding,
    pub(crate) inodes: u32,
    pub(crate) inode_size: usize,
    pub(crate) superblock: Superblock,
    /// Blocks that no file has.
    pub(crate) zones: Zones,
}

const ORPHAN_MAGIC: u32 = 0x0b10_ca04;

impl Rules {
    /// Whether a run of blocks can be a file's.
    pub(crate) fn can_be_files(&self, start: u64, len: u64) -> bool {
        self.superblock.contains(start, len) && !self.zones.touches(start, len)
    }

    /// Fails if a block that was read cannot be what it should be.
    pub(crate) fn check(&self, kind: Kind, block: u64, bytes: &[u8]) -> Result<()> {
        match self.defect(kind, block, bytes) {
            Some(what) => Err(Error::corrupt_block(what, block)),
            None => Ok(()),
        }
    }

    fn defect(&self, kind: Kind, block: u64, bytes: &[u8]) -> Option<&'static str> {
        match kind {
            // Bitmaps are checked against their group, inodes one by one, by who reads them.
            Kind::Plain
            | Kind::Superblock
            | Kind::Descriptors(_)
            | Kind::BlockBitmap(_)
            | Kind::InodeBitmap(_)
            | Kind::Inodes(_) => None,
            Kind::Extents(seed) => self.extent_defect(seed, bytes),
            Kind::Entries(seed) => self.entries_defect(seed, bytes),
            Kind::IndexRoot(seed) => self.index_defect(seed, htree::Role::Root, bytes),
            Kind::IndexNode(seed) => self.index_defect(seed, htree::Role::Inner, bytes),
            Kind::Attributes => self.attributes_defect(block, bytes),
            Kind::Orphans(seed) => self.orphans_defect(seed, block, bytes),
        }
    }

    fn extent_defect(&self, seed: u32, bytes: &[u8]) -> Option<&'static str> {
        let contains = |start, len| self.can_be_files(start, len);
        extent::defect(bytes, contains).or_else(|| {
            let intact = !self.has_checksums || extent::is_intact(bytes, seed);
            (!intact).then_some("extent node checksum")
        })
    }

    fn entries_defect(&self, seed: u32, bytes: &[u8]) -> Option<&'static str> {
        if self.has_checksums && !directory::is_intact(bytes, seed) {
            return Some("directory block checksum");
        }
        directory::defect(bytes, self.directory, self.inodes)
    }

    fn index_defect(&self, seed: u32, role: htree::Role, bytes: &[u8]) -> Option<&'static str> {
        htree::defect(bytes, role, self.has_checksums).or_else(|| {
            let intact = !self.has_checksums || htree::is_intact(bytes, role, seed);
            (!intact).then_some("directory index checksum")
        })
    }

    fn attributes_defect(&self, block: u64, bytes: &[u8]) -> Option<&'static str> {
        if u32_at(bytes, 0) != attributes::MAGIC || u32_at(bytes, 8) != 1 {
            return Some("attribute block header");
        }
        let intact = !self.has_checksums || u32_at(bytes, 16) == self.attributes_crc(block, bytes);
        (!intact).then_some("attribute block checksum")
    }

    fn attributes_crc(&self, block: u64, bytes: &[u8]) -> u32 {
        let crc = crc32c(crc32c(self.seed, &block.to_le_bytes()), &bytes[..16]);
        crc32c(crc32c(crc, &[0; 4]), &bytes[20..])
    }

    fn orphans_defect(&self, seed: u32, block: u64, bytes: &[u8]) -> Option<&'static str> {
        let tail = bytes.len() - 8;
        if u32_at(bytes, tail) != ORPHAN_MAGIC {
            return Some("orphan file block");
        }
        let intact =
            !self.has_checksums || u32_at(bytes, tail + 4) == orphans_crc(seed, block, bytes);
        (!intact).then_some("orphan file checksum")
    }

    /// Brings the checksums of a block up to date; `changed` has a bit per inode of a table block.
    pub(crate) fn seal(&self, kind: Kind, block: u64, bytes: &mut [u8], changed: u64) {
        if kind == Kind::Superblock {
            let at = superblock::OFFSET % bytes.len();
            superblock::seal(&mut bytes[at..at + superblock::SIZE]);
        }
        if !self.has_checksums {
            return;
        }
        match kind {
            Kind::Inodes(first) => self.seal_inodes(first, bytes, changed),
            Kind::Extents(seed) => extent::seal(bytes, seed),
            Kind::Entries(seed) => directory::seal(bytes, seed),
            Kind::IndexRoot(seed) => htree::seal(bytes, htree::Role::Root, seed),
            Kind::IndexNode(seed) => htree::seal(bytes, htree::Role::Inner, seed),
            Kind::Attributes => {
                let crc = self.attributes_crc(block, bytes);
                put_u32(bytes, 16, crc);
            }
            Kind::Orphans(seed) => {
                let (crc, at) = (orphans_crc(seed, block, bytes), bytes.len() - 4);
                put_u32(bytes, at, crc);
            }
            // Sealed with their group, or without a checksum.
            Kind::Plain
            | Kind::Superblock
            | Kind::Descriptors(_)
            | Kind::BlockBitmap(_)
            | Kind::InodeBitmap(_) => {}
        }
    }

    fn seal_inodes(&self, first: u32, bytes: &mut [u8], changed: u64) {
        for (index, raw) in bytes.chunks_exact_mut(self.inode_size).enumerate() {
            // An inode that was never used stays all zero.
            if changed >> index & 1 != 0 && u64_at(raw, 0) | u64_at(raw, 8) != 0 {
                inode::seal(raw, self.seed, first + index as u32);
            }
        }
    }
}

fn orphans_crc(seed: u32, block: u64, bytes: &[u8]) -> u32 {
    let crc = crc32c(seed, &block.to_le_bytes());
    crc32c(crc, &bytes[..bytes.len() - 8])
}
