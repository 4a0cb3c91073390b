//! A domain's record page, as the kernel sees it: written, never read.
use super::frames::FrameTable;
use crate::address::FrameNumber;
use core::sync::atomic::Ordering;
use serix_abi::record::{Asked, RECORD_ENTRIES, RecordPage, Taken};

/// A pinned record page. How often something was written is the kernel's own count.
#[derive(Debug)]
pub struct SharedRecord {
    frame: FrameNumber,
    asks: u64,
    taken: u64,
}

impl SharedRecord {
    /// Pins the frame; `None` if it is not ring 3's.
    pub fn new(frames: &mut FrameTable, frame: FrameNumber) -> Option<Self> {
        let record = frames.pin(frame).then_some(Self { frame, asks: 0, taken: 0 })?;
        record.page().asks.store(0, Ordering::Relaxed);
        record.page().taken.store(0, Ordering::Relaxed);
        Some(record)
    }

    /// Lets go of the page.
    pub fn release(self, frames: &mut FrameTable) {
        frames.unpin(self.frame);
    }

    fn page(&self) -> &RecordPage {
        // SAFETY: a pinned frame of ring 3 in the direct map. Only its atomic words are accessed by reference.
        unsafe { &*self.frame.pointer::<RecordPage>() }
    }

    /// Writes what the domain is asked for.
    pub fn ask(&mut self, asked: Asked) {
        // SAFETY: as in `page`; ring 3 may read meanwhile, hence volatile.
        unsafe { (&raw mut (*self.frame.pointer::<RecordPage>()).asked).write_volatile(asked) };
        self.asks += 1;
        self.page().asks.store(self.asks, Ordering::Release);
    }

    /// Appends what was taken.
    pub fn append(&mut self, taken: Taken) {
        let place = self.taken as usize % RECORD_ENTRIES;
        // SAFETY: in bounds; as in `ask`.
        unsafe {
            (&raw mut (*self.frame.pointer::<RecordPage>()).entries[place]).write_volatile(taken);
        }
        self.taken += 1;
        self.page().taken.store(self.taken, Ordering::Release);
    }
}
