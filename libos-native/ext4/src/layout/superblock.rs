//! The superblock, and what it says about the geometry.
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use super::features::{Features, compatible, incompatible, read_only};
use crate::checksum::crc32c;
use crate::error::Error;

/// Byte offset of the superblock in the device.
pub(crate) const OFFSET: usize = 1024;
/// Bytes in the superblock.
pub(crate) const SIZE: usize = 1024;

const MAGIC: u16 = 0xef53;
const CHECKSUM: usize = 0x3fc;
/// The file system was unmounted, or has a journal.
pub(crate) const STATE_VALID: u16 = 1;
/// A contradiction was found: a check is due.
pub(crate) const STATE_ERROR: u16 = 2;

/// What of the superblock never changes while mounted.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    pub(crate) features: Features,
    pub(crate) block_size: usize,
    pub(crate) blocks: u64,
    pub(crate) reserved_blocks: u64,
    pub(crate) inodes: u32,
    pub(crate) first_data_block: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) inode_size: usize,
    pub(crate) first_inode: u32,
    pub(crate) descriptor_size: usize,
    pub(crate) reserved_descriptor_blocks: u16,
    pub(crate) first_meta_group: u32,
    pub(crate) flex_shift: u8,
    pub(crate) backup_groups: [u32; 2],
    pub(crate) uuid: [u8; 16],
    pub(crate) checksum_seed: u32,
    pub(crate) hash_seed: [u32; 4],
    pub(crate) hash_version: u8,
    pub(crate) hash_unsigned: bool,
    pub(crate) want_extra_size: u16,
    pub(crate) journal_inode: u32,
    pub(crate) orphan_file: u32,
    pub(crate) state: u16,
}

/// What of the superblock changes with use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changing {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u32,
    pub(crate) last_orphan: u32,
    pub(crate) orphan_present: bool,
}

fn wide(bytes: &[u8], low: usize, high: usize, is_64bit: bool) -> u64 {
    let high = if is_64bit { u32_at(bytes, high) } else { 0 };
    u64::from(high) << 32 | u64::from(u32_at(bytes, low))
}

/// CRC over all but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c(!0, &bytes[..CHECKSUM])
}

impl Superblock {
    /// Reads and checks a superblock of [`SIZE`] bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let superblock = Self::parse_torn(bytes)?;
        if superblock.has_checksums() && u32_at(bytes, CHECKSUM) != checksum(bytes) {
            return Err(TORN);
        }
        Ok(superblock)
    }

    /// As [`Self::parse`], whatever the checksum says.
    pub(crate) fn parse_torn(bytes: &[u8]) -> Result<Self, Error> {
        if u16_at(bytes, 0x38) != MAGIC {
            return Err(Error::NotExt4);
        }
        let features = Features {
            compatible: u32_at(bytes, 0x5c),
            incompatible: u32_at(bytes, 0x60),
            read_only: u32_at(bytes, 0x64),
        };
        features.check_readable()?;
        let superblock = Self::fields(bytes, features)?;
        superblock.check()?;
        Ok(superblock)
    }

    fn fields(bytes: &[u8], features: Features) -> Result<Self, Error> {
        let is_64bit = features.incompatible(incompatible::BIT64);
        let dynamic = u32_at(bytes, 0x4c) >= 1;
        let shift = u32_at(bytes, 0x18);
        if shift > 2 {
            return Err(Error::Unsupported("block size above 4096"));
        }
        let uuid: [u8; 16] = bytes[0x68..0x78].try_into().unwrap_or_default();
        let seeded = features.incompatible(incompatible::CSUM_SEED);
        Ok(Self {
            features,
            block_size: 1024 << shift,
            blocks: wide(bytes, 0x4, 0x150, is_64bit),
            reserved_blocks: wide(bytes, 0x8, 0x154, is_64bit),
            inodes: u32_at(bytes, 0),
            first_data_block: u32_at(bytes, 0x14),
            blocks_per_group: u32_at(bytes, 0x20),
            inodes_per_group: u32_at(bytes, 0x28),
            inode_size: if dynamic { u16_at(bytes, 0x58).into() } else { 128 },
            first_inode: if dynamic { u32_at(bytes, 0x54) } else { 11 },
            descriptor_size: if is_64bit { u16_at(bytes, 0xfe).into() } else { 32 },
            reserved_descriptor_blocks: u16_at(bytes, 0xce),
            first_meta_group: u32_at(bytes, 0x104),
            flex_shift: if features.incompatible(incompatible::FLEX_BG) { bytes[0x174] } else { 0 },
            backup_groups: [u32_at(bytes, 0x24c), u32_at(bytes, 0x250)],
            uuid,
            checksum_seed: if seeded { u32_at(bytes, 0x270) } else { crc32c(!0, &uuid) },
            hash_seed: core::array::from_fn(|index| u32_at(bytes, 0xec + index * 4)),
            hash_version: bytes[0xfc],
            hash_unsigned: u32_at(bytes, 0x160) & 2 != 0,
            want_extra_size: u16_at(bytes, 0x15e).max(u16_at(bytes, 0x15c)),
            journal_inode: u32_at(bytes, 0xe0),
            orphan_file: u32_at(bytes, 0x280),
            state: u16_at(bytes, 0x3a),
        })
    }

    /// Fails unless every later computation on the geometry stays in bounds.
    fn check(&self) -> Result<(), Error> {
        let bits = self.block_size * 8;
        let per_block = self.block_size / self.inode_size.max(1);
        let sound = self.inode_size.is_power_of_two()
            && (128..=self.block_size).contains(&self.inode_size)
            && self.descriptor_size.is_power_of_two()
            && (32..=1024).contains(&self.descriptor_size)
            && self.first_data_block == u32::from(self.block_size == 1024)
            && self.blocks > u64::from(self.first_data_block)
            && self.blocks < 1 << 48
            && self.blocks_per_group.is_multiple_of(8)
            && (8..=bits).contains(&(self.blocks_per_group as usize))
            && self.inodes_per_group.is_multiple_of(8)
            && (8..=bits).contains(&(self.inodes_per_group as usize))
            && (self.inodes_per_group as usize).is_multiple_of(per_block)
            && self.flex_shift < 32
            && (1..=0xffff).contains(&self.first_inode)
            && u64::from(self.inodes) == self.group_count() * u64::from(self.inodes_per_group);
        if sound { Ok(()) } else { Err(bad("superblock geometry")) }
    }

    /// Whether what never changes is as in a backup.
    pub(crate) fn is_like(&self, backup: &Self) -> bool {
        let key = |one: &Self| {
            (
                (one.blocks, one.inodes, one.block_size, one.inode_size, one.uuid),
                (one.blocks_per_group, one.inodes_per_group, one.descriptor_size),
                (one.checksum_seed, one.hash_seed, one.journal_inode, one.orphan_file),
                one.features.incompatible & !incompatible::RECOVER,
                one.features.read_only & !(read_only::ORPHAN_PRESENT | read_only::LARGE_FILE),
            )
        };
        key(self) == key(backup)
    }

    pub(crate) fn group_count(&self) -> u64 {
        (self.blocks - u64::from(self.first_data_block)).div_ceil(self.blocks_per_group.into())
    }

    pub(crate) fn has_checksums(&self) -> bool {
        self.features.read_only(read_only::METADATA_CSUM)
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.features.compatible(compatible::HAS_JOURNAL)
    }

    /// First block of a group.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Blocks in a group: the last one may be short.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        let left = self.blocks - self.group_start(group);
        left.min(self.blocks_per_group.into()) as u32
    }

    /// Group and bit of a block.
    pub(crate) fn group_of(&self, block: u64) -> (u32, u32) {
        let index = block - u64::from(self.first_data_block);
        let size = u64::from(self.blocks_per_group);
        ((index / size) as u32, (index % size) as u32)
    }

    /// Whether `len` blocks from `start` on can hold a file's blocks.
    pub(crate) fn contains(&self, start: u64, len: u64) -> bool {
        start > u64::from(self.first_data_block)
            && start.checked_add(len).is_some_and(|end| end <= self.blocks)
    }

    /// Whether a group begins with a copy of the superblock.
    pub(crate) fn has_backup(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.features.compatible(compatible::SPARSE_SUPER2) {
            return self.backup_groups.contains(&group);
        }
        let sparse = self.features.read_only(read_only::SPARSE_SUPER);
        !sparse || group == 1 || [3, 5, 7].into_iter().any(|base| is_power(group, base))
    }

    /// Descriptors in a block.
    pub(crate) fn descriptors_per_block(&self) -> u32 {
        (self.block_size / self.descriptor_size) as u32
    }

    /// Blocks that hold all descriptors.
    pub(crate) fn descriptor_blocks(&self) -> u32 {
        self.group_count().div_ceil(self.descriptors_per_block().into()) as u32
    }

    fn is_meta(&self, descriptor_block: u32) -> bool {
        self.features.incompatible(incompatible::META_BG)
            && descriptor_block >= self.first_meta_group
    }

    /// Where a block of descriptors lies.
    pub(crate) fn descriptor_block(&self, index: u32) -> u64 {
        if !self.is_meta(index) {
            return u64::from(self.first_data_block) + 1 + u64::from(index);
        }
        let group = index * self.descriptors_per_block();
        self.group_start(group) + u64::from(self.has_backup(group))
    }

    /// Blocks at the start of a group that hold copies of superblock and descriptors.
    pub(crate) fn backup_blocks(&self, group: u32) -> u32 {
        let backup = u32::from(self.has_backup(group));
        let per_block = self.descriptors_per_block();
        if self.is_meta(group / per_block) {
            let holds = [0, 1, per_block - 1].contains(&(group % per_block));
            return backup + u32::from(holds);
        }
        let meta = self.features.incompatible(incompatible::META_BG);
        let old = if meta { self.first_meta_group } else { self.descriptor_blocks() };
        backup * (1 + old + u32::from(self.reserved_descriptor_blocks))
    }

    /// The largest size of a file that is mapped by extents, or by indirect blocks.
    pub(crate) fn max_file_size(&self, extents: bool) -> u64 {
        let block = self.block_size as u64;
        if extents {
            return u64::from(u32::MAX) * block;
        }
        let pointers = block / 4;
        let mapped = 12 + pointers + pointers * pointers + pointers * pointers * pointers;
        // i_blocks counts sectors in 32 bits unless huge_file is set.
        let huge = self.features.read_only(read_only::HUGE_FILE);
        let counted = if huge { u64::MAX } else { (u64::from(u32::MAX) - 0x1_0000) * 512 };
        (mapped * block).min(counted).min(u64::from(u32::MAX) * block)
    }
}

fn is_power(mut number: u32, base: u32) -> bool {
    while number.is_multiple_of(base) {
        number /= base;
    }
    number == 1
}

/// The superblock's checksum is wrong: it may have been torn by a power failure.
pub(crate) const TORN: Error = Error::corrupt_block("superblock checksum", 0);

fn bad(what: &'static str) -> Error {
    Error::corrupt_block(what, 0)
}

impl Changing {
    pub(crate) fn parse(bytes: &[u8], features: Features) -> Self {
        let is_64bit = features.incompatible(incompatible::BIT64);
        Self {
            free_blocks: wide(bytes, 0xc, 0x158, is_64bit),
            free_inodes: u32_at(bytes, 0x10),
            last_orphan: u32_at(bytes, 0xe8),
            orphan_present: features.read_only(read_only::ORPHAN_PRESENT),
        }
    }

    /// Stores the values in a superblock of [`SIZE`] bytes.
    pub(crate) fn store(&self, bytes: &mut [u8]) {
        put_u32(bytes, 0xc, self.free_blocks as u32);
        if u32_at(bytes, 0x60) & incompatible::BIT64 != 0 {
            put_u32(bytes, 0x158, (self.free_blocks >> 32) as u32);
        }
        put_u32(bytes, 0x10, self.free_inodes);
        put_u32(bytes, 0xe8, self.last_orphan);
        set_flag(bytes, 0x64, read_only::ORPHAN_PRESENT, self.orphan_present);
    }
}

fn set_flag(bytes: &mut [u8], at: usize, flag: u32, on: bool) {
    let old = u32_at(bytes, at);
    put_u32(bytes, at, if on { old | flag } else { old & !flag });
}

/// Says whether the journal must be replayed before the file system can be read.
pub(crate) fn set_needs_recovery(bytes: &mut [u8], needs: bool) {
    set_flag(bytes, 0x60, incompatible::RECOVER, needs);
}

/// Says that files over 2 GiB exist.
pub(crate) fn set_large_file(bytes: &mut [u8]) {
    set_flag(bytes, 0x64, read_only::LARGE_FILE, true);
}

pub(crate) fn set_state(bytes: &mut [u8], state: u16) {
    put_u16(bytes, 0x3a, state);
}

/// Time of the last write, in seconds.
pub(crate) fn set_write_time(bytes: &mut [u8], seconds: i64) {
    put_u32(bytes, 0x30, seconds as u32);
}

/// Brings the checksum up to date.
pub(crate) fn seal(bytes: &mut [u8]) {
    if u32_at(bytes, 0x64) & read_only::METADATA_CSUM != 0 {
        let checksum = checksum(bytes);
        put_u32(bytes, CHECKSUM, checksum);
    }
}
