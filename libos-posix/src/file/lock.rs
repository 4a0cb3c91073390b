//! Advisory locks: whole files for descriptions, ranges of bytes for processes and descriptions.
//!
//! A file's locks hang on its node. Both kinds are counted, so that closing a file costs nothing while
//! there are none.
use super::description::{Description, Object};
use super::waiters::{Waiters, wake};
use crate::fs::Location;
use crate::process::current_process;
use crate::{Errno, Result, sched};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use serix_chroma::FileKind;
use spin::Mutex;

/// Locks of all files.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process: record locks of POSIX.
    Process(u32),
    /// An open file description, by address.
    Description(usize),
}

/// A range of bytes, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
}

impl Range {
    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// One lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub owner: Owner,
    /// Whether nobody else may have one.
    pub is_exclusive: bool,
    /// What it covers.
    pub range: Range,
}

/// Locks of one kind on one file. Those of one owner do not overlap.
#[derive(Default, Debug)]
pub struct Records(Vec<Record>);

impl Records {
    /// A lock that does not allow `wanted`.
    #[must_use]
    pub fn conflict(&self, wanted: &Record) -> Option<Record> {
        let others = self.0.iter().filter(|record| record.owner != wanted.owner);
        let mut overlapping = others.filter(|record| record.range.overlaps(wanted.range));
        overlapping.find(|record| record.is_exclusive || wanted.is_exclusive).copied()
    }

    /// Takes what an owner has in a range away.
    pub fn release(&mut self, owner: Owner, range: Range) {
        let (mut kept, before) = (Vec::new(), self.0.len());
        for record in self.0.drain(..) {
            if record.owner != owner || !record.range.overlaps(range) {
                kept.push(record);
                continue;
            }
            let (start, end) = (record.range.start, record.range.end);
            if start < range.start {
                kept.push(Record { range: Range { start, end: range.start }, ..record });
            }
            if end > range.end {
                kept.push(Record { range: Range { start: range.end, end }, ..record });
            }
        }
        self.0 = kept;
        self.count(before);
    }

    /// Adds a lock in the place of what its owner has there, joined with its equals beside it.
    pub fn set(&mut self, mut record: Record) {
        self.release(record.owner, record.range);
        let before = self.0.len();
        self.0.retain(|other| {
            let is_same = other.owner == record.owner && other.is_exclusive == record.is_exclusive;
            let touches =
                other.range.end == record.range.start || other.range.start == record.range.end;
            if is_same && touches {
                record.range.start = record.range.start.min(other.range.start);
                record.range.end = record.range.end.max(other.range.end);
            }
            !(is_same && touches)
        });
        self.0.push(record);
        self.count(before);
    }

    fn count(&self, before: usize) {
        HELD.fetch_add(self.0.len().wrapping_sub(before), Ordering::Relaxed);
    }
}

/// Everything.
pub const WHOLE: Range = Range { start: 0, end: u64::MAX };

/// The locks of a file.
#[derive(Default)]
pub struct FileLocks(Mutex<State>);

#[derive(Default)]
struct State {
    whole: Records,
    ranges: Records,
    waiters: Waiters,
}

/// Which of the two kinds of locks, that know nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `flock`.
    Whole,
    /// `fcntl`.
    Ranges,
}

impl State {
    fn records(&mut self, kind: Kind) -> &mut Records {
        match kind {
            Kind::Whole => &mut self.whole,
            Kind::Ranges => &mut self.ranges,
        }
    }
}

impl FileLocks {
    /// The locks of the file at a place. The attachment of a FIFO's node is its pipe.
    ///
    /// # Errors
    /// `EBADF` for what cannot be locked.
    pub fn of(place: &Location) -> Result<Arc<Self>> {
        if place.node.kind() == FileKind::Fifo {
            return Err(Errno::EBADF);
        }
        let attachment = place.node.attachment(|| Arc::new(Self::default()));
        attachment.clone().downcast().map_err(|_| Errno::EBADF)
    }

    /// A lock that does not allow `wanted`.
    #[must_use]
    pub fn conflict(&self, kind: Kind, wanted: &Record) -> Option<Record> {
        self.0.lock().records(kind).conflict(wanted)
    }

    fn try_set(&self, kind: Kind, wanted: Record) -> bool {
        let waiters = {
            let mut state = self.0.lock();
            let records = state.records(kind);
            if records.conflict(&wanted).is_some() {
                return false;
            }
            // One that was exclusive and is shared now lets others in.
            records.set(wanted);
            state.waiters.take()
        };
        wake(waiters);
        true
    }

    /// Sets a lock, and waits for it if asked to.
    ///
    /// # Errors
    /// `EAGAIN` if it may not wait, `RESTART` if a signal came.
    pub fn set(&self, kind: Kind, wanted: Record, may_wait: bool) -> Result<()> {
        if self.try_set(kind, wanted) {
            return Ok(());
        }
        if !may_wait {
            return Err(Errno::EAGAIN);
        }
        sched::wait_interruptible(|waker| {
            self.0.lock().waiters.add(waker);
            self.try_set(kind, wanted).then_some(())
        })
    }

    /// Ends locks of an owner.
    pub fn release(&self, kind: Kind, owner: Owner, range: Range) {
        let waiters = {
            let mut state = self.0.lock();
            state.records(kind).release(owner, range);
            state.waiters.take()
        };
        wake(waiters);
    }
}

/// The locks of a description's file, if there can be any.
fn existing(description: &Description) -> Option<Arc<FileLocks>> {
    if HELD.load(Ordering::Relaxed) == 0 {
        return None;
    }
    match description.object() {
        Object::File(file) => FileLocks::of(file.location()).ok(),
        _ => None,
    }
}

/// A process closed one of its descriptors of a file: its record locks there end.
pub(super) fn closed(description: &Description) {
    if let Some(locks) = existing(description) {
        locks.release(Kind::Ranges, Owner::Process(current_process().pid), WHOLE);
    }
}

/// A description ends, and its locks with it.
pub(super) fn ended(description: &Description) {
    if let Some(locks) = existing(description) {
        let owner = owner_of(description);
        locks.release(Kind::Whole, owner, WHOLE);
        locks.release(Kind::Ranges, owner, WHOLE);
    }
}

/// A description as an owner.
#[must_use]
pub fn owner_of(description: &Description) -> Owner {
    Owner::Description(core::ptr::from_ref(description) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner::Process(1);
    const B: Owner = Owner::Process(2);

    fn record(owner: Owner, is_exclusive: bool, start: u64, end: u64) -> Record {
        Record { owner, is_exclusive, range: Range { start, end } }
    }

    #[test]
    fn locks_exclude_each_other_where_they_overlap() {
        let mut records = Records::default();
        records.set(record(A, false, 10, 20));
        assert_eq!(records.conflict(&record(B, false, 0, 99)), None);
        assert_eq!(records.conflict(&record(B, true, 20, 99)), None);
        assert!(records.conflict(&record(B, true, 19, 20)).is_some());
        assert_eq!(records.conflict(&record(A, true, 0, 99)), None);
    }

    /// Against one mark per byte, with a fixed pseudo-random sequence.
    #[test]
    fn splitting_and_joining_keeps_every_byte() {
        let (mut records, mut model, mut seed) = (Records::default(), [0u8; 32], 7u64);
        for _ in 0..5000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (start, len) = ((seed >> 40) % 32, (seed >> 50) % 8 + 1);
            let range = Range { start, end: (start + len).min(32) };
            let mark = (seed >> 60) as u8 % 3;
            match mark {
                0 => records.release(A, range),
                mark => records.set(Record { owner: A, is_exclusive: mark == 2, range }),
            }
            model[range.start as usize..range.end as usize].fill(mark);
            for (byte, mark) in (0..).zip(model) {
                let shared = records.conflict(&record(B, false, byte, byte + 1)).is_some();
                let exclusive = records.conflict(&record(B, true, byte, byte + 1)).is_some();
                assert_eq!((shared, exclusive), (mark == 2, mark != 0), "byte {byte}");
            }
            let runs = model.windows(2).filter(|pair| pair[0] != pair[1]).count() + 1;
            assert!(records.0.len() <= runs, "neighbours are joined");
        }
    }
}
