//! The memory map, and the frames that boot takes from it.
use super::acpi::Interrupts;
use super::requests;
use crate::address::FrameNumber;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

/// An entry of the loader's memory map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) base: u64,
    pub(crate) length: u64,
    pub(crate) usable: bool,
    pub(crate) reclaimable: bool,
    pub(crate) files: bool,
    pub(crate) tables: bool,
}

/// Whether the direct map covers a region.
pub(crate) fn is_memory(region: &Region) -> bool {
    region.usable || region.reclaimable || region.files || region.tables
}

/// Whether memory or part of it lies in a range.
pub(super) fn has_memory(start: u64, end: u64) -> bool {
    let overlaps = |region: &Region| region.base < end && start < region.base + region.length;
    requests::memory_map().filter(is_memory).any(|region| overlaps(&region))
}

/// Frames of RAM that the frame table must describe.
pub(crate) fn frame_count() -> usize {
    requests::memory_map()
        .filter(|region| region.usable || region.reclaimable || region.files)
        .map(|region| ((region.base + region.length) >> 12) as usize)
        .max()
        .unwrap_or(0)
}

/// Frames taken at boot, for ever: from the end of the largest usable region downwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootFrames {
    bottom: u64,
    next: u64,
    top: u64,
}

impl BootFrames {
    pub(crate) fn new(map: impl Iterator<Item = Region>) -> Self {
        let largest = map.filter(|region| region.usable).max_by_key(|region| region.length);
        let region = largest.expect("no usable memory");
        let top = (region.base + region.length) & !0xFFF;
        Self { bottom: region.base, next: top, top }
    }

    /// So many frames in a row: physical address and bytes.
    pub(crate) fn take(&mut self, frames: u64) -> (u64, u64) {
        let bytes = frames * 4096;
        assert!(
            self.next >= self.bottom + bytes,
            "not enough memory to boot: give the machine more"
        );
        self.next -= bytes;
        (self.next, bytes)
    }

    fn holds(&self, address: u64) -> bool {
        (self.next..self.top).contains(&address)
    }
}

/// What is found while the loader's page tables are in force, and wanted later.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// What the time stamp counter showed then.
    pub(super) entered: u64,
    /// Where the HPET is.
    pub(super) hpet: Option<u64>,
    /// Interrupt controllers.
    pub(super) interrupts: Interrupts,
}

struct Kept(UnsafeCell<Option<(BootFrames, Found)>>);
// SAFETY: written and read once, by the boot core.
unsafe impl Sync for Kept {}
static KEPT: Kept = Kept(UnsafeCell::new(None));

/// Keeps the allocator, and what was found, across the change of stacks.
pub(super) fn keep(frames: BootFrames, found: Found) {
    // SAFETY: boot core, before `kept`.
    unsafe { *KEPT.0.get() = Some((frames, found)) };
}

pub(super) fn kept() -> (BootFrames, Found) {
    // SAFETY: boot core, after `keep`.
    unsafe { (*KEPT.0.get()).expect("boot frames were kept") }
}

/// Ranges of RAM for ring 3: usable and reclaimable memory less what boot took and the kernel's file. Frame zero is left out,
/// so that it can mean "none".
pub(super) fn ranges(taken: &BootFrames, kernel_file: &[u8]) -> Vec<(FrameNumber, u32)> {
    let file_start =
        kernel_file.as_ptr() as u64 - crate::address::DIRECT_MAP.min(kernel_file.as_ptr() as u64);
    let file_end = file_start + kernel_file.len() as u64;
    let mut ranges = Vec::new();
    for region in requests::memory_map().filter(|region| region.usable || region.reclaimable) {
        let start = region.base.next_multiple_of(4096).max(4096);
        let end = (region.base + region.length) & !0xFFF;
        let mut pieces = alloc::vec![(start, end)];
        for (cut_start, cut_end) in
            [(taken.next, taken.top), (file_start & !0xFFF, file_end.next_multiple_of(4096))]
        {
            pieces = pieces.into_iter().flat_map(|piece| cut(piece, cut_start, cut_end)).collect();
        }
        for (start, end) in pieces {
            debug_assert!(!taken.holds(start));
            if end > start {
                ranges.push((FrameNumber((start >> 12) as u32), ((end - start) >> 12) as u32));
            }
        }
    }
    ranges
}

/// What is left of a piece without the range from `start` to `end`.
fn cut(piece: (u64, u64), start: u64, end: u64) -> [(u64, u64); 2] {
    if end <= piece.0 || start >= piece.1 || start == end {
        return [piece, (0, 0)];
    }
    [(piece.0, start.max(piece.0)), (end.min(piece.1), piece.1)]
}
