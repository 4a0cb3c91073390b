//! Areas of an address space: which ranges exist, what they allow and what is behind them. Pure.
//!
//! Invariant: areas are page-aligned, not empty, and do not overlap. Neighbours that could be one are joined when
//! they are inserted.
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

bitflags::bitflags! {
    /// What a program may do with memory, with the values of `PROT_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Read.
        const READ = 1;
        /// Write.
        const WRITE = 2;
        /// Execute.
        const EXECUTE = 4;
    }
}

/// What is behind an area.
pub trait Backing: Clone {
    /// The same, `bytes` further on.
    #[must_use]
    fn after(&self, bytes: u64) -> Self;
    /// Whether `next` goes on where this ends after `length` bytes.
    fn continues(&self, length: u64, next: &Self) -> bool;
}

/// A range of an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area<B> {
    /// First address.
    pub start: u64,
    /// First address past it.
    pub end: u64,
    /// What is allowed.
    pub access: Access,
    /// Whether writes are seen by others who map the same.
    pub shared: bool,
    /// Whether it grows towards lower addresses.
    pub grows_down: bool,
    /// Whether pages differ from the file behind it, so that `fork` has to copy them.
    pub changed: bool,
    /// What is behind it, at `start`.
    pub backing: B,
}

impl<B: Backing> Area<B> {
    /// Bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.end - self.start
    }

    /// What is behind an address of it.
    #[must_use]
    pub fn backing_at(&self, address: u64) -> B {
        self.backing.after(address - self.start)
    }

    /// The part within a range that it overlaps.
    #[must_use]
    pub fn clip(&self, range: &Range<u64>) -> Self {
        let start = self.start.max(range.start);
        Self {
            start,
            end: self.end.min(range.end),
            backing: self.backing_at(start),
            ..self.clone()
        }
    }

    fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.access == next.access
            && self.shared == next.shared
            && self.grows_down == next.grows_down
            && self.changed == next.changed
            && self.backing.continues(self.length(), &next.backing)
    }
}

/// The areas of an address space.
///
/// Highest first: `mmap` places downwards, so a new area comes near the end of the list and little moves.
#[derive(Clone, Debug)]
pub struct Areas<B> {
    list: Vec<Area<B>>,
    total: u64,
    /// Where the last one was found: the next is often the same.
    last: Cell<usize>,
    /// The end of what was removed last: what comes next often has its size.
    hole: Cell<u64>,
}

impl<B: Backing> Default for Areas<B> {
    fn default() -> Self {
        Self { list: Vec::new(), total: 0, last: Cell::new(0), hole: Cell::new(0) }
    }
}

impl<B: Backing> Areas<B> {
    /// Place in the list of the area of an address, for [`Self::at`]; valid until areas change.
    #[inline]
    #[must_use]
    pub fn index_of(&self, address: u64) -> Option<usize> {
        let holds = |area: &Area<B>| area.start <= address && address < area.end;
        let last = self.last.get();
        if self.list.get(last).is_some_and(holds) {
            return Some(last);
        }
        let index = self.first_from(address);
        self.list.get(index).is_some_and(holds).then(|| {
            self.last.set(index);
            index
        })
    }

    /// The area at a place in the list.
    #[inline]
    #[must_use]
    pub fn at(&self, index: usize) -> &Area<B> {
        &self.list[index]
    }

    /// The same, to mark it.
    pub fn at_mut(&mut self, index: usize) -> &mut Area<B> {
        &mut self.list[index]
    }

    /// Index of the highest area that starts at an address or below.
    #[inline]
    fn first_from(&self, address: u64) -> usize {
        self.list.partition_point(|area| area.start > address)
    }

    /// Indices of those that overlap a range.
    #[inline]
    fn span(&self, range: &Range<u64>) -> Range<usize> {
        if let Some(index) = self.index_of(range.start)
            && range.end <= self.list[index].end
        {
            return index..index + 1;
        }
        let end = self.list.partition_point(|area| area.end > range.start);
        let start = self.list[..end].partition_point(|area| area.start >= range.end);
        start..end
    }

    /// The area of an address.
    #[inline]
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&Area<B>> {
        self.index_of(address).map(|index| &self.list[index])
    }

    /// The first area that ends after `address`.
    #[must_use]
    pub fn find_from(&self, address: u64) -> Option<&Area<B>> {
        self.list[..self.list.partition_point(|area| area.end > address)].last()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Area<B>> {
        self.list.iter().rev()
    }

    /// Those that overlap a range, in order.
    pub fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = &Area<B>> {
        self.list[self.span(&range)].iter().rev()
    }

    /// Bytes in all areas.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether a range is covered without holes.
    #[must_use]
    pub fn covers(&self, range: Range<u64>) -> bool {
        let mut at = range.start;
        for area in self.overlapping(range.clone()) {
            if area.start > at {
                return false;
            }
            at = area.end;
        }
        at >= range.end
    }

    /// Adds an area where there is none, joining it with its neighbours where possible.
    pub fn insert(&mut self, mut area: Area<B>) {
        debug_assert!(area.start < area.end);
        debug_assert!(self.overlapping(area.start..area.end).next().is_none());
        self.total += area.length();
        // The neighbour below is at the index, the one above right before it.
        let index = self.first_from(area.start);
        let joins_below = self.list.get(index).is_some_and(|below| below.joins(&area));
        let joins_above = index > 0 && area.joins(&self.list[index - 1]);
        if joins_above {
            area.end = self.list[index - 1].end;
        }
        match (joins_below, joins_above) {
            (false, false) => self.list.insert(index, area),
            (false, true) => self.list[index - 1] = area,
            (true, false) => self.list[index].end = area.end,
            (true, true) => {
                self.list[index].end = area.end;
                self.list.remove(index - 1);
            }
        }
    }

    /// Takes out what lies in a range, in order; areas that reach beyond it are split.
    #[inline]
    pub fn remove(&mut self, range: Range<u64>, mut take: impl FnMut(Area<B>)) {
        let span = self.span(&range);
        if span.is_empty() {
            return;
        }
        self.hole.set(range.end);
        if span.len() == 1 {
            let inside = self.cut(span.start, &range);
            self.total -= inside.length();
            return take(inside);
        }
        // The lowest and the highest may reach beyond the range; those between do not.
        for index in span.clone().rev() {
            let area = &self.list[index];
            if area.start >= range.start && area.end <= range.end {
                self.total -= area.length();
                take(area.clone());
                continue;
            }
            let inside = area.clip(&range);
            self.total -= inside.length();
            take(inside);
        }
        let (lowest, highest) = (span.end - 1, span.start);
        let below = self.list[lowest].start < range.start;
        let above = self.list[highest].end > range.end;
        if below {
            self.list[lowest].end = range.start;
        }
        if above {
            let backing = self.list[highest].backing_at(range.end);
            (self.list[highest].start, self.list[highest].backing) = (range.end, backing);
        }
        self.list.drain(highest + usize::from(above)..lowest + usize::from(!below));
    }

    /// Takes a range out of the one area that it overlaps.
    fn cut(&mut self, index: usize, range: &Range<u64>) -> Area<B> {
        let area = &self.list[index];
        let (below, above) = (area.start < range.start, area.end > range.end);
        if !below && !above {
            return self.list.remove(index);
        }
        let inside = area.clip(range);
        let rest = above.then(|| Area {
            start: range.end,
            backing: area.backing_at(range.end),
            ..area.clone()
        });
        match (below, rest) {
            (true, Some(rest)) => {
                self.list[index].end = range.start;
                self.list.insert(index, rest);
            }
            (false, Some(rest)) => self.list[index] = rest,
            _ => self.list[index].end = range.start,
        }
        inside
    }

    /// Changes what lies in a range.
    pub fn change(&mut self, range: Range<u64>, mut change: impl FnMut(&mut Area<B>)) {
        let span = self.span(&range);
        if span.len() == 1 {
            let index = span.start;
            let area = &self.list[index];
            let inside = range.start.max(area.start)..range.end.min(area.end);
            self.change_one(index, &inside, change);
            return;
        }
        let mut changed = Vec::with_capacity(span.len());
        self.remove(range, |area| changed.push(area));
        for mut area in changed {
            change(&mut area);
            self.insert(area);
        }
    }

    /// Changes the part of one area that is in a range, which it holds whole; answers the index of what holds it then.
    #[inline]
    pub fn change_one(
        &mut self,
        index: usize,
        range: &Range<u64>,
        mut change: impl FnMut(&mut Area<B>),
    ) -> usize {
        if self.change_whole(index, range, &mut change) {
            return index;
        }
        let mut area = self.cut(index, range);
        self.total -= area.length();
        change(&mut area);
        self.insert(area);
        self.index_of(range.start).unwrap_or(index)
    }

    /// Changes an area that lies in a range where it is, unless it would join a neighbour then. Whether it did.
    #[inline]
    fn change_whole(
        &mut self,
        index: usize,
        range: &Range<u64>,
        change: &mut impl FnMut(&mut Area<B>),
    ) -> bool {
        let area = &self.list[index];
        if area.start < range.start || area.end > range.end {
            return false;
        }
        let touches_below = self.list.get(index + 1).is_some_and(|below| below.end == area.start);
        let touches_above = index > 0 && self.list[index - 1].start == area.end;
        if touches_below || touches_above {
            return false;
        }
        change(&mut self.list[index]);
        true
    }

    /// Moves the start of an area down, where nothing is.
    pub fn grow_down(&mut self, start: u64, to: u64) {
        if let Some(index) = self.index_of(start) {
            self.total += start - to;
            self.list[index].start = to;
        }
    }

    /// A free range of a length below `top` and not below `bottom`: at the end of what was removed last if that fits, else the
    /// highest.
    #[inline]
    #[must_use]
    pub fn find_free(&self, length: u64, bottom: u64, top: u64) -> Option<u64> {
        let end = self.hole.get();
        if end <= top && end >= bottom && end - bottom >= length {
            let below = self.list.get(self.first_from(end - 1));
            if below.is_none_or(|area| area.end <= end - length) {
                return Some(end - length);
            }
        }
        self.hole.set(0);
        self.find_highest(length, bottom, top)
    }

    fn find_highest(&self, length: u64, bottom: u64, top: u64) -> Option<u64> {
        let mut ceiling = top;
        let below = self.list.partition_point(|area| area.start >= top);
        for area in &self.list[below..] {
            let start = ceiling.checked_sub(length).filter(|start| *start >= bottom)?;
            if start >= area.end {
                return Some(start);
            }
            ceiling = ceiling.min(area.start);
        }
        ceiling.checked_sub(length).filter(|start| *start >= bottom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap as Model;
    use std::vec;

    const PAGE: u64 = 4096;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Offset(u64);

    impl Backing for Offset {
        fn after(&self, bytes: u64) -> Self {
            Self(self.0 + bytes)
        }
        fn continues(&self, length: u64, next: &Self) -> bool {
            self.0 + length == next.0
        }
    }

    fn area(start: u64, pages: u64, access: u32, offset: u64) -> Area<Offset> {
        Area {
            start: start * PAGE,
            end: (start + pages) * PAGE,
            access: Access::from_bits_truncate(access),
            shared: false,
            grows_down: false,
            changed: false,
            backing: Offset(offset * PAGE),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64, u32, u64),
        Remove(u64, u64),
        Protect(u64, u64, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (at, len) = (0..64u64, 1..12u64);
        prop_oneof![
            (at.clone(), len.clone(), 0..8u32, 0..8u64)
                .prop_map(|(a, b, c, d)| Step::Insert(a, b, c, d)),
            (at.clone(), len.clone()).prop_map(|(a, b)| Step::Remove(a, b)),
            (at, len, 0..8u32).prop_map(|(a, b, c)| Step::Protect(a, b, c)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Against a map from each page to its access and offset.
        #[test]
        fn matches_a_model_of_pages(steps in prop::collection::vec(step(), 1..60)) {
            let (mut areas, mut model) = (Areas::default(), Model::new());
            for step in steps {
                match step {
                    Step::Insert(at, len, access, offset) => {
                        areas.remove(at * PAGE..(at + len) * PAGE, drop);
                        areas.insert(area(at, len, access, at + 100 * offset));
                        for page in at..at + len {
                            model.insert(page, (access, page + 100 * offset));
                        }
                    }
                    Step::Remove(at, len) => {
                        areas.remove(at * PAGE..(at + len) * PAGE, drop);
                        (at..at + len).for_each(|page| { model.remove(&page); });
                    }
                    Step::Protect(at, len, access) => {
                        areas.change(at * PAGE..(at + len) * PAGE, |area| area.access = Access::from_bits_truncate(access));
                        for (_, entry) in model.range_mut(at..at + len) {
                            entry.0 = access;
                        }
                    }
                }
                for page in 0..80 {
                    let found = areas.find(page * PAGE).map(|area| (area.access.bits(), area.backing_at(page * PAGE).0 / PAGE));
                    prop_assert_eq!(found, model.get(&page).copied());
                }
                prop_assert_eq!(areas.total(), model.len() as u64 * PAGE);
                for pair in areas.iter().collect::<vec::Vec<_>>().windows(2) {
                    prop_assert!(pair[0].end <= pair[1].start && !pair[0].joins(pair[1]) || pair[0].end < pair[1].start || !pair[0].joins(pair[1]) );
                }
            }
        }
    }

    #[test]
    fn free_ranges_are_the_highest() {
        let mut areas = Areas::default();
        assert_eq!(areas.find_free(2 * PAGE, PAGE, 100 * PAGE), Some(98 * PAGE));
        areas.insert(area(90, 10, 1, 0));
        assert_eq!(areas.find_free(2 * PAGE, PAGE, 100 * PAGE), Some(88 * PAGE));
        areas.insert(area(80, 5, 5, 0));
        assert_eq!(areas.find_free(5 * PAGE, PAGE, 100 * PAGE), Some(85 * PAGE));
        assert_eq!(areas.find_free(6 * PAGE, PAGE, 100 * PAGE), Some(74 * PAGE));
        assert_eq!(areas.find_free(80 * PAGE, PAGE, 100 * PAGE), None);
        assert_eq!(areas.find_free(79 * PAGE, PAGE, 100 * PAGE), Some(PAGE));
    }

    #[test]
    fn coverage_sees_holes() {
        let mut areas = Areas::default();
        areas.insert(area(1, 2, 1, 0));
        areas.insert(area(3, 2, 2, 50));
        assert!(areas.covers(PAGE..5 * PAGE));
        assert!(!areas.covers(PAGE..6 * PAGE));
        areas.remove(2 * PAGE..3 * PAGE, drop);
        assert!(!areas.covers(PAGE..5 * PAGE));
    }
}
