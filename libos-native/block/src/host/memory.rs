//! A disk in host memory.
use super::{HostPage, byte_range, gather, scatter};
use crate::{BlockDevice, BlockError, SECTOR_SIZE};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

/// A disk in host memory; clones share the bytes.
#[derive(Clone)]
pub struct MemoryDisk(Arc<Mutex<Vec<u8>>>);

impl MemoryDisk {
    /// A disk that holds `bytes`, cut down to whole sectors.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Self {
        bytes.truncate(bytes.len() / SECTOR_SIZE * SECTOR_SIZE);
        Self(Arc::new(Mutex::new(bytes)))
    }

    /// Lets `act` see and change all bytes.
    pub fn with<R>(&self, act: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl BlockDevice for MemoryDisk {
    type Page = HostPage;

    fn sector_count(&self) -> u64 {
        self.with(|bytes| (bytes.len() / SECTOR_SIZE) as u64)
    }
    fn allocate_page(&self) -> Option<HostPage> {
        Some(HostPage::zeroed())
    }
    async fn read(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        let (start, len) = byte_range(self.sector_count(), sector, sector_count)?;
        let start = start as usize;
        self.with(|bytes| scatter(&bytes[start..start + len], offset, pages));
        Ok(())
    }
    async fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        let (start, len) = byte_range(self.sector_count(), sector, sector_count)?;
        let start = start as usize;
        let new = gather(len, offset, pages);
        self.with(|bytes| bytes[start..start + len].copy_from_slice(&new));
        Ok(())
    }
    async fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }
}
