//! The session's frames: who holds them, and which are free.
//!
//! Frames are numbered one after the other over all ranges that the session was given, as they lie in the frame map. Each has a
//! count of holders (mappings by programs, handles, the page cache); at zero it is free. Pure: the tables are given.
use serix_sys::Slot;

/// Ranges of frames that a session can have.
pub const RANGES_MAX: usize = 16;

/// A frame of the session, by its place in the frame map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u32);

/// Frames that came with one token.
#[derive(Clone, Copy, Debug)]
pub struct FrameRange {
    /// Session number of the first.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Slot in the binding table; the unit is the number less `first`.
    pub slot: Slot,
    /// Physical number of the first.
    pub base: u64,
}

impl Default for FrameRange {
    fn default() -> Self {
        Self { first: 0, count: 0, slot: Slot::NONE, base: 0 }
    }
}

/// The allocator.
#[derive(Debug)]
pub struct FramePool {
    ranges: [FrameRange; RANGES_MAX],
    range_count: usize,
    /// Holders of each frame.
    counts: &'static mut [u32],
    /// Stack of free frames.
    free: &'static mut [u32],
    free_count: usize,
    total: usize,
}

impl FramePool {
    /// A pool of all frames from `first_free` on; `counts` is zero and both tables are as long as there are frames.
    #[must_use]
    pub fn new(
        ranges: &[FrameRange],
        first_free: u32,
        counts: &'static mut [u32],
        free: &'static mut [u32],
    ) -> Self {
        let mut copy = [FrameRange::default(); RANGES_MAX];
        copy[..ranges.len()].copy_from_slice(ranges);
        counts[..first_free as usize].fill(1);
        let total = counts.len() - first_free as usize;
        // The top of the stack is the lowest number, so that the first frames taken lie together.
        for (place, number) in free[..total].iter_mut().zip((first_free..counts.len() as u32).rev())
        {
            *place = number;
        }
        Self { ranges: copy, range_count: ranges.len(), counts, free, free_count: total, total }
    }

    /// Takes a frame with one holder; its contents are whatever they were.
    #[inline]
    pub fn allocate(&mut self) -> Option<FrameNumber> {
        let top = self.free_count.checked_sub(1)?;
        let number = self.free[top];
        self.free_count = top;
        self.counts[number as usize] = 1;
        Some(FrameNumber(number))
    }

    /// Adds a holder.
    #[inline]
    pub fn hold(&mut self, frame: FrameNumber) {
        self.counts[frame.0 as usize] += 1;
    }

    /// Removes a holder; the last one frees the frame.
    ///
    /// # Panics
    /// If the frame has none: counts are wrong.
    #[inline]
    pub fn release(&mut self, frame: FrameNumber) {
        let count = &mut self.counts[frame.0 as usize];
        assert!(*count > 0, "frame {} released too often", frame.0);
        *count -= 1;
        if *count == 0 {
            self.free[self.free_count] = frame.0;
            self.free_count += 1;
        }
    }

    /// How many hold the frame.
    #[inline]
    #[must_use]
    pub fn holders(&self, frame: FrameNumber) -> u32 {
        self.counts[frame.0 as usize]
    }

    /// Free frames.
    #[inline]
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.free_count
    }

    /// Frames that were free at start.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    fn ranges(&self) -> &[FrameRange] {
        &self.ranges[..self.range_count]
    }

    /// Slot and unit of a frame.
    #[inline]
    #[must_use]
    pub fn locate(&self, frame: FrameNumber) -> (Slot, u64) {
        for range in self.ranges() {
            if frame.0 - range.first < range.count {
                return (range.slot, u64::from(frame.0 - range.first));
            }
        }
        (Slot::NONE, 0)
    }

    /// The frame with a physical number, as page-table entries have it.
    #[inline]
    #[must_use]
    pub fn at_physical(&self, number: u64) -> Option<FrameNumber> {
        self.ranges().iter().find_map(|range| {
            let unit = number.wrapping_sub(range.base);
            (unit < u64::from(range.count)).then(|| FrameNumber(range.first + unit as u32))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::collections::HashSet;
    use std::vec;

    fn pool(total: usize, used: u32) -> FramePool {
        let half = (total / 2) as u32;
        let ranges = [
            FrameRange { first: 0, count: half, slot: Slot(3), base: 1000 },
            FrameRange { first: half, count: total as u32 - half, slot: Slot(4), base: 50 },
        ];
        let tables = || Box::leak(vec![0u32; total].into_boxed_slice());
        FramePool::new(&ranges, used, tables(), tables())
    }

    #[test]
    fn hands_out_every_free_frame_once() {
        let mut pool = pool(64, 10);
        assert_eq!(pool.free_count(), 54);
        let taken: HashSet<_> = core::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(taken.len(), 54);
        assert!(taken.iter().all(|frame| frame.0 >= 10));
        assert_eq!(pool.free_count(), 0);
        taken.iter().for_each(|frame| pool.release(*frame));
        assert_eq!(pool.free_count(), 54);
    }

    #[test]
    fn last_holder_frees() {
        let mut pool = pool(8, 0);
        let frame = pool.allocate().unwrap();
        pool.hold(frame);
        pool.release(frame);
        assert_eq!((pool.holders(frame), pool.free_count()), (1, 7));
        pool.release(frame);
        assert_eq!((pool.holders(frame), pool.free_count()), (0, 8));
    }

    #[test]
    #[should_panic(expected = "released too often")]
    fn release_of_a_free_frame_is_caught() {
        pool(8, 0).release(FrameNumber(3));
    }

    #[test]
    fn locates_by_range() {
        let pool = pool(64, 0);
        assert_eq!(pool.locate(FrameNumber(5)), (Slot(3), 5));
        assert_eq!(pool.locate(FrameNumber(33)), (Slot(4), 1));
        assert_eq!(pool.at_physical(1005), Some(FrameNumber(5)));
        assert_eq!(pool.at_physical(51), Some(FrameNumber(33)));
        assert_eq!(pool.at_physical(999), None);
        assert_eq!(pool.at_physical(82), None);
    }
}
