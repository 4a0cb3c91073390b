//! A transfer ring of the test's own, written word by word: everything in it may be wrong.

use core::mem::offset_of;
use serix_abi::Call;
use serix_abi::ring::{COMPLETIONS, Completion, RingPage, SUBMISSIONS, Segment, Submission};
use serix_sys::Slot;

use crate::check::Failure;
use crate::raw::{self, call};
use crate::session::Session;

/// How long a transfer may take, in nanoseconds.
const PATIENCE_NS: u64 = 5_000_000_000;
/// Frames of the buffer.
pub const BUFFER_FRAMES: u32 = 8;

/// A ring, its event, and a buffer to transfer to.
pub struct TestRing {
    /// Slot of the ring.
    pub slot: Slot,
    /// Slot of the event whose bit 0 tells of completions.
    pub event: Slot,
    /// Slot of the buffer's frames.
    pub frames: Slot,
    /// First frame of the buffer.
    pub buffer: u32,
    /// Frame of the ring page.
    pub unit: u64,
    /// Where the ring page is mapped.
    pub page: u64,
    made: u32,
    seen: u32,
}

impl TestRing {
    /// A ring in a fresh frame.
    ///
    /// # Errors
    /// What went wrong.
    pub fn new(session: &mut Session) -> Result<Self, Failure> {
        let (unit, page) = session.take_page()?;
        for at in (0..4096).step_by(8) {
            raw::write(page + at, 0)?;
        }
        let event = crate::child::event()?;
        let slot = call(Call::RingCreate, &[session.frames.0.into(), unit, event.0.into(), 1])?;
        let buffer = session.take_frames(BUFFER_FRAMES.into()) as u32;
        let (slot, frames) = (Slot(slot as u32), session.frames);
        Ok(Self { slot, event, frames, buffer, unit, page, made: 0, seen: 0 })
    }

    /// What makes it up, so that another dispatcher can go on with it: slots of ring, event and frames, buffer, frame and address of the page.
    #[must_use]
    pub fn parts(&self) -> [u64; 6] {
        let slots = [self.slot, self.event, self.frames].map(|slot| u64::from(slot.0));
        [slots[0], slots[1], slots[2], self.buffer.into(), self.unit, self.page]
    }

    /// A ring without transfers, from its parts.
    #[must_use]
    pub fn from_parts(parts: [u64; 6]) -> Self {
        let [slot, event, frames] = [parts[0], parts[1], parts[2]].map(|slot| Slot(slot as u32));
        let (buffer, unit, page) = (parts[3] as u32, parts[4], parts[5]);
        Self { slot, event, frames, buffer, unit, page, made: 0, seen: 0 }
    }

    /// A read of sectors of a disk into the buffer.
    #[must_use]
    pub fn read(&self, target: Slot, sector: u64, length: u32) -> Submission {
        let buffer = Segment { unit: self.buffer, count: BUFFER_FRAMES };
        let mut segments = [Segment::default(); 4];
        segments[0] = buffer;
        Submission {
            operation: serix_abi::ring::operation::READ,
            segment_count: 1,
            target: target.0,
            sector,
            length,
            frames: self.frames.0,
            segments,
            ..Submission::default()
        }
    }

    /// Writes an entry, and tells nobody.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn put(&mut self, submission: &Submission) -> Result<(), Failure> {
        let index = self.made as usize % SUBMISSIONS;
        let at = self.page + (offset_of!(RingPage, submissions) + index * 64) as u64;
        let half = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let first = u32::from(submission.operation)
            | u32::from(submission.segment_count) << 8
            | u32::from(submission.offset) << 16;
        let words = [
            half(first, submission.target),
            submission.sector,
            u64::from(self.made),
            half(submission.length, submission.frames),
        ];
        let segments = submission.segments.iter().map(|run| half(run.unit, run.count));
        for (word, value) in words.into_iter().chain(segments).enumerate() {
            raw::write(at + word as u64 * 8, value)?;
        }
        self.made += 1;
        Ok(())
    }

    /// Sets the index of submissions made, keeping the kernel's beside it.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub fn set_submitted(&self, submitted: u32) -> Result<(), Failure> {
        let taken = raw::read(self.page)? >> 32;
        Ok(raw::write(self.page, u64::from(submitted) | taken << 32)?)
    }

    /// Shows the kernel what was put; how many it took.
    ///
    /// # Errors
    /// As `RingSubmit`.
    pub fn submit(&self) -> Result<u64, Failure> {
        self.set_submitted(self.made)?;
        Ok(call(Call::RingSubmit, &[self.slot.0.into()])?)
    }

    /// Whether the next completion is there.
    ///
    /// # Errors
    /// If the page cannot be read.
    pub fn has_completed(&self) -> Result<bool, Failure> {
        Ok(raw::read(self.page + 8)? as u32 != self.seen)
    }

    /// Waits for the next completion.
    ///
    /// # Errors
    /// `TimedOut` if there is none for five seconds.
    pub fn complete(&mut self) -> Result<Completion, Failure> {
        while !self.has_completed()? {
            let deadline = raw::now_ns() + PATIENCE_NS;
            call(Call::EventWait, &[self.event.0.into(), 1, deadline])?;
        }
        let index = self.seen as usize % COMPLETIONS;
        let at = self.page + (offset_of!(RingPage, completions) + index * 16) as u64;
        let (cookie, rest) = (raw::read(at)?, raw::read(at + 8)?);
        self.seen += 1;
        let completed = raw::read(self.page + 8)? as u32;
        raw::write(self.page + 8, u64::from(completed) | u64::from(self.seen) << 32)?;
        Ok(Completion { cookie, status: rest as u32, length: (rest >> 32) as u32 })
    }

    /// One transfer from start to end.
    ///
    /// # Errors
    /// As its parts.
    pub fn transfer(&mut self, submission: &Submission) -> Result<Completion, Failure> {
        self.put(submission)?;
        self.submit()?;
        self.complete()
    }
}
