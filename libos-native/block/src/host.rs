//! Pages and devices for tests on the host.
//!
//! [`MemoryDisk`] and [`FileDisk`] hold bytes; [`RecordingDisk`] and [`FaultyDisk`] wrap a device
//! and keep its write log, respectively fail a chosen request. [`block_on`] drives one future.
use crate::{BlockError, PAGE_SIZE, Page, SECTOR_SIZE};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;
use std::vec::Vec;

mod fault;
mod file;
mod memory;
mod record;
mod run;

pub use fault::{FaultyDisk, Request};
pub use file::FileDisk;
pub use memory::MemoryDisk;
pub use record::{Entry, RecordingDisk, replay};
pub use run::{block_on, run_all, yield_once};

/// A page in host memory.
#[derive(Clone)]
pub struct HostPage(Arc<Mutex<[u8; PAGE_SIZE]>>);

impl HostPage {
    /// A page of zeroes.
    #[must_use]
    pub fn zeroed() -> Self {
        Self(Arc::new(Mutex::new([0; PAGE_SIZE])))
    }

    fn with<R>(&self, act: impl FnOnce(&mut [u8; PAGE_SIZE]) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Page for HostPage {
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.with(|page| into.copy_from_slice(&page[offset..offset + into.len()]));
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.with(|page| page[offset..offset + from.len()].copy_from_slice(from));
    }
    fn zero(&self, offset: usize, len: usize) {
        self.with(|page| page[offset..offset + len].fill(0));
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Byte range of a transfer in the device, if it is inside `device_sectors`.
fn byte_range(device_sectors: u64, sector: u64, count: u32) -> Result<(u64, usize), BlockError> {
    let end = sector.checked_add(u64::from(count)).ok_or(BlockError::OutOfRange)?;
    if end > device_sectors {
        return Err(BlockError::OutOfRange);
    }
    Ok((sector * SECTOR_SIZE as u64, count as usize * SECTOR_SIZE))
}

/// Calls `act(offset in transfer, page, offset in page, length)` for each page of a transfer.
fn for_each_part(
    len: usize,
    offset: usize,
    pages: &[HostPage],
    mut act: impl FnMut(usize, &HostPage, usize, usize),
) {
    assert!(offset.is_multiple_of(SECTOR_SIZE) && offset < PAGE_SIZE, "offset {offset}");
    assert!(offset + len <= pages.len() * PAGE_SIZE, "{len} bytes do not fit the pages");
    let (mut done, mut within) = (0, offset);
    for page in pages {
        let part = (len - done).min(PAGE_SIZE - within);
        if part == 0 {
            return;
        }
        act(done, page, within, part);
        done += part;
        within = 0;
    }
}

/// Copies a transfer's pages out.
fn gather(len: usize, offset: usize, pages: &[HostPage]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for_each_part(len, offset, pages, |at, page, within, part| {
        page.read(within, &mut bytes[at..at + part]);
    });
    bytes
}

/// Copies `bytes` into a transfer's pages.
fn scatter(bytes: &[u8], offset: usize, pages: &[HostPage]) {
    for_each_part(bytes.len(), offset, pages, |at, page, within, part| {
        page.write(within, &bytes[at..at + part]);
    });
}
