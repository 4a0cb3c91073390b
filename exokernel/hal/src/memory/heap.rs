//! The kernel heap: filled once at boot, for tables whose size is known then.
use talc::{TalcLock, source::Manual};

// Tests run on the host, which has one.
#[cfg_attr(not(test), global_allocator)]
static HEAP: TalcLock<spin::Mutex<()>, Manual> = TalcLock::new(Manual);

/// Gives the heap its memory.
///
/// # Safety
/// `start..start + size` is mapped writable kernel memory that nothing else uses, for ever.
pub(crate) unsafe fn fill(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.lock().claim(start, size) };
}
