//! Kernel objects that live in frames their owner paid for.
use super::frames::OwnedFrame;
use core::ops::{Deref, DerefMut};
use serix_abi::PAGE_SIZE;

/// A value in a claimed frame, as `Box` is a value on a heap. It does not free itself: [`Self::into_frame`]
/// gives the frame back, for the account that paid.
pub struct FrameBox<T: 'static> {
    frame: OwnedFrame,
    value: &'static mut T,
}

impl<T: 'static> FrameBox<T> {
    /// Moves a value into a frame.
    #[must_use]
    pub fn new(frame: OwnedFrame, value: T) -> Self {
        const { assert!(size_of::<T>() <= PAGE_SIZE && align_of::<T>() <= PAGE_SIZE) };
        let pointer = frame.number().pointer::<T>();
        // SAFETY: 1. `frame` is exclusive ownership of claimed RAM, reachable at `pointer` for as long as the box
        // holds it. 2. Size and alignment fit, as asserted.
        let value = unsafe {
            pointer.write(value);
            &mut *pointer
        };
        Self { frame, value }
    }

    /// Makes a value in a zeroed frame in place, for types that are large and valid as zeroes plus `init`.
    ///
    /// # Safety
    /// All-zero bytes are a valid `T`.
    #[must_use]
    pub unsafe fn zeroed(mut frame: OwnedFrame) -> Self {
        const { assert!(size_of::<T>() <= PAGE_SIZE && align_of::<T>() <= PAGE_SIZE) };
        frame.zero();
        let pointer = frame.number().pointer::<T>();
        // SAFETY: as in `new`; the caller says that zeroes are a value.
        let value = unsafe { &mut *pointer };
        Self { frame, value }
    }

    /// Drops the value and gives the frame back.
    #[must_use]
    pub fn into_frame(self) -> OwnedFrame {
        // SAFETY: the box owned the value, which nothing reads after this.
        unsafe { core::ptr::drop_in_place(self.value) };
        self.frame
    }
}

impl<T> Deref for FrameBox<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> DerefMut for FrameBox<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.value
    }
}
