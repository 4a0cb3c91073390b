//! Deadlines in order. Pure.
use alloc::collections::BTreeMap;

/// Names a timer: its deadline and a number that tells timers of one deadline apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId(u64, u64);

/// What is to be done when.
#[derive(Debug)]
pub struct Timers<T> {
    queue: BTreeMap<TimerId, T>,
    added: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timers<T> {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { queue: BTreeMap::new(), added: 0 }
    }

    /// Adds one.
    pub fn add(&mut self, deadline_ns: u64, what: T) -> TimerId {
        self.added += 1;
        let id = TimerId(deadline_ns, self.added);
        self.queue.insert(id, what);
        id
    }

    /// Removes one, unless it was handed out.
    pub fn remove(&mut self, id: TimerId) -> Option<T> {
        self.queue.remove(&id)
    }

    /// Hands out the earliest if its deadline has passed.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<T> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= now_ns).then(|| entry.remove())
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(id, _)| id.0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;

    #[test]
    fn hands_out_in_order_and_only_when_due() {
        let mut timers = Timers::new();
        timers.add(30, 'c');
        let second = timers.add(20, 'b');
        timers.add(10, 'a');
        timers.add(10, 'A');
        assert_eq!(timers.next_deadline(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(10), Some('a'));
        assert_eq!(timers.pop_due(10), Some('A'));
        assert_eq!(timers.pop_due(10), None);
        assert_eq!(timers.remove(second), Some('b'));
        assert_eq!(timers.remove(second), None);
        assert_eq!(timers.pop_due(u64::MAX), Some('c'));
        assert!(timers.is_empty());
    }
}
