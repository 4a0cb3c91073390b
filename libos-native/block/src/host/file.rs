//! A disk over a file of the host.
use super::{HostPage, byte_range, gather, scatter};
use crate::{BlockDevice, BlockError, SECTOR_SIZE};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::vec;

/// A disk over a file of the host; clones share the file. A flush does not reach the host's disk:
/// tests judge what the file holds, not what survives the host.
#[derive(Clone)]
pub struct FileDisk {
    file: Arc<File>,
    sector_count: u64,
}

impl FileDisk {
    /// Opens an image for reading and writing.
    ///
    /// # Errors
    /// What opening the file or reading its size reports.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let sector_count = file.metadata()?.len() / SECTOR_SIZE as u64;
        Ok(Self { file: Arc::new(file), sector_count })
    }
}

impl BlockDevice for FileDisk {
    type Page = HostPage;

    fn sector_count(&self) -> u64 {
        self.sector_count
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
        let (start, len) = byte_range(self.sector_count, sector, sector_count)?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, start).map_err(|_| BlockError::Io)?;
        scatter(&bytes, offset, pages);
        Ok(())
    }
    async fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        let (start, len) = byte_range(self.sector_count, sector, sector_count)?;
        let bytes = gather(len, offset, pages);
        self.file.write_all_at(&bytes, start).map_err(|_| BlockError::Io)
    }
    async fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }
}
