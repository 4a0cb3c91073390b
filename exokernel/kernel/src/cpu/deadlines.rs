//! Who waits until when.
use alloc::vec::Vec;

/// A dispatcher's deadline, in nanoseconds of the TSC clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    at: u64,
    dispatcher: u32,
}

impl Deadline {
    pub(crate) fn deadline(self) -> u64 {
        self.at
    }
}

/// Deadlines, the next one last. The room for one per dispatcher is made at boot.
pub(crate) struct Deadlines {
    sorted: Vec<Deadline>,
}

impl Deadlines {
    pub(crate) fn new(capacity: u32) -> Self {
        Self { sorted: Vec::with_capacity(capacity as usize) }
    }

    pub(crate) fn peek(&self) -> Option<Deadline> {
        self.sorted.last().copied()
    }

    /// A dispatcher has at most one deadline.
    pub(crate) fn insert(&mut self, at: u64, dispatcher: u32) {
        let place = self.sorted.partition_point(|other| other.at > at);
        self.sorted.insert(place, Deadline { at, dispatcher });
    }

    pub(crate) fn remove(&mut self, dispatcher: u32) {
        self.sorted.retain(|deadline| deadline.dispatcher != dispatcher);
    }

    /// The dispatcher whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<u32> {
        self.sorted.pop_if(|deadline| deadline.at <= now).map(|deadline| deadline.dispatcher)
    }
}
