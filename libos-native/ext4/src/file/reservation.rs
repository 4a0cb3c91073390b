//! Space that a file has before its blocks are chosen, and blocks chosen ahead of its end.
use crate::file_system::Ext4;
use crate::inode::Node;
use alloc::collections::BTreeMap;
use serix_block::BlockDevice;

/// Ranges of logical blocks, none of which touch.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Blocks in all of them.
    fn blocks(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    fn overlap(&self, from: u64, to: u64) -> u64 {
        let before = self.0.range(..from).next_back();
        let ranges = before.into_iter().chain(self.0.range(from..to));
        ranges.map(|(start, end)| (*end).min(to).saturating_sub((*start).max(from))).sum()
    }

    fn insert(&mut self, from: u64, to: u64) {
        self.take(from, to);
        let mut range = (from, to);
        if let Some((start, end)) = self.0.range(..from).next_back().map(|(a, b)| (*a, *b))
            && end == from
        {
            self.0.remove(&start);
            range.0 = start;
        }
        if let Some(end) = self.0.remove(&to) {
            range.1 = end;
        }
        self.0.insert(range.0, range.1);
    }

    /// Takes a range out and answers how many blocks of it there were.
    fn take(&mut self, from: u64, to: u64) -> u64 {
        let taken = self.overlap(from, to);
        let before = self.0.range(..from).next_back().map(|(a, b)| (*a, *b));
        if let Some((start, end)) = before
            && end > from
        {
            self.0.insert(start, from);
            if end > to {
                self.0.insert(to, end);
            }
        }
        while let Some((start, end)) = self.0.range(from..to).next().map(|(a, b)| (*a, *b)) {
            self.0.remove(&start);
            if end > to {
                self.0.insert(to, end);
            }
        }
        taken
    }
}

/// What is promised to a file's dirty pages, and its window.
#[derive(Default)]
pub(crate) struct Reservation {
    /// Logical blocks with a promise of a block each.
    promised: Ranges,
    /// Logical blocks in unwritten extents that are to be written: they have their blocks, and cut the extents.
    cuts: Ranges,
    /// Blocks promised to the map.
    pub(super) map: u64,
    /// Held and paid blocks where the file will grow: start and length.
    pub(super) window: Option<(u64, u32)>,
}

impl Reservation {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges() == 0 && self.window.is_none() && self.map == 0
    }

    /// Blocks with a promise.
    pub(crate) fn promised(&self) -> u64 {
        if self.promised.is_empty() { 0 } else { self.promised.blocks() }
    }

    /// Ranges that will be entered in the map.
    pub(super) fn ranges(&self) -> u64 {
        self.promised.count() + self.cuts.count()
    }

    /// Extents that these ranges may become at worst: one for each new block, two more for each cut.
    pub(super) fn extents(&self) -> u64 {
        self.promised() + 2 * self.cuts.blocks()
    }

    /// A range was written: takes out what is left of its promises, and of the map's if no other
    /// range has any.
    pub(super) fn settle(&mut self, from: u64, to: u64) -> u64 {
        let left = self.take(from, to);
        let map = if self.ranges() == 0 { core::mem::take(&mut self.map) } else { 0 };
        left + map
    }

    /// Logical blocks of a range that have no promise yet.
    pub(super) fn missing(&self, from: u64, to: u64) -> u64 {
        (to - from) - self.promised.overlap(from, to)
    }

    /// Enters a promise for a range; the caller paid for what was [`Self::missing`].
    pub(super) fn promise(&mut self, from: u64, to: u64) {
        self.promised.insert(from, to);
    }

    /// Notes that a range of an unwritten extent is to be written.
    pub(super) fn cut(&mut self, from: u64, to: u64) {
        self.cuts.insert(from, to);
    }

    /// Takes the promises of a range out and answers how many there were.
    pub(super) fn take(&mut self, from: u64, to: u64) -> u64 {
        self.cuts.take(from, to);
        self.promised.take(from, to)
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// Gives back what is promised to a file from a logical block on, and its window.
    pub(crate) fn release_reservation(&self, node: &Node, from: u64) {
        let (promised, window) = {
            let mut reservation = node.reservation.lock();
            let map = core::mem::take(&mut reservation.map);
            (reservation.take(from, u64::MAX) + map, reservation.window.take())
        };
        crate::allocator::add(&self.counts.available, promised as i64);
        if let Some((start, len)) = window {
            self.release_blocks(start, len);
        }
    }

    /// Gives the windows of all files back, when space is short.
    pub(crate) fn release_windows(&self) {
        self.nodes.for_each(|node| {
            let window = node.reservation.lock().window.take();
            if let Some((start, len)) = window {
                self.release_blocks(start, len);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Reservation;

    #[test]
    fn promises_are_counted_once() {
        let mut reservation = Reservation::default();
        reservation.promise(10, 20);
        reservation.promise(15, 25);
        assert_eq!((reservation.missing(0, 30), reservation.promised()), (15, 15));
        assert_eq!(reservation.take(12, 14), 2);
        assert_eq!(reservation.take(0, 30), 13);
        assert!(reservation.is_empty());
        reservation.promise(5, 8);
        reservation.promise(8, 9);
        assert_eq!(reservation.take(6, 7), 1);
        assert_eq!(reservation.missing(5, 9), 1);
    }
}
