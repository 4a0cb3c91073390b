//! The physical memory map: which page belongs to what, and where the loader takes memory.
//!
//! Invariant: regions are sorted, page aligned, disjoint, and no two neighbours of one kind
//! touch. A page is usable only if no firmware entry says otherwise of any of its bytes.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Where the loader allocates: above the first MiB, which firmware and AP start need, and below
/// 4 GiB, which the front ends can reach.
pub const ALLOCATION_WINDOW: Range<u64> = 0x10_0000..0x1_0000_0000;

/// What a region is, numbered as the boot protocol numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Free.
    Usable = 0,
    /// Not to be touched, not in the direct map.
    Reserved = 1,
    /// ACPI tables; free once they are no longer needed.
    AcpiReclaimable = 2,
    /// ACPI non-volatile storage.
    AcpiNvs = 3,
    /// Defective.
    BadMemory = 4,
    /// Holds the loader, its page tables, stacks and responses.
    BootloaderReclaimable = 5,
    /// Holds the kernel and the files given to it.
    ExecutableAndModules = 6,
    /// A framebuffer.
    Framebuffer = 7,
    /// Reserved, but read by kernels and so in the direct map: ACPI tables outside ACPI regions.
    ReservedMapped = 8,
}

impl Kind {
    /// Whether base revision 4 puts such a region in the direct map.
    #[must_use]
    pub fn is_mapped(self) -> bool {
        !matches!(self, Kind::Reserved | Kind::BadMemory)
    }

    /// Which kind a page is that several firmware entries claim: the largest.
    fn precedence(self) -> u8 {
        match self {
            Kind::Usable => 0,
            Kind::BootloaderReclaimable => 1,
            Kind::ExecutableAndModules => 2,
            Kind::AcpiReclaimable => 3,
            Kind::AcpiNvs => 4,
            Kind::ReservedMapped => 5,
            Kind::Framebuffer => 6,
            Kind::Reserved => 7,
            Kind::BadMemory => 8,
        }
    }
}

/// Physical bytes `base..end` of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Byte after the last.
    pub end: u64,
    /// What it is.
    pub kind: Kind,
}

/// The machine's physical memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryMap {
    regions: Vec<Region>,
}

/// Rounds down to a page boundary.
#[must_use]
pub fn page_floor(address: u64) -> u64 {
    address & !(PAGE - 1)
}

/// Rounds up to a page boundary, saturating at the last one.
#[must_use]
pub fn page_ceil(address: u64) -> u64 {
    page_floor(address.saturating_add(PAGE - 1))
}

impl MemoryMap {
    /// Builds the map from firmware entries `(base, length, kind)`: any order, any alignment,
    /// overlaps allowed.
    pub fn from_firmware(entries: impl IntoIterator<Item = (u64, u64, Kind)>) -> MemoryMap {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|&(base, _, kind)| (kind.precedence(), base));
        let mut map = MemoryMap::default();
        for (base, length, kind) in entries {
            let end = base.saturating_add(length);
            match kind {
                Kind::Usable => map.set(page_ceil(base)..page_floor(end), kind),
                _ if length > 0 => map.set(page_floor(base)..page_ceil(end), kind),
                _ => {}
            }
        }
        // Page 0 holds the real-mode vectors, and the protocol never gives it away: not now, and not
        // as memory to be reclaimed.
        let given = |kind| matches!(kind, Kind::Usable | Kind::BootloaderReclaimable);
        map.convert(0..PAGE, given, Kind::Reserved);
        map
    }

    /// The regions in order.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Declares all pages of `range`, whatever they were, as `kind`.
    pub fn set(&mut self, range: Range<u64>, kind: Kind) {
        let range = page_floor(range.start)..page_ceil(range.end);
        if range.is_empty() {
            return;
        }
        let mut next = Vec::with_capacity(self.regions.len() + 2);
        for region in &self.regions {
            if region.base < range.start {
                next.push(Region { end: region.end.min(range.start), ..*region });
            }
            if region.end > range.end {
                next.push(Region { base: region.base.max(range.end), ..*region });
            }
        }
        next.push(Region { base: range.start, end: range.end, kind });
        next.sort_by_key(|region| region.base);
        self.regions = merge(next);
    }

    /// Declares those parts of `range` as `kind` whose present kind satisfies `from`.
    pub fn convert(&mut self, range: Range<u64>, from: impl Fn(Kind) -> bool, kind: Kind) {
        let range = page_floor(range.start)..page_ceil(range.end);
        let parts: Vec<Range<u64>> = self
            .regions
            .iter()
            .filter(|region| from(region.kind))
            .map(|region| region.base.max(range.start)..region.end.min(range.end))
            .filter(|part| !part.is_empty())
            .collect();
        for part in parts {
            self.set(part, kind);
        }
    }

    /// Takes `length` bytes (rounded up to pages) of usable memory inside `window`, at a multiple
    /// of `align` (a power of two), from the top, and declares them `kind`. Gives the address.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], naming `purpose`.
    pub fn allocate(
        &mut self,
        length: u64,
        align: u64,
        window: Range<u64>,
        kind: Kind,
        purpose: &'static str,
    ) -> Result<u64, Error> {
        let size = page_ceil(length.max(1));
        let fit = |region: &Region| {
            let top = region.end.min(window.end).checked_sub(size)?;
            let base = top & !(align.max(PAGE) - 1);
            (base >= region.base.max(window.start)).then_some(base)
        };
        let usable = self.regions.iter().rev().filter(|region| region.kind == Kind::Usable);
        let base = usable.filter_map(fit).next().ok_or(Error::OutOfMemory(length, purpose))?;
        self.set(base..base + size, kind);
        Ok(base)
    }
}

fn merge(sorted: Vec<Region>) -> Vec<Region> {
    let mut merged: Vec<Region> = Vec::with_capacity(sorted.len());
    for region in sorted.into_iter().filter(|region| region.base < region.end) {
        match merged.last_mut() {
            Some(last) if last.end == region.base && last.kind == region.kind => {
                last.end = region.end;
            }
            _ => merged.push(region),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(map: &MemoryMap) -> Vec<(u64, u64, Kind)> {
        map.regions().iter().map(|r| (r.base, r.end, r.kind)).collect()
    }

    fn check(map: &MemoryMap) {
        for pair in map.regions().windows(2) {
            assert!(pair[0].end <= pair[1].base, "{pair:?}");
            assert!(pair[0].end < pair[1].base || pair[0].kind != pair[1].kind, "{pair:?}");
        }
        for region in map.regions() {
            assert!(region.base < region.end && region.base % PAGE == 0 && region.end % PAGE == 0);
        }
    }

    #[test]
    fn firmware_entries_are_aligned_and_disjoint() {
        let map = MemoryMap::from_firmware([
            (0x10_0000, 0x70_0000, Kind::Usable),
            (0, 0x9fc00, Kind::Usable),
            (0x9fc00, 0x400, Kind::Reserved),
            (0x7f_ff00, 0x100, Kind::AcpiReclaimable),
            (0x20_0000, 0x1000, Kind::Reserved),
            (0x20_0000, 0x2000, Kind::AcpiNvs),
        ]);
        check(&map);
        assert_eq!(
            spans(&map),
            [
                (0, 0x1000, Kind::Reserved),
                (0x1000, 0x9f000, Kind::Usable),
                (0x9f000, 0xa0000, Kind::Reserved),
                (0x10_0000, 0x20_0000, Kind::Usable),
                (0x20_0000, 0x20_1000, Kind::Reserved),
                (0x20_1000, 0x20_2000, Kind::AcpiNvs),
                (0x20_2000, 0x7f_f000, Kind::Usable),
                (0x7f_f000, 0x80_0000, Kind::AcpiReclaimable),
            ]
        );
    }

    #[test]
    fn allocation_is_top_down_and_contiguous() {
        let mut map = MemoryMap::from_firmware([(0, 0x100_0000, Kind::Usable)]);
        let mut take = |n, align| {
            map.allocate(n, align, ALLOCATION_WINDOW, Kind::BootloaderReclaimable, "test").unwrap()
        };
        assert_eq!(take(1, 1), 0xff_f000);
        assert_eq!(take(PAGE + 1, 1), 0xff_d000);
        assert_eq!(take(PAGE, 0x20_0000), 0xe0_0000);
        check(&map);
        assert_eq!(map.regions().len(), 5);
    }

    #[test]
    fn allocation_stays_in_its_window() {
        let mut map = MemoryMap::from_firmware([(0, 0x9f000, Kind::Usable)]);
        let kind = Kind::BootloaderReclaimable;
        let high = map.allocate(1, 1, ALLOCATION_WINDOW, kind, "test");
        assert_eq!(high, Err(Error::OutOfMemory(1, "test")));
        assert_eq!(map.allocate(1, 1, PAGE..0xa_0000, kind, "test"), Ok(0x9e000));
        assert!(map.allocate(u64::MAX, 1, 0..u64::MAX, kind, "test").is_err());
    }

    #[test]
    fn memory_ends_in_an_error_not_in_an_overlap() {
        let mut map = MemoryMap::from_firmware([(0x10_0000, 0x5000, Kind::Usable)]);
        let mut seen = Vec::new();
        while let Ok(base) = map.allocate(1, 1, ALLOCATION_WINDOW, Kind::ReservedMapped, "test") {
            seen.push(base);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0x10_0000, 0x10_1000, 0x10_2000, 0x10_3000, 0x10_4000]);
        assert_eq!(spans(&map), [(0x10_0000, 0x10_5000, Kind::ReservedMapped)]);
    }

    #[test]
    fn convert_leaves_other_kinds_alone() {
        let mut map = MemoryMap::from_firmware([
            (0x1000, 0x3000, Kind::Reserved),
            (0x4000, 0x2000, Kind::AcpiNvs),
        ]);
        map.convert(0x2000..0x5800, |kind| kind == Kind::Reserved, Kind::ReservedMapped);
        assert_eq!(
            spans(&map),
            [
                (0x1000, 0x2000, Kind::Reserved),
                (0x2000, 0x4000, Kind::ReservedMapped),
                (0x4000, 0x6000, Kind::AcpiNvs),
            ]
        );
    }

    #[test]
    fn extreme_entries_do_not_wrap() {
        let map = MemoryMap::from_firmware([
            (u64::MAX - 10, u64::MAX, Kind::Reserved),
            (0xfd_0000_0000, 0x3_0000_0000, Kind::Reserved),
            (0x5000, 0, Kind::Reserved),
            (0x5800, 0x400, Kind::Usable),
        ]);
        check(&map);
        assert_eq!(map.regions().len(), 1);
    }
}
