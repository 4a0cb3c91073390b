//! A group of blocks and inodes: its descriptor and its bitmaps.
use super::bitmap;
use super::held::Held;
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::features::read_only;
use crate::layout::group::{self, BLOCK_UNINIT, Descriptor, INODE_UNINIT, Protection};
use crate::layout::superblock::Superblock;
use alloc::sync::Arc;
use serix_block::BlockDevice;

pub(crate) struct Group {
    pub(crate) descriptor: Descriptor,
    pub(super) held: Held,
    /// No block before this one is free.
    pub(super) first_free: u32,
    /// No inode before this one is free.
    pub(super) first_inode: u32,
    /// No free run is longer: what a search in vain found, until something is freed.
    pub(super) longest: u32,
    /// The descriptor differs from the one in the cache.
    changed: bool,
}

impl Group {
    pub(crate) fn new(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            held: Held::default(),
            first_free: 0,
            first_inode: 0,
            longest: u32::MAX,
            changed: false,
        }
    }

    /// A free run that begins in `from..end`: the first of at least `wanted` blocks, else the
    /// longest.
    pub(super) fn find_run(&self, bits: &[u8], from: u32, end: u32, wanted: u32) -> (u32, u32) {
        let (mut best, mut at) = ((0, 0), from);
        while let Some(start) = bitmap::next_clear(bits, at, end) {
            let held = self.held.next(start);
            if let Some((from, until)) = held
                && from <= start
            {
                at = until;
                continue;
            }
            let stop = self.run_at(bits, start, end, wanted);
            if stop - start >= wanted {
                return (start, wanted);
            }
            if stop - start > best.1 {
                best = (start, stop - start);
            }
            at = stop;
        }
        best
    }

    /// A run of at most `wanted` blocks at `from` or behind it. Going on at the goal itself beats
    /// any longer run elsewhere; a group known to have nothing better than `best` is not searched.
    pub(super) fn choose(
        &mut self,
        bits: &[u8],
        (from, is_goal): (u32, bool),
        end: u32,
        (wanted, best): (u32, u32),
    ) -> (u32, u32) {
        let from = from.max(self.first_free).min(end);
        let ahead = if is_goal { self.run_at(bits, from, end, wanted) - from } else { 0 };
        if ahead > 0 {
            return (from, ahead);
        }
        if self.longest < wanted && self.longest <= best {
            return (from, 0);
        }
        let found = self.find_run(bits, from, end, wanted);
        if from == self.first_free && found.1 < wanted {
            self.longest = found.1;
        }
        found
    }

    /// Blocks from `bit` on are free again.
    pub(super) fn freed(&mut self, bit: u32) {
        self.first_free = self.first_free.min(bit);
        self.longest = u32::MAX;
    }

    /// Where the free run that begins at `start` ends, after at most `wanted` blocks.
    pub(super) fn run_at(&self, bits: &[u8], start: u32, end: u32, wanted: u32) -> u32 {
        let limit = end.min(start.saturating_add(wanted));
        let limit = self.held.next(start).map_or(limit, |(from, _)| from.clamp(start, limit));
        bitmap::next_set(bits, start, limit).unwrap_or(limit)
    }
}

/// How a file system's descriptors are protected.
pub(crate) fn protection(superblock: &Superblock) -> Protection {
    if superblock.has_checksums() {
        Protection::Crc32c(superblock.checksum_seed)
    } else if superblock.features.read_only(read_only::GDT_CSUM) {
        Protection::Crc16(superblock.uuid)
    } else {
        Protection::None
    }
}

/// Checks that a group's parts lie inside the file system.
pub(crate) fn check(descriptor: &Descriptor, superblock: &Superblock) -> Result<()> {
    let table = superblock.inodes_per_group as usize * superblock.inode_size;
    let table_blocks = (table / superblock.block_size) as u64;
    let sound = superblock.contains(descriptor.block_bitmap, 1)
        && superblock.contains(descriptor.inode_bitmap, 1)
        && superblock.contains(descriptor.inode_table, table_blocks)
        && descriptor.free_inodes <= superblock.inodes_per_group
        && descriptor.unused_inodes <= superblock.inodes_per_group
        && descriptor.free_blocks <= superblock.blocks_per_group;
    if sound { Ok(()) } else { Err(Error::corrupt_block("group descriptor", 0)) }
}

impl<D: BlockDevice> Ext4<D> {
    /// The buffer that holds a group's descriptor, and its role.
    async fn descriptor_buffer(&self, group: u32) -> Result<(Arc<Buffer>, Kind)> {
        let index = group / self.rules.superblock.descriptors_per_block();
        let kind = Kind::Descriptors(index);
        let block = self.rules.superblock.descriptor_block(index);
        Ok((self.buffer(block, kind).await?, kind))
    }

    /// Changes a group's descriptor.
    pub(super) async fn edit_group<R>(
        &self,
        handle: &Handle<'_, D>,
        group: u32,
        change: impl FnOnce(&mut Group) -> R,
    ) -> Result<R> {
        let (buffer, kind) = self.descriptor_buffer(group).await?;
        handle.edit(&buffer, kind, |_| ());
        let mut group = self.groups[group as usize].lock();
        group.changed = true;
        Ok(change(&mut group))
    }

    /// A group's block bitmap.
    pub(super) async fn block_bitmap(&self, group: u32) -> Result<Arc<Buffer>> {
        let (block, is_unset) = {
            let descriptor = &self.groups[group as usize].lock().descriptor;
            (descriptor.block_bitmap, descriptor.has(BLOCK_UNINIT) && self.has_uninit())
        };
        let kind = Kind::BlockBitmap(group);
        if is_unset {
            return Ok(self.made_bitmap(block, kind, |bits| self.initial_blocks(group, bits)));
        }
        let buffer = self.buffer_unchecked(block).await?;
        self.check_bitmap(&buffer, kind, group)?;
        Ok(buffer)
    }

    /// A group's inode bitmap.
    pub(super) async fn inode_bitmap(&self, group: u32) -> Result<Arc<Buffer>> {
        let (block, is_unset) = {
            let descriptor = &self.groups[group as usize].lock().descriptor;
            (descriptor.inode_bitmap, descriptor.has(INODE_UNINIT) && self.has_uninit())
        };
        let kind = Kind::InodeBitmap(group);
        let count = self.rules.superblock.inodes_per_group;
        if is_unset {
            let end = self.disk.block_size() as u32 * 8;
            return Ok(self.made_bitmap(block, kind, |bits| bitmap::set(bits, count, end - count)));
        }
        let buffer = self.buffer_unchecked(block).await?;
        self.check_bitmap(&buffer, kind, group)?;
        Ok(buffer)
    }

    pub(super) fn has_uninit(&self) -> bool {
        !matches!(self.protection, Protection::None)
    }

    /// A bitmap that was never written, made in memory. It may be made again after an eviction:
    /// the flag goes with the first change.
    fn made_bitmap(&self, block: u64, kind: Kind, fill: impl FnOnce(&mut [u8])) -> Arc<Buffer> {
        let known = self.cache.find(block);
        if let Some(buffer) = known.filter(|buffer| buffer.with(|now| now.kind == Some(kind))) {
            return buffer;
        }
        let buffer = self.cache.fresh(block, kind);
        buffer.with(|contents| fill(&mut contents.bytes));
        buffer
    }

    /// The block bitmap of a group in which nothing was allocated yet.
    fn initial_blocks(&self, group: u32, bits: &mut [u8]) {
        let superblock = &self.rules.superblock;
        bitmap::set(bits, 0, superblock.backup_blocks(group));
        let descriptor = self.groups[group as usize].lock().descriptor;
        let table = superblock.inodes_per_group as usize * superblock.inode_size;
        let parts = [
            (descriptor.block_bitmap, 1),
            (descriptor.inode_bitmap, 1),
            (descriptor.inode_table, (table / superblock.block_size) as u64),
        ];
        let (start, count) = (superblock.group_start(group), superblock.group_blocks(group));
        for (part, len) in parts {
            // With flex_bg they may lie in other groups.
            let from = part.max(start);
            let until = (part + len).min(start + u64::from(count));
            if from < until {
                bitmap::set(bits, (from - start) as u32, (until - from) as u32);
            }
        }
        bitmap::set(bits, count, bits.len() as u32 * 8 - count);
    }

    fn bitmap_bytes(&self, kind: Kind) -> usize {
        let superblock = &self.rules.superblock;
        match kind {
            Kind::InodeBitmap(_) => superblock.inodes_per_group as usize / 8,
            _ => superblock.blocks_per_group as usize / 8,
        }
    }

    fn bitmap_checksum(&self, kind: Kind, bits: &[u8]) -> u32 {
        let superblock = &self.rules.superblock;
        let covered = &bits[..self.bitmap_bytes(kind)];
        group::bitmap_checksum(superblock.checksum_seed, covered, superblock.descriptor_size)
    }

    fn check_bitmap(&self, buffer: &Buffer, kind: Kind, group: u32) -> Result<()> {
        buffer.with(|contents| {
            if contents.kind == Some(kind) {
                return Ok(());
            }
            let descriptor = self.groups[group as usize].lock().descriptor;
            let stored = match kind {
                Kind::InodeBitmap(_) => descriptor.inode_bitmap_checksum,
                _ => descriptor.block_bitmap_checksum,
            };
            let clashes = contents.transaction.is_some() && contents.kind.is_some();
            let intact =
                !self.rules.has_checksums || stored == self.bitmap_checksum(kind, &contents.bytes);
            if clashes || !intact {
                return Err(Error::corrupt_block("bitmap checksum", buffer.block()));
            }
            contents.kind = Some(kind);
            Ok(())
        })
    }

    /// Brings a bitmap's checksum, or a block of descriptors, up to date before a commit.
    pub(crate) fn seal_group_block(&self, kind: Kind, bytes: &mut [u8]) {
        match kind {
            Kind::BlockBitmap(group) => {
                let crc = self.bitmap_checksum(kind, bytes);
                let mut group = self.groups[group as usize].lock();
                group.descriptor.block_bitmap_checksum = crc;
                group.changed = true;
            }
            Kind::InodeBitmap(group) => {
                let crc = self.bitmap_checksum(kind, bytes);
                let mut group = self.groups[group as usize].lock();
                group.descriptor.inode_bitmap_checksum = crc;
                group.changed = true;
            }
            Kind::Descriptors(index) => self.seal_descriptors(index, bytes),
            _ => {}
        }
    }

    fn seal_descriptors(&self, index: u32, bytes: &mut [u8]) {
        let first = index * self.rules.superblock.descriptors_per_block();
        let size = self.rules.superblock.descriptor_size;
        let groups = self.groups.iter().skip(first as usize);
        for ((raw, group), number) in bytes.chunks_exact_mut(size).zip(groups).zip(first..) {
            let mut group = group.lock();
            if core::mem::take(&mut group.changed) {
                group.descriptor.store(raw);
                group::seal(raw, number, self.protection);
            }
        }
    }
}
