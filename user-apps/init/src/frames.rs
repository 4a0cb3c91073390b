//! Carving frames: which runs of which slots go where.
//!
//! Invariant: a frame of the pool is in at most one [`Piece`] that was taken.

use alloc::vec::Vec;
use serix_sys::Slot;

/// A run of consecutive frames of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The slot.
    pub slot: Slot,
    /// First unit.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Piece {
    /// Takes `count` frames off the end.
    fn split_end(&mut self, count: u64) -> Self {
        self.count -= count;
        Self { first: self.first + self.count, count, ..*self }
    }
}

/// Frames that nobody has yet.
#[derive(Clone, Debug)]
pub struct FramePool {
    /// Not empty each, largest first.
    free: Vec<Piece>,
}

impl FramePool {
    /// A pool of these runs.
    #[must_use]
    pub fn new(mut free: Vec<Piece>) -> Self {
        Self::sort(&mut free);
        Self { free }
    }

    fn sort(free: &mut Vec<Piece>) {
        free.retain(|piece| piece.count > 0);
        free.sort_by_key(|piece| core::cmp::Reverse(piece.count));
    }

    /// Frames left.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.free.iter().map(|piece| piece.count).sum()
    }

    /// One run of `count` frames, from the smallest run that has them.
    pub fn take_run(&mut self, count: u64) -> Option<Piece> {
        let index = self.free.iter().rposition(|piece| piece.count >= count)?;
        let taken = self.free[index].split_end(count);
        Self::sort(&mut self.free);
        Some(taken)
    }

    /// `count` frames in at most `pieces_max` runs, largest first; as few runs as there can be.
    pub fn take(&mut self, count: u64, pieces_max: usize) -> Option<Vec<Piece>> {
        if let Some(run) = self.take_run(count) {
            return Some([run].into());
        }
        let reachable: u64 = self.free.iter().take(pieces_max).map(|piece| piece.count).sum();
        if reachable < count {
            return None;
        }
        let (mut taken, mut left) = (Vec::new(), count);
        for piece in &mut self.free {
            let part = left.min(piece.count);
            taken.push(piece.split_end(part));
            left -= part;
            if left == 0 {
                break;
            }
        }
        Self::sort(&mut self.free);
        Some(taken)
    }

    /// All that is left in the `pieces_max` largest runs, largest first.
    pub fn take_rest(&mut self, pieces_max: usize) -> Vec<Piece> {
        let count = self.free.len().min(pieces_max);
        self.free.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(slot: u32, count: u64) -> Piece {
        Piece { slot: Slot(slot), first: 0, count }
    }

    #[test]
    fn a_run_comes_from_the_smallest_that_fits() {
        let mut pool = FramePool::new([piece(1, 100), piece(2, 10), piece(3, 0)].into());
        assert_eq!(pool.take_run(8), Some(Piece { slot: Slot(2), first: 2, count: 8 }));
        assert_eq!(pool.take_run(8).unwrap().slot, Slot(1));
        assert_eq!(pool.take_run(93), None);
        assert_eq!(pool.available(), 94);
    }

    #[test]
    fn many_runs_only_where_one_is_too_small() {
        let mut pool = FramePool::new([piece(1, 10), piece(2, 30), piece(3, 20)].into());
        assert_eq!(pool.clone().take(30, 8).unwrap(), [piece(2, 30)]);
        assert_eq!(pool.take(55, 2), None);
        let taken = pool.take(55, 3).unwrap();
        assert_eq!(taken.iter().map(|p| p.count).collect::<Vec<_>>(), [30, 20, 5]);
        assert_eq!(pool.take_rest(8), [piece(1, 5)]);
        assert_eq!(pool.available(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn no_frame_is_taken_twice(
            counts in prop::collection::vec(0_u64..40, 1..6),
            wanted in prop::collection::vec(1_u64..60, 0..12),
        ) {
            let free = counts.iter().zip(0..).map(|(&count, slot)| piece(slot, count)).collect();
            let mut pool = FramePool::new(free);
            let mut taken: Vec<Piece> = wanted.iter().filter_map(|&n| pool.take(n, 3)).flatten().collect();
            taken.extend(pool.take_rest(usize::MAX));
            let mut frames: Vec<(u32, u64)> = taken
                .iter()
                .flat_map(|p| (p.first..p.first + p.count).map(|unit| (p.slot.0, unit)))
                .collect();
            let total = frames.len();
            frames.sort_unstable();
            frames.dedup();
            prop_assert_eq!(frames.len(), total);
            prop_assert_eq!(total as u64, counts.iter().sum::<u64>());
        }
    }
}
