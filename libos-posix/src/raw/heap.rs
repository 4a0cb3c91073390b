//! The heap of the libOS: grows by frames mapped at its end, never shrinks.
//!
//! Small blocks that were freed wait in a list for each size for the next of that size: most allocations and
//! frees are a pop and a push.
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

/// Sizes of small blocks: multiples of this, up to [`CLASSES`] times it.
const CLASS_SIZE: usize = 16;
const CLASSES: usize = 128;

/// A freed small block: the next of its list.
struct Spare(Option<NonNull<Spare>>);

struct Heap {
    talc: Talc<Manual, DefaultBinning>,
    spare: [Option<NonNull<Spare>>; CLASSES + 1],
    end: Option<NonNull<u8>>,
    size: usize,
}

// SAFETY: the heap's pointers lead into memory that only it hands out; a mutex guards it.
unsafe impl Send for Heap {}

static HEAP: Mutex<Heap> =
    Mutex::new(Heap { talc: Talc::new(Manual), spare: [None; CLASSES + 1], end: None, size: 0 });

/// The class of a block, if it is a small one.
#[inline(always)]
const fn class(layout: &Layout) -> Option<usize> {
    let class = layout.size().div_ceil(CLASS_SIZE);
    if class <= CLASSES && layout.align() <= CLASS_SIZE { Some(class) } else { None }
}

/// What is asked of the allocator below for a block of a class.
const fn class_layout(class: usize) -> Layout {
    match Layout::from_size_align(class * CLASS_SIZE, CLASS_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("classes are small"),
    }
}

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

    #[inline]
    fn allocate(&mut self, layout: Layout) -> *mut u8 {
        let Some(class) = class(&layout) else { return self.allocate_fresh(layout) };
        match self.spare[class] {
            Some(block) => {
                // SAFETY: a block of the list is free, and its first word is the next one, as `free` left it.
                self.spare[class] = unsafe { block.read().0 };
                block.as_ptr().cast()
            }
            None => self.allocate_fresh(class_layout(class)),
        }
    }

    /// # Safety
    /// The block was allocated here with this layout and is used no more.
    #[inline]
    unsafe fn free(&mut self, memory: *mut u8, layout: Layout) {
        match (class(&layout), NonNull::new(memory.cast::<Spare>())) {
            (Some(class), Some(block)) => {
                // SAFETY: the caller's promise; each class has room for a word, and its alignment.
                unsafe { block.write(Spare(self.spare[class])) };
                self.spare[class] = Some(block);
            }
            // SAFETY: the caller's promise; blocks without a class come from `allocate_fresh` with this layout.
            _ => unsafe { self.talc.deallocate(memory, layout) },
        }
    }

    #[cold]
    fn allocate_fresh(&mut self, layout: Layout) -> *mut u8 {
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
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.lock().allocate(layout)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller got it from `alloc` with this layout.
        unsafe { HEAP.lock().free(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps size and alignment legal together.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if let Some(old) = class(&layout)
            && class(&new) == Some(old)
        {
            return memory;
        }
        let mut heap = HEAP.lock();
        let moved = heap.allocate(new);
        if !moved.is_null() {
            // SAFETY: 1. Both blocks have the smaller of the sizes and do not overlap. 2. The caller gave `memory` up.
            unsafe {
                core::ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                heap.free(memory, layout);
            }
        }
        moved
    }
}

#[cfg(target_os = "none")]
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;
