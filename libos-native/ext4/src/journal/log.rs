//! The log: a ring of blocks, and where it begins and ends.
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::layout::journal::Superblock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use serix_block::BlockDevice;

/// A contiguous part of the log: blocks `from..from + len` of it lie at `physical`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) from: u32,
    pub(crate) len: u32,
    pub(crate) physical: u64,
}

pub(crate) struct Log {
    pub(crate) superblock: Superblock,
    /// The superblock's block as it is on disk.
    bytes: Box<[u8]>,
    parts: Vec<Part>,
    /// Where the next block goes.
    pub(super) head: u32,
    /// Blocks that a replay would read.
    pub(super) used: u32,
    /// The disk says that there is something to replay.
    pub(super) live: bool,
}

impl Log {
    /// A log over `parts`, which begin at its block 0, whose contents are `bytes`.
    pub(crate) fn new(superblock: Superblock, bytes: Box<[u8]>, parts: Vec<Part>) -> Result<Self> {
        let mapped: u64 = parts.iter().map(|part| u64::from(part.len)).sum();
        let (first, blocks) = (superblock.first, superblock.blocks);
        if first == 0 || u64::from(blocks) > mapped || blocks <= first.saturating_add(16) {
            return Err(Error::corrupt_block("journal size", 0));
        }
        if superblock.start != 0 && !(first..blocks).contains(&superblock.start) {
            return Err(Error::corrupt_block("journal start", 0));
        }
        let head = first;
        Ok(Self { superblock, bytes, parts, head, used: 0, live: false })
    }

    /// Blocks for transactions.
    pub(crate) fn capacity(&self) -> u32 {
        self.superblock.blocks - self.superblock.first
    }

    pub(super) fn fits(&self, blocks: usize) -> bool {
        self.used as usize + blocks < self.capacity() as usize
    }

    /// Where a block of the log lies.
    pub(super) fn physical(&self, at: u32) -> Result<u64> {
        let index = self.parts.partition_point(|part| part.from <= at);
        let part = index.checked_sub(1).map(|index| self.parts[index]);
        match part.filter(|part| at - part.from < part.len) {
            Some(part) => Ok(part.physical + u64::from(at - part.from)),
            None => Err(Error::corrupt_block("journal block out of range", at.into())),
        }
    }

    /// The block of the ring after `at`.
    pub(super) fn after(&self, at: u32) -> u32 {
        if at + 1 == self.superblock.blocks { self.superblock.first } else { at + 1 }
    }

    /// Takes the next block of the ring.
    pub(super) fn take(&mut self) -> Result<u64> {
        let place = self.physical(self.head)?;
        self.head = self.after(self.head);
        self.used += 1;
        Ok(place)
    }

    pub(super) async fn read<D: BlockDevice>(&self, disk: &Disk<D>, at: u32) -> Result<Box<[u8]>> {
        disk.read_block(self.physical(at)?).await
    }

    /// Writes the journal's superblock: the log begins at `start`, or is empty with 0.
    pub(super) async fn write_superblock<D: BlockDevice>(
        &mut self,
        disk: &Disk<D>,
        start: u32,
        sequence: u32,
    ) -> Result<()> {
        self.superblock.start = start;
        self.superblock.sequence = sequence;
        self.store_superblock(disk).await
    }

    async fn store_superblock<D: BlockDevice>(&mut self, disk: &Disk<D>) -> Result<()> {
        self.superblock.store(&mut self.bytes);
        disk.write_block(self.physical(0)?, &self.bytes).await
    }

    /// Says in the journal's superblock that the file system must be checked.
    pub(crate) async fn note_error<D: BlockDevice>(&mut self, disk: &Disk<D>) -> Result<()> {
        // What the error was is for the log; checkers look for any number but 0.
        self.superblock.error = 1;
        self.store_superblock(disk).await?;
        disk.flush().await
    }
}
