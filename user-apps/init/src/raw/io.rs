//! Pages that devices reach.

use alloc::sync::Arc;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_block::Page;
use serix_sys::{Result, memory};
use serix_transfer::raw::RingMemory;
use serix_transfer::{FrameAddress, FrameMemory};

use super::{IO_ADDRESS, KernelInfo};
use crate::frames::Piece;
use crate::machine::Account;

/// Most pages: one for each bit of the free set.
const PAGES_MAX: u64 = 64;

struct Pool {
    frames: Piece,
    /// A set bit is a free page.
    free: AtomicU64,
}

impl Pool {
    fn address(&self, page: u32) -> *mut u8 {
        (IO_ADDRESS + u64::from(page) * PAGE_SIZE as u64) as *mut u8
    }
}

/// A few pages, mapped for good.
#[derive(Clone)]
pub struct IoMemory(Arc<Pool>);

/// One of them; the last handle frees it.
#[derive(Clone)]
pub struct IoPage(Arc<Lease>);

struct Lease {
    pool: Arc<Pool>,
    page: u32,
}

impl IoMemory {
    /// Maps the frames of `piece` and makes a pool of all but the first, which is for a ring.
    ///
    /// # Errors
    /// As the kernel's map.
    ///
    /// # Panics
    /// When called twice: there is one range for it.
    pub fn new(
        info: &KernelInfo,
        account: &mut Account,
        piece: Piece,
    ) -> Result<(Self, RingMemory)> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        assert!(!TAKEN.swap(true, Ordering::Relaxed), "a second pool");
        let environment = info.environment();
        let frames = Piece { count: piece.count.min(PAGES_MAX), ..piece };
        let flags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);
        account.paying(|| {
            // SAFETY: the range is used by nothing else (`super`).
            unsafe {
                memory::map_range(
                    environment,
                    IO_ADDRESS,
                    frames.slot,
                    frames.first,
                    frames.count,
                    flags,
                )
            }
        })?;
        let all = u64::MAX >> (PAGES_MAX - frames.count.max(1));
        let pool = Pool { frames, free: AtomicU64::new(all & !1) };
        let ring = pool.address(0);
        // SAFETY: the page was just mapped, writable; nothing else uses it.
        unsafe { ptr::write_bytes(ring, 0, PAGE_SIZE) };
        let ring = NonNull::new(ring.cast()).expect("the address is not zero");
        // SAFETY: 1. It stays mapped. 2. It is not in the free set, and `TAKEN` lets nobody come here again.
        Ok((Self(Arc::new(pool)), unsafe { RingMemory::new(ring) }))
    }
}

impl FrameMemory for IoMemory {
    type Page = IoPage;

    fn allocate_page(&self) -> Option<IoPage> {
        // One thread: nothing comes between load and store.
        let free = self.0.free.load(Ordering::Relaxed);
        let page = (free != 0).then(|| free.trailing_zeros())?;
        self.0.free.store(free & !(1 << page), Ordering::Relaxed);
        let lease = IoPage(Arc::new(Lease { pool: self.0.clone(), page }));
        lease.zero(0, PAGE_SIZE);
        Some(lease)
    }

    fn locate(&self, page: &IoPage) -> FrameAddress {
        let frames = self.0.frames;
        FrameAddress { slot: frames.slot.0, unit: frames.first as u32 + page.0.page }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.free.fetch_or(1 << self.page, Ordering::Relaxed);
    }
}

impl IoPage {
    /// The bytes from `offset` on, `len` of which are inside the page.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= PAGE_SIZE && len <= PAGE_SIZE - offset);
        self.0.pool.address(self.0.page).wrapping_add(offset)
    }
}

impl Page for IoPage {
    fn read(&self, offset: usize, into: &mut [u8]) {
        // SAFETY: the source is inside a mapped page that no Rust reference points into.
        unsafe { ptr::copy(self.at(offset, into.len()), into.as_mut_ptr(), into.len()) }
    }

    fn write(&self, offset: usize, from: &[u8]) {
        // SAFETY: as in `read`, with source and target changed.
        unsafe { ptr::copy(from.as_ptr(), self.at(offset, from.len()), from.len()) }
    }

    fn zero(&self, offset: usize, len: usize) {
        // SAFETY: as in `read`.
        unsafe { ptr::write_bytes(self.at(offset, len), 0, len) }
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
