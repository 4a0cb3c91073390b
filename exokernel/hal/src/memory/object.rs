//! Kernel objects that live in frames their owner paid for.
use super::frames::OwnedFrame;
use crate::cpu::{Context, local};
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

    /// Drops the value and gives the frame back.
    ///
    /// # Panics
    /// If the value is a core's current context: the kernel leaves a context before it ends it.
    #[must_use]
    pub fn into_frame(self) -> OwnedFrame {
        let (frame, value) = self.into_parts();
        drop(value);
        frame
    }

    /// Takes the value out and gives the frame back.
    ///
    /// # Panics
    /// As [`Self::into_frame`].
    #[must_use]
    pub fn into_parts(self) -> (OwnedFrame, T) {
        let start = self.frame.number().pointer::<T>() as u64;
        assert!(!local::is_current_in(start..start + PAGE_SIZE as u64), "ended a running context");
        // SAFETY: the box owned the value; it is read once, and the box does not drop it.
        let value = unsafe { core::ptr::read(self.value) };
        (self.frame, value)
    }
}

impl<T: AsMut<Context> + 'static> FrameBox<T> {
    /// Makes the context in this box the one that user code of this core runs in. `last` is the one that it ran in until now:
    /// what that has live is saved.
    #[inline(always)]
    pub fn make_current(&mut self, last: Option<&mut Context>) {
        let context: &mut Context = (**self).as_mut();
        // SAFETY: 1. The context stays in its claimed frame until `into_frame`, which refuses while it is current; a box
        // that is dropped keeps its frame claimed for ever. 2. Its root was a `Root`'s frame, and `Root::free` refuses
        // one that is in use.
        unsafe { local::set_current(context, last) };
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
