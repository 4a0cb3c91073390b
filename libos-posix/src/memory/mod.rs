//! Memory: frames, pages, address spaces of programs, and copying to and from them.
//!
//! Owns the frame pool and every page-table change of a program. May use `raw`, the page cache through `fs`, and the
//! scheduler only where a fault waits for a file. Invariant: a frame is free only if no program maps it and no
//! handle to it lives; each mapping is one holder.
pub mod fault;
pub mod frames;
pub mod page;
pub mod space;
pub mod user;
pub mod vdso;
pub mod vma;

pub use frames::{FrameNumber, FramePool, FrameRange, RANGES_MAX};
pub use page::{FramePage, SessionFrames};
pub use space::AddressSpace;
pub use user::UserAddress;

use crate::{Errno, Result};
use serix_sys::Slot;
use spin::{Mutex, MutexGuard};

/// Frames below which calls that allocate are refused.
const WATERMARK: usize = 64;
/// Frames that only processes that exist already may use.
const FORK_RESERVE: usize = 512;

static POOL: Mutex<Option<FramePool>> = Mutex::new(None);

/// The frame pool. Only for the moment of one operation.
#[inline]
pub(crate) fn pool() -> impl core::ops::DerefMut<Target = FramePool> {
    // One core, and no holder blocks: who finds it taken has taken it himself.
    let Some(guard) = POOL.try_lock() else { panic!("the frame pool is in use by its own user") };
    Pool(guard)
}

struct Pool(MutexGuard<'static, Option<FramePool>>);

impl core::ops::Deref for Pool {
    type Target = FramePool;
    #[inline(always)]
    fn deref(&self) -> &FramePool {
        let Some(pool) = &*self.0 else { panic!("the frame pool has not started") };
        pool
    }
}

impl core::ops::DerefMut for Pool {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut FramePool {
        let Some(pool) = &mut *self.0 else { panic!("the frame pool has not started") };
        pool
    }
}

/// Starts the pool; see [`FramePool::new`].
pub fn start(
    ranges: &[FrameRange],
    first_free: u32,
    counts: &'static mut [u32],
    free: &'static mut [u32],
) {
    *POOL.lock() = Some(FramePool::new(ranges, first_free, counts, free));
}

/// Takes frames until `into` is full or there are none; answers how many.
pub fn take_frames(into: &mut [FrameNumber]) -> usize {
    let mut pool = pool();
    let mut count = 0;
    while count < into.len() {
        let Some(frame) = pool.allocate() else { break };
        into[count] = frame;
        count += 1;
    }
    count
}

/// Slot and unit of a frame.
#[inline]
#[must_use]
pub fn locate(frame: FrameNumber) -> (Slot, u64) {
    pool().locate(frame)
}

/// The session's frame with a physical number.
#[inline]
#[must_use]
pub fn frame_at(physical: u64) -> Option<FrameNumber> {
    pool().at_physical(physical)
}

/// Free and all frames of the session.
#[must_use]
pub fn usage() -> (usize, usize) {
    let pool = pool();
    (pool.free_count(), pool.total())
}

/// Refuses a call that will allocate when the heap may not be able to: collections abort, so this decides first.
///
/// # Errors
/// `ENOMEM`.
#[inline]
pub fn check_watermark() -> Result<()> {
    if pool().free_count() < WATERMARK { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// Refuses a new process when it would take what those that exist need.
///
/// # Errors
/// `EAGAIN`.
pub fn check_fork_reserve() -> Result<()> {
    let pool = pool();
    let reserve = FORK_RESERVE.min(pool.total() / 8);
    if pool.free_count() < reserve { Err(Errno::EAGAIN) } else { Ok(()) }
}
