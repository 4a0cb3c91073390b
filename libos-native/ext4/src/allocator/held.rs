//! Ranges of a group that are not free although their bits are clear.
use alloc::collections::BTreeMap;

/// Disjoint ranges, by start.
#[derive(Default)]
pub(super) struct Held(BTreeMap<u32, u32>);

impl Held {
    /// Adds a range that overlaps no other.
    pub(super) fn insert(&mut self, start: u32, len: u32) {
        let (mut start, mut end) = (start, start + len);
        if let Some((before, until)) = self.0.range(..=start).next_back().map(|(a, b)| (*a, *b))
            && until >= start
        {
            self.0.remove(&before);
            start = before;
            end = end.max(until);
        }
        if let Some(until) = self.0.remove(&end) {
            end = until;
        }
        self.0.insert(start, end);
    }

    /// Takes a range out.
    pub(super) fn remove(&mut self, start: u32, len: u32) {
        let end = start + len;
        let Some((before, until)) = self.0.range(..=start).next_back().map(|(a, b)| (*a, *b))
        else {
            return;
        };
        self.0.remove(&before);
        if before < start {
            self.0.insert(before, start);
        }
        if end < until {
            self.0.insert(end, until);
        }
    }

    /// The first range that ends after `from`: start and end.
    pub(super) fn next(&self, from: u32) -> Option<(u32, u32)> {
        if self.0.is_empty() {
            return None;
        }
        let before = self.0.range(..=from).next_back().filter(|(_, end)| **end > from);
        before.or_else(|| self.0.range(from..).next()).map(|(start, end)| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn joins_and_splits() {
        let mut held = Held::default();
        held.insert(10, 5);
        held.insert(20, 5);
        held.insert(15, 5);
        assert_eq!(held.next(0), Some((10, 25)));
        held.remove(12, 3);
        assert_eq!(held.next(11), Some((10, 12)));
        assert_eq!(held.next(12), Some((15, 25)));
        assert_eq!(held.next(25), None);
        held.remove(10, 2);
        held.remove(15, 10);
        assert_eq!(held.next(0), None);
    }
}
