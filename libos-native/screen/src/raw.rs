//! A framebuffer by its address.
#![allow(unsafe_code)]
use crate::Pixels;

/// Mapped device memory.
#[derive(Debug)]
pub struct Mapped {
    first: *mut u32,
    words: usize,
}

// SAFETY: Device memory belongs to no thread, and `Mapped` is the only one who writes to it.
unsafe impl Send for Mapped {}

impl Mapped {
    /// # Safety
    /// `words` 32-bit words from `first` on are mapped, writable, used by nobody else, and stay so for as long as this lives.
    pub const unsafe fn new(first: *mut u32, words: usize) -> Self {
        Self { first, words }
    }
}

impl Pixels for Mapped {
    #[inline]
    fn set(&mut self, index: usize, word: u32) {
        if index < self.words {
            // SAFETY: 1. Inside what `new` was promised. 2. Volatile, since the device reads it and nobody here does.
            unsafe { self.first.add(index).write_volatile(word) };
        }
    }
}
