//! The heap of both front ends: a fixed arena that only grows.
//!
//! It works before and after UEFI's boot services end. The loader builds a few short lists and
//! strings, then leaves for ever; nothing is worth freeing. Invariant: blocks never overlap, on the one CPU that runs this program.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 1 << 20;

#[repr(align(4096))]
struct Arena {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: `used` hands out each byte of `bytes` at most once.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { bytes: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

// SAFETY: 1. Blocks lie in the arena, aligned (it is page aligned, more is refused), and are never
// handed out twice. 2. A full arena gives null.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.load(Ordering::Relaxed).next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if end <= SIZE && layout.align() <= 4096 => {
                self.used.store(end, Ordering::Relaxed);
                self.bytes.get().cast::<u8>().wrapping_add(start)
            }
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // The last block can be given back.
        let end = block.wrapping_add(layout.size()) as usize - self.bytes.get() as usize;
        if end == self.used.load(Ordering::Relaxed) {
            self.used.store(end - layout.size(), Ordering::Relaxed);
        }
    }
}
