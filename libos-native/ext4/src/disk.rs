//! File system blocks on a device of sectors, and the pages through which they pass.
//!
//! Owns the device. Keeps two stocks of pages: `spare` for reads that copy out at once, and
//! `reserve`, filled before a transaction may grow, from which its commit takes its copies: a
//! commit never has to ask for memory.
use crate::error::{Error, Result};
use crate::wait;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use serix_block::{BlockDevice, BlockError, PAGE_SIZE, Page, SECTOR_SIZE};
use spin::Mutex;

/// Pages in one request, at most.
const MAX_REQUEST: usize = 256;
/// Requests in flight for one caller, at most.
const MAX_IN_FLIGHT: usize = 16;
const SPARE_PAGES: usize = 16;

pub(crate) struct Disk<D: BlockDevice> {
    device: D,
    block_size: usize,
    spare: Mutex<Vec<D::Page>>,
    reserve: Mutex<Vec<D::Page>>,
    /// Writes that completed, counted.
    written: AtomicU64,
    /// So many of them are durable. Raised by whoever holds `flushing`.
    durable: AtomicU64,
    flushing: async_lock::Mutex<()>,
}

/// A transfer between pages and contiguous blocks.
#[derive(Clone)]
pub(crate) struct Transfer<P> {
    pub(crate) block: u64,
    pub(crate) count: u32,
    /// Byte offset in the first page.
    pub(crate) offset: usize,
    pub(crate) pages: Vec<P>,
}

/// Which way a transfer goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl<D: BlockDevice> Disk<D> {
    pub(crate) fn new(device: D, block_size: usize) -> Self {
        Self {
            device,
            block_size,
            spare: Mutex::default(),
            reserve: Mutex::default(),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            flushing: async_lock::Mutex::new(()),
        }
    }

    pub(crate) fn into_device(self) -> D {
        self.device
    }

    pub(crate) fn block_size(&self) -> usize {
        self.block_size
    }

    /// Whole blocks on the device.
    pub(crate) fn blocks(&self) -> u64 {
        self.device.sector_count() / self.sectors_per_block()
    }

    fn sectors_per_block(&self) -> u64 {
        (self.block_size / SECTOR_SIZE) as u64
    }

    /// A page for a short use; give it back with [`Self::put_spare`]. When memory is short it is
    /// one of the reserve: an operation half-way must not fail for want of a page to read with.
    pub(crate) fn spare(&self) -> Result<D::Page> {
        let kept = self.spare.lock().pop();
        let page = kept.or_else(|| self.device.allocate_page());
        page.or_else(|| self.reserve.lock().pop()).ok_or(Error::NoMemory)
    }

    pub(crate) fn put_spare(&self, page: D::Page) {
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_PAGES {
            spare.push(page);
        }
    }

    /// Fills the reserve up to `count` pages, and the spare ones as far as one read needs them.
    pub(crate) fn fill_reserve(&self, count: usize) -> Result<()> {
        let mut spare = self.spare.lock();
        while spare.len() < SPARE_PAGES / 2 {
            spare.push(self.device.allocate_page().ok_or(Error::NoMemory)?);
        }
        drop(spare);
        let mut reserve = self.reserve.lock();
        while reserve.len() < count {
            reserve.push(self.device.allocate_page().ok_or(Error::NoMemory)?);
        }
        Ok(())
    }

    pub(crate) fn take_reserve(&self) -> Option<D::Page> {
        let kept = self.reserve.lock().pop();
        kept.or_else(|| self.device.allocate_page())
    }

    /// Gives a page back to the reserve, or to the system if there are `limit` already.
    pub(crate) fn put_reserve(&self, page: D::Page, limit: usize) {
        let mut reserve = self.reserve.lock();
        if reserve.len() < limit {
            reserve.push(page);
        }
    }

    /// Moves one transfer.
    pub(crate) async fn transfer(
        &self,
        transfer: &Transfer<D::Page>,
        direction: Direction,
    ) -> Result<()> {
        let sector = transfer.block * self.sectors_per_block();
        let count = transfer.count * self.sectors_per_block() as u32;
        let (offset, pages) = (transfer.offset, transfer.pages.as_slice());
        let outcome = match direction {
            Direction::Read => self.device.read(sector, count, offset, pages).await,
            Direction::Write => {
                let outcome = self.device.write(sector, count, offset, pages).await;
                // Also if it failed: a part of it may be on its way.
                self.written.fetch_add(1, Ordering::AcqRel);
                outcome
            }
        };
        outcome.map_err(|cause| Error::Io { block: transfer.block, cause })
    }

    /// Moves all transfers, many at a time.
    pub(crate) async fn transfer_all(
        &self,
        transfers: &[Transfer<D::Page>],
        direction: Direction,
    ) -> Result<()> {
        if let [only] = transfers {
            return self.transfer(only, direction).await;
        }
        for batch in transfers.chunks(MAX_IN_FLIGHT) {
            wait::all(batch.iter().map(|one| self.transfer(one, direction)).collect()).await?;
        }
        Ok(())
    }

    /// Reads `count` contiguous blocks, each as its own box.
    pub(crate) async fn read_blocks(&self, block: u64, count: u32) -> Result<Vec<Box<[u8]>>> {
        let len = count as usize * self.block_size;
        let mut pages = Vec::with_capacity(len.div_ceil(PAGE_SIZE));
        for _ in 0..len.div_ceil(PAGE_SIZE) {
            pages.push(self.spare()?);
        }
        let transfer = Transfer { block, count, offset: 0, pages };
        self.transfer(&transfer, Direction::Read).await?;
        let blocks = (0..count as usize).map(|index| self.copy_out(&transfer.pages, index));
        let blocks = blocks.collect();
        transfer.pages.into_iter().for_each(|page| self.put_spare(page));
        Ok(blocks)
    }

    fn copy_out(&self, pages: &[D::Page], index: usize) -> Box<[u8]> {
        let at = index * self.block_size;
        let mut bytes = vec![0; self.block_size].into_boxed_slice();
        pages[at / PAGE_SIZE].read(at % PAGE_SIZE, &mut bytes);
        bytes
    }

    pub(crate) async fn read_block(&self, block: u64) -> Result<Box<[u8]>> {
        let mut blocks = self.read_blocks(block, 1).await?;
        blocks.pop().ok_or(Error::Io { block, cause: BlockError::Io })
    }

    /// Writes one block.
    pub(crate) async fn write_block(&self, block: u64, bytes: &[u8]) -> Result<()> {
        let page = self.spare()?;
        page.write(0, bytes);
        let transfer = Transfer { block, count: 1, offset: 0, pages: vec![page] };
        let outcome = self.transfer(&transfer, Direction::Write).await;
        transfer.pages.into_iter().for_each(|page| self.put_spare(page));
        outcome
    }

    /// Writes blocks that lie one per page, in ascending order, contiguous ones in one request.
    pub(crate) async fn write_pages(&self, blocks: &[(u64, D::Page)]) -> Result<()> {
        let mut transfers: Vec<Transfer<D::Page>> = Vec::new();
        for (block, page) in blocks {
            match transfers.last_mut() {
                Some(last) if self.continues(last, *block) => {
                    last.count += 1;
                    last.pages.push(page.clone());
                }
                _ => transfers.push(Transfer {
                    block: *block,
                    count: 1,
                    offset: 0,
                    pages: vec![page.clone()],
                }),
            }
        }
        self.transfer_all(&transfers, Direction::Write).await
    }

    fn continues(&self, transfer: &Transfer<D::Page>, block: u64) -> bool {
        self.block_size == PAGE_SIZE
            && transfer.block + u64::from(transfer.count) == block
            && transfer.pages.len() < MAX_REQUEST
    }

    /// How many writes have completed, for [`Self::flush_through`].
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether writes have completed that no flush has covered.
    pub(crate) fn has_unflushed(&self) -> bool {
        self.written() != self.durable.load(Ordering::Acquire)
    }

    /// Makes durable what was written, if anything was since the last flush.
    pub(crate) async fn flush(&self) -> Result<()> {
        self.flush_through(self.written()).await
    }

    /// Makes the first `wanted` writes durable. Who comes while a flush is under way, which may have begun before the
    /// last of these writes completed, waits for it and shares the next one.
    pub(crate) async fn flush_through(&self, wanted: u64) -> Result<()> {
        let is_durable = || self.durable.load(Ordering::Acquire) >= wanted;
        if is_durable() {
            return Ok(());
        }
        let _turn = self.flushing.lock().await;
        if is_durable() {
            return Ok(());
        }
        let written = self.written();
        self.device.flush().await.map_err(|cause| Error::Io { block: 0, cause })?;
        self.durable.store(written, Ordering::Release);
        Ok(())
    }
}
