//! A disk extent as a block device.
use crate::ring::{Ring, Transfer};
use crate::runs::first_run;
use crate::{FrameMemory, TransferError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_abi::ring::{Submission, operation};
use serix_block::{BlockDevice, BlockError, PAGE_SIZE, SECTOR_SIZE};

/// A bound extent, reached through a ring.
pub struct BlockExtent<M: FrameMemory> {
    ring: Arc<Ring>,
    memory: M,
    slot: u32,
    sectors: u64,
    writable: bool,
}

impl<M: FrameMemory> BlockExtent<M> {
    /// The extent in `slot`, of `sectors` sectors, with transfers to and from the frames of `memory`.
    pub fn new(ring: Arc<Ring>, memory: M, slot: u32, sectors: u64, writable: bool) -> Self {
        Self { ring, memory, slot, sectors, writable }
    }

    fn check(
        &self,
        sector: u64,
        count: u32,
        offset: usize,
        pages: usize,
    ) -> Result<(), BlockError> {
        let end = sector.checked_add(count.into()).ok_or(BlockError::OutOfRange)?;
        let room = (pages * PAGE_SIZE).checked_sub(offset).ok_or(BlockError::OutOfRange)?;
        let aligned = offset.is_multiple_of(SECTOR_SIZE) && offset < PAGE_SIZE;
        if end <= self.sectors && aligned && count as usize * SECTOR_SIZE <= room {
            Ok(())
        } else {
            Err(BlockError::OutOfRange)
        }
    }

    /// Starts the transfers of a range: one for each run of frames.
    fn start(
        &self,
        operation: u8,
        mut sector: u64,
        count: u32,
        mut offset: usize,
        mut pages: &[M::Page],
    ) -> Vec<(Transfer, usize)> {
        let mut left = count as usize * SECTOR_SIZE;
        let mut started = Vec::new();
        while left > 0 {
            let run = first_run(&self.memory, pages);
            let length = left.min(run.pages * PAGE_SIZE - offset);
            let used = (offset + length).div_ceil(PAGE_SIZE);
            let submission = Submission {
                operation,
                segment_count: run.segment_count as u8,
                offset: offset as u16,
                target: self.slot,
                sector,
                cookie: 0,
                length: length as u32,
                frames: run.slot,
                segments: run.segments,
            };
            started.push((self.ring.start(submission, pages[..used].to_vec()), length));
            (pages, offset) = (&pages[run.pages.min(pages.len())..], 0);
            sector += (length / SECTOR_SIZE) as u64;
            left -= length;
        }
        started
    }
}

/// Waits for all; the first failure.
async fn finish(transfers: Vec<(Transfer, usize)>) -> Result<(), BlockError> {
    let mut result = Ok(());
    for (transfer, wanted) in transfers {
        let outcome = match transfer.await {
            Ok(length) if length == wanted => Ok(()),
            Ok(_) => Err(BlockError::Io),
            Err(error) => Err(block_error(error)),
        };
        result = result.and(outcome);
    }
    result
}

fn block_error(error: TransferError) -> BlockError {
    match error {
        TransferError::BadArgument => BlockError::OutOfRange,
        TransferError::Denied => BlockError::ReadOnly,
        TransferError::Io | TransferError::NoMemory => BlockError::Io,
    }
}

impl<M: FrameMemory> BlockDevice for BlockExtent<M> {
    type Page = M::Page;

    fn sector_count(&self) -> u64 {
        self.sectors
    }

    fn allocate_page(&self) -> Option<M::Page> {
        self.memory.allocate_page()
    }

    async fn read(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[M::Page],
    ) -> Result<(), BlockError> {
        self.check(sector, sector_count, offset, pages.len())?;
        finish(self.start(operation::READ, sector, sector_count, offset, pages)).await
    }

    async fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[M::Page],
    ) -> Result<(), BlockError> {
        if !self.writable {
            return Err(BlockError::ReadOnly);
        }
        self.check(sector, sector_count, offset, pages.len())?;
        finish(self.start(operation::WRITE, sector, sector_count, offset, pages)).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        if !self.writable {
            return Ok(());
        }
        let flush =
            Submission { operation: operation::FLUSH, target: self.slot, ..Submission::default() };
        self.ring.start(flush, ()).await.map(drop).map_err(block_error)
    }
}
