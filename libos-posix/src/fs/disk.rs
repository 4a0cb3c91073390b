//! File systems on the disks of the session.
use super::setup::SessionClock;
use crate::file::Page;
use crate::io;
use crate::memory::{self, SessionFrames};
use crate::session::log_line;
use alloc::sync::Arc;
use serix_chroma::{Clock, FileSystem, PAGE_SIZE, VfsError, VfsResult};
use serix_ext4::{Options, Time, Volume};
use serix_transfer::BlockExtent;

/// Bounds of the metadata cache of a file system, in bytes.
const CACHE_LEAST: usize = 512 << 10;
const CACHE_MOST: usize = 16 << 20;

fn now() -> Time {
    let now = SessionClock.now();
    Time { seconds: now.seconds, nanoseconds: now.nanoseconds }
}

/// The ext4 file system on the extent in `slot`, of `sectors` sectors.
///
/// # Errors
/// `Invalid` if it is none, and those of the device; the log has the particulars.
pub async fn disk_file_system(
    slot: u32,
    sectors: u64,
    writable: bool,
) -> VfsResult<Arc<dyn FileSystem<Page>>> {
    let device = BlockExtent::new(io::ring().clone(), SessionFrames, slot, sectors, writable);
    let (_, frames) = memory::usage();
    let options = Options {
        read_only: !writable,
        log: Arc::new(|line| log_line(format_args!("ext4: {line}"))),
        cache_bytes: (frames * PAGE_SIZE / 32).clamp(CACHE_LEAST, CACHE_MOST),
        ..Options::new(Arc::new(now))
    };
    match Volume::mount(device, options).await {
        Ok(volume) => Ok(Arc::new(volume)),
        Err(error) => {
            log_line(format_args!("ext4: {error}"));
            Err(match error {
                serix_ext4::Error::Io { .. } => VfsError::Io,
                serix_ext4::Error::Corrupt { .. } => VfsError::Corrupt,
                _ => VfsError::Invalid,
            })
        }
    }
}
