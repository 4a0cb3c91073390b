//! A device that remembers what was written, for cutting the power at any point.
use super::{HostPage, gather};
use crate::{BlockDevice, BlockError, SECTOR_SIZE};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

/// One entry of a write log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A write that the device accepted.
    Write {
        /// First sector.
        sector: u64,
        /// Whole sectors.
        bytes: Vec<u8>,
    },
    /// A flush that completed: every write that had completed when it was asked for is durable.
    Flush {
        /// Entries of the log at that time.
        before: usize,
    },
    /// A mark that the test put there.
    Mark(u64),
}

/// A device that keeps a log of its writes and flushes; clones share the log.
#[derive(Clone)]
pub struct RecordingDisk<D> {
    inner: D,
    log: Arc<Mutex<Vec<Entry>>>,
}

impl<D> RecordingDisk<D> {
    /// Records what is written to `inner` from now on.
    pub fn new(inner: D) -> Self {
        Self { inner, log: Arc::default() }
    }

    /// Puts a mark into the log.
    pub fn mark(&self, mark: u64) {
        self.push(Entry::Mark(mark));
    }

    /// Takes the log out, leaving it empty.
    #[must_use]
    pub fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, entry: Entry) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

impl<D: BlockDevice<Page = HostPage>> BlockDevice for RecordingDisk<D> {
    type Page = HostPage;

    fn sector_count(&self) -> u64 {
        self.inner.sector_count()
    }
    fn allocate_page(&self) -> Option<HostPage> {
        self.inner.allocate_page()
    }
    async fn read(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        self.inner.read(sector, sector_count, offset, pages).await
    }
    async fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        let bytes = gather(sector_count as usize * SECTOR_SIZE, offset, pages);
        self.inner.write(sector, sector_count, offset, pages).await?;
        self.push(Entry::Write { sector, bytes });
        Ok(())
    }
    async fn flush(&self) -> Result<(), BlockError> {
        let before = self.log.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.inner.flush().await?;
        self.push(Entry::Flush { before });
        Ok(())
    }
}

/// What a disk holds when the power fails after `log`, the whole one or its beginning: what was flushed
/// is there; of the rest, `fate(sector)` says for each sector how many of its bytes made it (0 to 512).
pub fn replay(image: &mut [u8], log: &[Entry], mut fate: impl FnMut(u64) -> usize) {
    let flushed = |entry: &Entry| match entry {
        Entry::Flush { before } => *before,
        _ => 0,
    };
    let last_flush = log.iter().map(flushed).max().unwrap_or(0);
    for (index, entry) in log.iter().enumerate() {
        let Entry::Write { sector, bytes } = entry else { continue };
        for (number, content) in bytes.chunks(SECTOR_SIZE).enumerate() {
            let sector = sector + number as u64;
            let kept = if index < last_flush { SECTOR_SIZE } else { fate(sector) };
            let start = sector as usize * SECTOR_SIZE;
            image[start..start + kept].copy_from_slice(&content[..kept]);
        }
    }
}
