//! Blocks of the journal (JBD2). All integers are big-endian.
use super::bytes::{be16_at, be32_at, put_be16, put_be32};
use crate::checksum::crc32c;

/// First word of every block that the journal itself made.
pub(crate) const MAGIC: u32 = 0xc03b_3998;
const HEADER: usize = 12;
const SUPERBLOCK_SIZE: usize = 1024;

/// What a block of the journal is.
pub(crate) mod kind {
    pub(crate) const DESCRIPTOR: u32 = 1;
    pub(crate) const COMMIT: u32 = 2;
    pub(crate) const SUPERBLOCK_1: u32 = 3;
    pub(crate) const SUPERBLOCK_2: u32 = 4;
    pub(crate) const REVOKE: u32 = 5;
}

/// Incompatible features of a journal.
pub(crate) mod features {
    pub(crate) const REVOKE: u32 = 0x1;
    pub(crate) const BIT64: u32 = 0x2;
    pub(crate) const ASYNC_COMMIT: u32 = 0x4;
    pub(crate) const CSUM_V2: u32 = 0x8;
    pub(crate) const CSUM_V3: u32 = 0x10;
    pub(crate) const KNOWN: u32 = REVOKE | BIT64 | ASYNC_COMMIT | CSUM_V2 | CSUM_V3;
}

/// Flags of a tag.
mod tag_flags {
    pub(super) const ESCAPED: u32 = 1;
    pub(super) const SAME_UUID: u32 = 2;
    pub(super) const LAST: u32 = 8;
}

/// The type and the transaction of a journal block, if it is one.
pub(crate) fn header(block: &[u8]) -> Option<(u32, u32)> {
    (be32_at(block, 0) == MAGIC).then(|| (be32_at(block, 4), be32_at(block, 8)))
}

fn put_header(block: &mut [u8], kind: u32, sequence: u32) {
    put_be32(block, 0, MAGIC);
    put_be32(block, 4, kind);
    put_be32(block, 8, sequence);
}

/// Whether transaction `a` is before `b`; numbers wrap.
pub(crate) fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The journal's superblock.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    pub(crate) block_size: u32,
    pub(crate) blocks: u32,
    pub(crate) first: u32,
    pub(crate) sequence: u32,
    /// Where the log begins, 0 if it is empty.
    pub(crate) start: u32,
    pub(crate) error: u32,
    pub(crate) format: Format,
}

/// How the blocks of a journal are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) features: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) version: u32,
}

impl Superblock {
    /// Reads a journal superblock, or says what is wrong with it.
    pub(crate) fn parse(block: &[u8]) -> Result<Self, &'static str> {
        let Some((version @ (kind::SUPERBLOCK_1 | kind::SUPERBLOCK_2), _)) = header(block) else {
            return Err("journal superblock");
        };
        let is_old = version == kind::SUPERBLOCK_1;
        let features = if is_old { 0 } else { be32_at(block, 0x28) };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&block[0x30..0x40]);
        let format = Format { features, uuid, version };
        if format.has_checksums() && be32_at(block, 0xfc) != superblock_checksum(block) {
            return Err("journal superblock checksum");
        }
        Ok(Self {
            block_size: be32_at(block, 0xc),
            blocks: be32_at(block, 0x10),
            first: be32_at(block, 0x14),
            sequence: be32_at(block, 0x18),
            start: be32_at(block, 0x1c),
            error: be32_at(block, 0x20),
            format,
        })
    }

    /// Stores what changes.
    pub(crate) fn store(&self, block: &mut [u8]) {
        put_be32(block, 0x18, self.sequence);
        put_be32(block, 0x1c, self.start);
        put_be32(block, 0x20, self.error);
        if self.format.version == kind::SUPERBLOCK_2 {
            put_be32(block, 0x28, self.format.features);
        }
        if self.format.has_checksums() {
            block[0x50] = 4;
            let crc = superblock_checksum(block);
            put_be32(block, 0xfc, crc);
        }
    }
}

fn superblock_checksum(block: &[u8]) -> u32 {
    let crc = crc32c(crc32c(!0, &block[..0xfc]), &[0; 4]);
    crc32c(crc, &block[0x100..SUPERBLOCK_SIZE])
}

/// A block that a descriptor announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) block: u64,
    /// The first word was [`MAGIC`] and is stored as 0.
    pub(crate) escaped: bool,
    pub(crate) checksum: u32,
}

impl Format {
    pub(crate) fn has(&self, feature: u32) -> bool {
        self.features & feature != 0
    }

    pub(crate) fn has_checksums(&self) -> bool {
        self.has(features::CSUM_V2 | features::CSUM_V3)
    }

    fn seed(&self) -> u32 {
        crc32c(!0, &self.uuid)
    }

    fn tag_size(&self) -> usize {
        if self.has(features::CSUM_V3) {
            return 16;
        }
        let wide = if self.has(features::BIT64) { 4 } else { 0 };
        let checked = if self.has(features::CSUM_V2) { 2 } else { 0 };
        8 + wide + checked
    }

    fn tail_size(&self) -> usize {
        if self.has_checksums() { 4 } else { 0 }
    }

    /// Tags that fit a descriptor.
    pub(crate) fn tags_per_block(&self, size: usize) -> usize {
        (size - HEADER - 16 - self.tail_size()) / self.tag_size()
    }

    /// The checksum of a block's contents in a transaction.
    pub(crate) fn data_checksum(&self, sequence: u32, data: &[u8]) -> u32 {
        crc32c(crc32c(self.seed(), &sequence.to_be_bytes()), data)
    }

    fn put_tag(&self, block: &mut [u8], at: usize, tag: Tag, flags: u32) {
        put_be32(block, at, tag.block as u32);
        if self.has(features::CSUM_V3) {
            put_be32(block, at + 4, flags);
            put_be32(block, at + 8, (tag.block >> 32) as u32);
            put_be32(block, at + 12, tag.checksum);
            return;
        }
        if self.has(features::CSUM_V2) {
            put_be16(block, at + 4, tag.checksum as u16);
        }
        put_be16(block, at + 6, flags as u16);
        if self.has(features::BIT64) {
            put_be32(block, at + 8, (tag.block >> 32) as u32);
        }
    }

    fn tag_at(&self, block: &[u8], at: usize) -> (Tag, u32) {
        let low = u64::from(be32_at(block, at));
        if self.has(features::CSUM_V3) {
            let flags = be32_at(block, at + 4);
            let high = u64::from(be32_at(block, at + 8));
            let escaped = flags & tag_flags::ESCAPED != 0;
            let checksum = be32_at(block, at + 12);
            return (Tag { block: high << 32 | low, escaped, checksum }, flags);
        }
        let flags = u32::from(be16_at(block, at + 6));
        let high = if self.has(features::BIT64) { be32_at(block, at + 8) } else { 0 };
        let checksum = u32::from(be16_at(block, at + 4));
        let escaped = flags & tag_flags::ESCAPED != 0;
        (Tag { block: u64::from(high) << 32 | low, escaped, checksum }, flags)
    }

    /// Whether a block's contents fit the checksum of its tag.
    pub(crate) fn is_data_intact(&self, tag: &Tag, sequence: u32, data: &[u8]) -> bool {
        let crc = self.data_checksum(sequence, data);
        if self.has(features::CSUM_V3) {
            tag.checksum == crc
        } else {
            !self.has(features::CSUM_V2) || tag.checksum == crc & 0xffff
        }
    }

    /// Makes a descriptor for at most [`Self::tags_per_block`] tags.
    pub(crate) fn descriptor(&self, block: &mut [u8], sequence: u32, tags: &[Tag]) {
        block.fill(0);
        put_header(block, kind::DESCRIPTOR, sequence);
        let mut at = HEADER;
        for (index, tag) in tags.iter().enumerate() {
            let escaped = if tag.escaped { tag_flags::ESCAPED } else { 0 };
            let same = if index > 0 { tag_flags::SAME_UUID } else { 0 };
            let last = if index + 1 == tags.len() { tag_flags::LAST } else { 0 };
            self.put_tag(block, at, *tag, escaped | same | last);
            at += self.tag_size();
            if index == 0 {
                block[at..at + 16].copy_from_slice(&self.uuid);
                at += 16;
            }
        }
        self.seal_tail(block);
    }

    /// The tags of a descriptor.
    pub(crate) fn tags(&self, block: &[u8]) -> impl Iterator<Item = Tag> {
        let end = block.len() - self.tail_size();
        let mut at = Some(HEADER);
        core::iter::from_fn(move || {
            let start = at.filter(|start| start + self.tag_size() <= end)?;
            let (tag, flags) = self.tag_at(block, start);
            let uuid = if flags & tag_flags::SAME_UUID == 0 { 16 } else { 0 };
            let is_last = flags & tag_flags::LAST != 0;
            at = if is_last { None } else { Some(start + self.tag_size() + uuid) };
            Some(tag)
        })
    }

    fn revoke_size(&self) -> usize {
        if self.has(features::BIT64) { 8 } else { 4 }
    }

    /// Block numbers that fit a revoke block.
    pub(crate) fn revokes_per_block(&self, size: usize) -> usize {
        (size - HEADER - 4 - self.tail_size()) / self.revoke_size()
    }

    /// Makes a revoke block for at most [`Self::revokes_per_block`] blocks.
    pub(crate) fn revoke(&self, block: &mut [u8], sequence: u32, revoked: &[u64]) {
        block.fill(0);
        put_header(block, kind::REVOKE, sequence);
        let mut at = HEADER + 4;
        for number in revoked {
            if self.has(features::BIT64) {
                put_be32(block, at, (number >> 32) as u32);
                put_be32(block, at + 4, *number as u32);
            } else {
                put_be32(block, at, *number as u32);
            }
            at += self.revoke_size();
        }
        put_be32(block, HEADER, at as u32);
        self.seal_tail(block);
    }

    /// The block numbers of a revoke block.
    pub(crate) fn revoked(&self, block: &[u8]) -> impl Iterator<Item = u64> {
        let end = (be32_at(block, HEADER) as usize).min(block.len() - self.tail_size());
        let size = self.revoke_size();
        (HEADER + 4..end.saturating_sub(size - 1)).step_by(size).map(move |at| {
            let first = u64::from(be32_at(block, at));
            if size == 8 { first << 32 | u64::from(be32_at(block, at + 4)) } else { first }
        })
    }

    fn seal_tail(&self, block: &mut [u8]) {
        if self.has_checksums() {
            let at = block.len() - 4;
            let crc = self.tail_checksum(block);
            put_be32(block, at, crc);
        }
    }

    fn tail_checksum(&self, block: &[u8]) -> u32 {
        let at = block.len() - 4;
        crc32c(crc32c(self.seed(), &block[..at]), &[0; 4])
    }

    /// Whether the checksum of a descriptor or revoke block is right.
    pub(crate) fn is_tail_intact(&self, block: &[u8]) -> bool {
        !self.has_checksums() || be32_at(block, block.len() - 4) == self.tail_checksum(block)
    }

    /// Makes a commit block.
    pub(crate) fn commit(&self, block: &mut [u8], sequence: u32, time: (u64, u32)) {
        block.fill(0);
        put_header(block, kind::COMMIT, sequence);
        put_be32(block, 0x30, (time.0 >> 32) as u32);
        put_be32(block, 0x34, time.0 as u32);
        put_be32(block, 0x38, time.1);
        if self.has_checksums() {
            let crc = crc32c(self.seed(), block);
            put_be32(block, 0x10, crc);
        }
    }

    /// Whether the checksum of a commit block is right.
    pub(crate) fn is_commit_intact(&self, block: &[u8]) -> bool {
        let crc = crc32c(crc32c(self.seed(), &block[..0x10]), &[0; 4]);
        !self.has_checksums() || be32_at(block, 0x10) == crc32c(crc, &block[0x14..])
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Tag, features, is_before, kind};
    use alloc::vec::Vec;

    fn formats() -> impl Iterator<Item = Format> {
        let sets = [0, features::BIT64, features::CSUM_V2, features::CSUM_V3 | features::BIT64];
        sets.into_iter().map(|features| Format {
            features,
            uuid: [7; 16],
            version: kind::SUPERBLOCK_2,
        })
    }

    #[test]
    fn descriptors_come_back() {
        for format in formats() {
            let mut block = [0; 1024];
            let count = format.tags_per_block(block.len());
            let mask = if format.has(features::CSUM_V3) {
                u32::MAX
            } else if format.has(features::CSUM_V2) {
                0xffff
            } else {
                0
            };
            let tags: Vec<_> = (0..count as u64)
                .map(|block| Tag { block, escaped: block % 3 == 0, checksum: 0x1234_5678 & mask })
                .collect();
            format.descriptor(&mut block, 9, &tags);
            assert!(format.is_tail_intact(&block));
            assert_eq!(format.tags(&block).collect::<Vec<_>>(), tags);
        }
    }

    #[test]
    fn revokes_come_back() {
        for format in formats() {
            let mut block = [0; 1024];
            let blocks: Vec<_> = (5..5 + format.revokes_per_block(1024) as u64).collect();
            format.revoke(&mut block, 9, &blocks);
            assert!(format.is_tail_intact(&block));
            assert_eq!(format.revoked(&block).collect::<Vec<_>>(), blocks);
        }
    }

    #[test]
    fn transaction_numbers_wrap() {
        assert!(is_before(u32::MAX, 0) && is_before(1, 2) && !is_before(2, 2));
    }
}
