//! Group descriptors.
use super::bytes::{put_u16, u16_at, u32_at};
use crate::checksum::{crc16, crc32c};

/// The inode bitmap and the inode table hold nothing yet.
pub(crate) const INODE_UNINIT: u16 = 1;
/// The block bitmap is not written yet: only the group's own metadata is in use.
pub(crate) const BLOCK_UNINIT: u16 = 2;
/// The unused part of the inode table is zeroed.
pub(crate) const INODE_ZEROED: u16 = 4;

/// A group descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Descriptor {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
    pub(crate) free_blocks: u32,
    pub(crate) free_inodes: u32,
    pub(crate) directories: u32,
    pub(crate) flags: u16,
    pub(crate) unused_inodes: u32,
    pub(crate) block_bitmap_checksum: u32,
    pub(crate) inode_bitmap_checksum: u32,
}

fn pair(bytes: &[u8], low: usize, high: usize) -> u32 {
    let high = if bytes.len() >= 64 { u16_at(bytes, high) } else { 0 };
    u32::from(high) << 16 | u32::from(u16_at(bytes, low))
}

fn wide(bytes: &[u8], low: usize, high: usize) -> u64 {
    let high = if bytes.len() >= 64 { u32_at(bytes, high) } else { 0 };
    u64::from(high) << 32 | u64::from(u32_at(bytes, low))
}

fn put_pair(bytes: &mut [u8], low: usize, high: usize, value: u32) {
    put_u16(bytes, low, value as u16);
    if bytes.len() >= 64 {
        put_u16(bytes, high, (value >> 16) as u16);
    }
}

impl Descriptor {
    /// Reads a descriptor; the slice is as long as descriptors are.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self {
            block_bitmap: wide(bytes, 0, 0x20),
            inode_bitmap: wide(bytes, 0x4, 0x24),
            inode_table: wide(bytes, 0x8, 0x28),
            free_blocks: pair(bytes, 0xc, 0x2c),
            free_inodes: pair(bytes, 0xe, 0x2e),
            directories: pair(bytes, 0x10, 0x30),
            flags: u16_at(bytes, 0x12),
            unused_inodes: pair(bytes, 0x1c, 0x32),
            block_bitmap_checksum: pair(bytes, 0x18, 0x38),
            inode_bitmap_checksum: pair(bytes, 0x1a, 0x3a),
        }
    }

    /// Stores what changes; places and checksum stay.
    pub(crate) fn store(&self, bytes: &mut [u8]) {
        put_pair(bytes, 0xc, 0x2c, self.free_blocks);
        put_pair(bytes, 0xe, 0x2e, self.free_inodes);
        put_pair(bytes, 0x10, 0x30, self.directories);
        put_u16(bytes, 0x12, self.flags);
        put_pair(bytes, 0x1c, 0x32, self.unused_inodes);
        put_pair(bytes, 0x18, 0x38, self.block_bitmap_checksum);
        put_pair(bytes, 0x1a, 0x3a, self.inode_bitmap_checksum);
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// How descriptors are protected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protection {
    /// Not at all.
    None,
    /// CRC-16 of UUID, group and descriptor (`uninit_bg`).
    Crc16([u8; 16]),
    /// CRC-32C from the seed (`metadata_csum`).
    Crc32c(u32),
}

const CHECKSUM: usize = 0x1e;

/// The checksum of a descriptor, or `None` if there is none to check.
pub(crate) fn checksum(bytes: &[u8], group: u32, protection: Protection) -> Option<u16> {
    let (before, after) = (&bytes[..CHECKSUM], &bytes[CHECKSUM + 2..]);
    let number = group.to_le_bytes();
    match protection {
        Protection::None => None,
        Protection::Crc16(uuid) => {
            let head = crc16(crc16(crc16(!0, &uuid), &number), before);
            Some(crc16(head, after))
        }
        Protection::Crc32c(seed) => {
            let head = crc32c(crc32c(crc32c(seed, &number), before), &[0; 2]);
            Some(crc32c(head, after) as u16)
        }
    }
}

/// Brings the checksum up to date.
pub(crate) fn seal(bytes: &mut [u8], group: u32, protection: Protection) {
    if let Some(checksum) = checksum(bytes, group, protection) {
        put_u16(bytes, CHECKSUM, checksum);
    }
}

/// Whether the checksum is right.
pub(crate) fn is_intact(bytes: &[u8], group: u32, protection: Protection) -> bool {
    checksum(bytes, group, protection).is_none_or(|checksum| checksum == u16_at(bytes, CHECKSUM))
}

/// The checksum of a bitmap, of which 32-byte descriptors keep 16 bits.
pub(crate) fn bitmap_checksum(seed: u32, bitmap: &[u8], descriptor_size: usize) -> u32 {
    let full = crc32c(seed, bitmap);
    if descriptor_size >= 64 { full } else { full & 0xffff }
}
