//! A transfer ring's page, as the kernel sees it: shared with ring 3, copied once, believed never.
use crate::address::FrameNumber;
use crate::memory::frames::FrameTable;
use core::sync::atomic::Ordering;
use serix_abi::ring::{COMPLETIONS, Completion, RingPage, SUBMISSIONS, Submission};

/// A pinned ring page. The kernel's indices are its own; those in the page are for ring 3.
#[derive(Debug)]
pub struct SharedRing {
    frame: FrameNumber,
    taken: u32,
    completed: u32,
}

impl SharedRing {
    /// Pins the frame; `None` if it is not ring 3's.
    pub fn new(frames: &mut FrameTable, frame: FrameNumber) -> Option<Self> {
        let ring = frames.pin(frame).then_some(Self { frame, taken: 0, completed: 0 })?;
        ring.page().taken.store(0, Ordering::Relaxed);
        ring.page().completed.store(0, Ordering::Relaxed);
        Some(ring)
    }

    /// Lets go of the page.
    pub fn release(self, frames: &mut FrameTable) {
        frames.unpin(self.frame);
    }

    fn page(&self) -> &RingPage {
        // SAFETY: a pinned frame of ring 3 in the direct map. Only its atomic words are accessed by reference; records are
        // copied with volatile accesses below.
        unsafe { &*self.frame.pointer::<RingPage>() }
    }

    /// The next submission, copied; `None` if there is none, or more are claimed than the ring holds.
    pub fn take(&mut self) -> Option<Submission> {
        let submitted = self.page().submitted.load(Ordering::Acquire);
        let waiting = submitted.wrapping_sub(self.taken);
        if waiting == 0 || waiting > SUBMISSIONS as u32 {
            return None;
        }
        let place = self.taken as usize % SUBMISSIONS;
        // SAFETY: in bounds; any bytes are a `Submission`; ring 3 may be writing, hence volatile, and the copy is checked.
        let submission = unsafe {
            (&raw const (*self.frame.pointer::<RingPage>()).submissions[place]).read_volatile()
        };
        self.taken = self.taken.wrapping_add(1);
        self.page().taken.store(self.taken, Ordering::Release);
        Some(submission)
    }

    /// Whether there is room for `count` more completions, going by what ring 3 says it has seen.
    #[must_use]
    pub fn has_room(&self, count: u32) -> bool {
        let unseen = self.completed.wrapping_sub(self.page().seen.load(Ordering::Acquire));
        unseen.saturating_add(count) <= COMPLETIONS as u32
    }

    /// Writes a completion.
    pub fn complete(&mut self, completion: Completion) {
        let place = self.completed as usize % COMPLETIONS;
        // SAFETY: in bounds; ring 3 may read meanwhile, hence volatile.
        unsafe {
            (&raw mut (*self.frame.pointer::<RingPage>()).completions[place])
                .write_volatile(completion);
        }
        self.completed = self.completed.wrapping_add(1);
        self.page().completed.store(self.completed, Ordering::Release);
    }
}
