//! The kernel's side of a ring page, for tests.
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use serix_abi::ring::{COMPLETIONS, Completion, RingPage, SUBMISSIONS, Submission};
use std::alloc::{Layout, alloc_zeroed};

/// Plays the kernel on a page that it owns (and leaks: tests are short).
#[derive(Clone, Copy)]
pub(crate) struct KernelSide(NonNull<RingPage>);

// SAFETY: the indices are atomics and the tests keep one kernel side in use at a time.
unsafe impl Send for KernelSide {}
// SAFETY: as above.
unsafe impl Sync for KernelSide {}

impl KernelSide {
    pub(crate) fn new() -> Self {
        // SAFETY: the layout is not empty; all-zero bytes are a valid `RingPage`.
        let page = unsafe { alloc_zeroed(Layout::new::<RingPage>()) };
        Self(NonNull::new(page.cast()).expect("memory"))
    }

    /// The one domain's side of this page.
    pub(crate) fn memory(self) -> super::RingMemory {
        // SAFETY: the page is never freed, and each test makes one.
        unsafe { super::RingMemory::new(self.0) }
    }

    /// Takes one submission.
    pub(crate) fn take(self) -> Option<Submission> {
        // SAFETY: as in `RingMemory::pop`, with the roles changed.
        unsafe {
            let page = self.0.as_ptr();
            let index = (*page).taken.load(Ordering::Relaxed);
            let submitted = (*page).submitted.load(Ordering::Acquire);
            if index == submitted {
                return None;
            }
            assert!(submitted.wrapping_sub(index) as usize <= SUBMISSIONS, "ring overrun");
            let entry = (&raw const (*page).submissions[index as usize % SUBMISSIONS]).read();
            (*page).taken.store(index.wrapping_add(1), Ordering::Release);
            Some(entry)
        }
    }

    /// Publishes one completion.
    pub(crate) fn complete(self, completion: Completion) {
        // SAFETY: as in `RingMemory::push`, with the roles changed.
        unsafe {
            let page = self.0.as_ptr();
            let index = (*page).completed.load(Ordering::Relaxed);
            let seen = (*page).seen.load(Ordering::Acquire);
            assert!((index.wrapping_sub(seen) as usize) < COMPLETIONS, "completions overrun");
            (&raw mut (*page).completions[index as usize % COMPLETIONS]).write(completion);
            (*page).completed.store(index.wrapping_add(1), Ordering::Release);
        }
    }
}
