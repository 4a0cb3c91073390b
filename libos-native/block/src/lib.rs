//! Pages and block devices as file systems see them.
//!
//! This crate owns two traits and nothing else: [`Page`], a shared 4 KiB of memory that a device
//! can reach by DMA, and [`BlockDevice`], an extent of a disk. A file system is generic over a
//! `BlockDevice`; the page cache hands the same pages to the device, so that file data moves
//! between disk and program without a copy.
#![no_std]
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod host;

use core::future::Future;

/// Bytes in a [`Page`].
pub const PAGE_SIZE: usize = 4096;
/// Bytes in a sector, the unit of every device address (as in virtio 1.2, 5.2.4).
pub const SECTOR_SIZE: usize = 512;
/// Sectors in a [`Page`].
pub const SECTORS_PER_PAGE: u64 = (PAGE_SIZE / SECTOR_SIZE) as u64;

/// A handle to 4 KiB of shared memory: cloning shares the memory, the last drop frees it.
///
/// A device, a page cache and a program's mapping may hold the same page at once, so access is by
/// copying and a reader may see a write in progress. Offsets past the end of the page panic: they
/// are the caller's arithmetic, never input.
pub trait Page: Clone + Send + Sync + 'static {
    /// Copies `into.len()` bytes starting at `offset` out of the page.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies `from` into the page at `offset`.
    fn write(&self, offset: usize, from: &[u8]);
    /// Sets `len` bytes at `offset` to zero.
    fn zero(&self, offset: usize, len: usize);
    /// Whether both handles name the same memory.
    fn same(&self, other: &Self) -> bool;
}

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The device reported an error, or was reset.
    Io,
    /// The range is not inside the device.
    OutOfRange,
    /// The device, or the capability for it, does not allow writing.
    ReadOnly,
}

/// An extent of a disk, addressed in sectors of 512 bytes from its own start.
///
/// Many requests may be in flight; none is ordered against another except by [`Self::flush`].
/// A future holds its own clones of the pages: dropping it abandons the result, not the transfer.
pub trait BlockDevice: Send + Sync + 'static {
    /// The memory that this device can reach.
    type Page: Page;

    /// Number of 512-byte sectors.
    fn sector_count(&self) -> u64;

    /// A zeroed page, or `None` when memory is short.
    fn allocate_page(&self) -> Option<Self::Page>;

    /// Reads `sector_count` sectors from `sector` on into `pages`, filling each page in turn. The
    /// transfer starts at byte `offset` (a multiple of 512) of the first page.
    fn read(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[Self::Page],
    ) -> impl Future<Output = Result<(), BlockError>> + Send;

    /// Writes as [`Self::read`] reads. Done means accepted by the device, not durable.
    fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[Self::Page],
    ) -> impl Future<Output = Result<(), BlockError>> + Send;

    /// Makes every write that completed before this call durable.
    fn flush(&self) -> impl Future<Output = Result<(), BlockError>> + Send;
}
