//! The ring page itself: the only unsafe code of this crate.
#![allow(unsafe_code)]
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;
use serix_abi::ring::{COMPLETIONS, Completion, RingPage, SUBMISSIONS, Submission};

#[cfg(test)]
pub(crate) mod device;

/// The domain's side of a ring page.
///
/// Each side writes its own two indices and reads the other's; entries are ordered by them: an entry is
/// written before the index that publishes it (release) and read after the index that shows it (acquire).
#[derive(Debug)]
pub struct RingMemory(NonNull<RingPage>);

// SAFETY: the page is shared memory by design; its indices are atomics, and the entries that this side
// writes are written only through `&mut RingMemory`.
unsafe impl Send for RingMemory {}
// SAFETY: as above; `&RingMemory` only loads indices.
unsafe impl Sync for RingMemory {}

impl RingMemory {
    /// The domain's side of the ring page at `page`.
    ///
    /// # Safety
    /// 1. `page` is mapped, readable and writable, for as long as the value lives.
    /// 2. This is the only `RingMemory` of that page, and nothing else on this side writes to it.
    #[must_use]
    pub const unsafe fn new(page: NonNull<RingPage>) -> Self {
        Self(page)
    }

    fn page(&self) -> *mut RingPage {
        self.0.as_ptr()
    }

    /// Submissions that the kernel has not yet taken.
    #[inline]
    pub(crate) fn untaken(&self) -> u32 {
        // SAFETY: the page is mapped (`new`); both fields are atomics.
        let (submitted, taken) = unsafe { (&(*self.page()).submitted, &(*self.page()).taken) };
        submitted.load(Ordering::Relaxed).wrapping_sub(taken.load(Ordering::Acquire))
    }

    /// Whether there is no completion to take, and no submission that the kernel has not taken.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        // SAFETY: the page is mapped (`new`); both fields are atomics.
        let (completed, seen) = unsafe { (&(*self.page()).completed, &(*self.page()).seen) };
        completed.load(Ordering::Acquire) == seen.load(Ordering::Relaxed) && self.untaken() == 0
    }

    /// Publishes a submission. The caller keeps fewer than [`SUBMISSIONS`] untaken.
    pub(crate) fn push(&mut self, submission: Submission) {
        debug_assert!((self.untaken() as usize) < SUBMISSIONS);
        // SAFETY: 1. the page is mapped (`new`). 2. The kernel does not read the entry before `submitted`
        // shows it, and has taken what was in it before (`untaken` < SUBMISSIONS). 3. `&mut self` is the only
        // writer on this side.
        unsafe {
            let submitted = &(*self.page()).submitted;
            let index = submitted.load(Ordering::Relaxed);
            let entry = &raw mut (*self.page()).submissions[index as usize % SUBMISSIONS];
            ptr::write_volatile(entry, submission);
            submitted.store(index.wrapping_add(1), Ordering::Release);
        }
    }

    /// Takes the next completion.
    pub(crate) fn pop(&mut self) -> Option<Completion> {
        // SAFETY: 1. the page is mapped (`new`). 2. The kernel does not write an entry between publishing it in
        // `completed` and seeing it passed in `seen`.
        unsafe {
            let (completed, seen) = (&(*self.page()).completed, &(*self.page()).seen);
            let index = seen.load(Ordering::Relaxed);
            if completed.load(Ordering::Acquire) == index {
                return None;
            }
            let entry = &raw const (*self.page()).completions[index as usize % COMPLETIONS];
            let completion = ptr::read_volatile(entry);
            seen.store(index.wrapping_add(1), Ordering::Release);
            Some(completion)
        }
    }
}
