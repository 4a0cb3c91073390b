//! The kernel heap: filled once at boot, for tables whose size is known then. What is in use is counted, and told to everybody.
use super::info::note_heap;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicU64, Ordering};
use talc::{TalcLock, source::Manual};

/// The heap, with a count.
struct Counted {
    heap: TalcLock<spin::Mutex<()>, Manual>,
    used: AtomicU64,
}

// Tests run on the host, which has one.
#[cfg_attr(not(test), global_allocator)]
static HEAP: Counted = Counted { heap: TalcLock::new(Manual), used: AtomicU64::new(0) };

// SAFETY: all work is the heap's, which keeps the contract.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() as u64;
        note_heap(self.used.fetch_add(size, Ordering::Relaxed) + size);
        // SAFETY: the caller's promise.
        unsafe { self.heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let size = layout.size() as u64;
        note_heap(self.used.fetch_sub(size, Ordering::Relaxed) - size);
        // SAFETY: the caller's promise.
        unsafe { self.heap.dealloc(memory, layout) }
    }
}

/// Gives the heap its memory.
///
/// # Safety
/// `start..start + size` is mapped writable kernel memory that nothing else uses, for ever.
pub(crate) unsafe fn fill(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.heap.lock().claim(start, size) };
}
