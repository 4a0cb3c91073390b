//! The heap of the libOS: grows by frames mapped at its end, never shrinks.
use super::{HEAP_ADDRESS, kernel};
use crate::memory::{self, FrameNumber};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use serix_sys::abi::PAGE_SIZE;
use spin::Mutex;
use talc::base::Talc;
use talc::base::binning::DefaultBinning;
use talc::source::Manual;

/// Frames by which the heap grows at least.
const GROWTH: usize = 32;
/// Most bytes that the heap can have.
const LIMIT: usize = 0x8_0000_0000;

struct Heap {
    talc: Talc<Manual, DefaultBinning>,
    end: Option<NonNull<u8>>,
    size: usize,
}

// SAFETY: the heap's pointers lead into memory that only it hands out; a mutex guards it.
unsafe impl Send for Heap {}

static HEAP: Mutex<Heap> = Mutex::new(Heap { talc: Talc::new(Manual), end: None, size: 0 });

impl Heap {
    /// Maps more frames at the end; false if there are none.
    fn grow(&mut self, bytes: usize) -> bool {
        let wanted = bytes.div_ceil(PAGE_SIZE).max(GROWTH);
        let mut done = 0;
        while done < wanted && self.size < LIMIT {
            let mut batch = [FrameNumber(0); GROWTH];
            let count = memory::take_frames(&mut batch[..GROWTH.min(wanted - done)]);
            let at = HEAP_ADDRESS + self.size as u64;
            if count == 0 || kernel::map_session(at, &batch[..count]).is_err() {
                return false;
            }
            self.size += count * PAGE_SIZE;
            done += count;
        }
        self.extend();
        true
    }

    fn extend(&mut self) {
        let base = HEAP_ADDRESS as *mut u8;
        // SAFETY: the pages up to `size` were mapped for the heap alone.
        unsafe {
            self.end = match self.end {
                None => self.talc.claim(base, self.size),
                Some(end) => Some(self.talc.extend(end, base.add(self.size))),
            };
        }
    }

    fn allocate(&mut self, layout: Layout) -> *mut u8 {
        loop {
            // SAFETY: layouts of `GlobalAlloc` have a size.
            if let Some(memory) = unsafe { self.talc.allocate(layout) } {
                return memory.as_ptr();
            }
            if !self.grow(layout.size() + layout.align() + PAGE_SIZE) {
                return core::ptr::null_mut();
            }
        }
    }
}

/// Bytes mapped for the heap.
#[must_use]
pub fn size() -> usize {
    HEAP.lock().size
}

/// The global allocator of the image.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: memory comes from `Talc`, which keeps the contract, under a lock.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.lock().allocate(layout)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller got it from `alloc` with this layout.
        unsafe { HEAP.lock().talc.deallocate(memory, layout) }
    }
}

#[cfg(target_os = "none")]
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;
