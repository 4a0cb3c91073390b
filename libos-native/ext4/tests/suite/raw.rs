//! An allocator that counts, so that tests can say how much memory an operation took.
#![allow(unsafe_code)]
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that this thread allocated and freed, and the most of it at once.
    static USED: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // A thread that is ending has no count any more.
    let _ = USED.try_with(|used| {
        let now = used.get().0 + change;
        used.set((now, used.get().1.max(now)));
    });
}

/// Runs `work`; answers with its result the bytes of memory that this thread had at most meanwhile,
/// beyond what it had before.
pub(crate) fn peak_memory<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = USED.get().0;
    USED.set((before, before));
    let result = work();
    (result, (USED.get().1 - before).max(0) as usize)
}

// SAFETY: every call is passed on to the system's allocator as it came, and counting allocates
// nothing: a constant-initialised thread local without a destructor needs no memory of the heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that the system's allocator asks.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `place` came from the system's allocator, with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}
