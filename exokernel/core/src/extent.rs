//! Runs of consecutive units: frames, sectors, slices.
//!
//! Invariant: an extent does not wrap, so its end can be computed without a check. Everything that
//! comes from outside enters through [`Extent::new`] or [`Extent::part`].

/// Consecutive units, possibly none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Extent {
    base: u64,
    count: u64,
}

/// Why a request does not fit an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentError {
    /// Not a positive whole number of units.
    Misaligned,
    /// Some of it lies past the end.
    Outside,
}

impl Extent {
    /// No units.
    pub const EMPTY: Self = Self { base: 0, count: 0 };

    /// `count` units from `base` on; `None` if they wrap.
    #[must_use]
    pub const fn new(base: u64, count: u64) -> Option<Self> {
        match base.checked_add(count) {
            Some(_) => Some(Self { base, count }),
            None => None,
        }
    }

    /// First unit.
    #[inline]
    #[must_use]
    pub const fn base(self) -> u64 {
        self.base
    }

    /// How many units.
    #[inline]
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// The unit after the last.
    #[inline]
    #[must_use]
    pub const fn end(self) -> u64 {
        self.base + self.count
    }

    /// Whether there is no unit in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// `count` units from the one numbered `first` within this extent; `None` if they are not all inside.
    #[inline]
    #[must_use]
    pub const fn part(self, first: u64, count: u64) -> Option<Self> {
        if first > self.count || count > self.count - first {
            return None;
        }
        Some(Self { base: self.base + first, count })
    }

    /// The unit numbered `index` within this extent.
    #[inline]
    #[must_use]
    pub const fn unit(self, index: u64) -> Option<u64> {
        if index < self.count { Some(self.base + index) } else { None }
    }

    /// Whether every unit of `other` is in this extent; an empty one has to lie within its bounds.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        other.base >= self.base && other.end() <= self.end()
    }

    /// Whether some unit is in both.
    #[inline]
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        !self.is_empty() && !other.is_empty() && self.base < other.end() && other.base < self.end()
    }

    /// The units that a request of `length` bytes from unit `first` touches, each of `unit_size` bytes (not zero).
    ///
    /// # Errors
    /// `Misaligned` for no bytes or a part of a unit, `Outside` for units that are not all in this extent.
    pub const fn request(
        self,
        first: u64,
        length: u64,
        unit_size: u64,
    ) -> Result<Self, ExtentError> {
        if length == 0 || !length.is_multiple_of(unit_size) {
            return Err(ExtentError::Misaligned);
        }
        match self.part(first, length / unit_size) {
            Some(units) => Ok(units),
            None => Err(ExtentError::Outside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, ExtentError};

    fn extent(base: u64, count: u64) -> Extent {
        Extent::new(base, count).expect("does not wrap")
    }

    #[test]
    fn wrapping_is_refused() {
        assert_eq!(Extent::new(u64::MAX, 1), None);
        assert_eq!(Extent::new(1, u64::MAX), None);
        assert_eq!(extent(u64::MAX, 0).end(), u64::MAX);
    }

    #[test]
    fn parts_stay_inside() {
        let whole = extent(10, 5);
        assert_eq!(whole.part(0, 5), Some(whole));
        assert_eq!(whole.part(4, 1), Some(extent(14, 1)));
        assert_eq!(whole.part(5, 0), Some(extent(15, 0)));
        for (first, count) in [(0, 6), (5, 1), (6, 0), (u64::MAX, 2), (1, u64::MAX)] {
            assert_eq!(whole.part(first, count), None, "{first}+{count}");
        }
        assert_eq!(whole.unit(4), Some(14));
        assert_eq!(whole.unit(5), None);
    }

    #[test]
    fn overlap_and_containment() {
        let whole = extent(10, 5);
        for (other, overlaps, contained) in [
            (extent(9, 1), false, false),
            (extent(9, 2), true, false),
            (extent(10, 1), true, true),
            (extent(14, 1), true, true),
            (extent(14, 2), true, false),
            (extent(15, 1), false, false),
            (extent(12, 0), false, true),
            (extent(0, u64::MAX), true, false),
        ] {
            assert_eq!(whole.overlaps(other), overlaps, "{other:?}");
            assert_eq!(other.overlaps(whole), overlaps, "{other:?}");
            assert_eq!(whole.contains(other), contained, "{other:?}");
        }
    }

    #[test]
    fn requests_are_whole_units_inside() {
        let disk = extent(100, 8);
        assert_eq!(disk.request(0, 4096, 512), Ok(disk));
        assert_eq!(disk.request(7, 512, 512), Ok(extent(107, 1)));
        assert_eq!(disk.request(0, 0, 512), Err(ExtentError::Misaligned));
        assert_eq!(disk.request(0, 513, 512), Err(ExtentError::Misaligned));
        assert_eq!(disk.request(1, 4096, 512), Err(ExtentError::Outside));
        assert_eq!(disk.request(u64::MAX, 512, 512), Err(ExtentError::Outside));
    }
}
