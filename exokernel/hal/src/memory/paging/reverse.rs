//! The reverse map: of each frame, the page-table entries that map it, as a list through the links of leaf tables.
//!
//! A reference names an entry: table frame number << 9 | index. Invariant: a user frame's list holds exactly the present
//! entries that map it, and `uses` is its length; [`FrameTable::check_mappings`] looks.
use super::{AddressSpace, DEVICE, ENTRIES, Leaf, PRESENT, frame_of, reference, table};
use crate::address::FrameNumber;
use crate::cpu::tlb;
use crate::memory::frames::{FrameState, FrameTable};

/// A link: where the previous and the next mapping of the same frame are.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Link {
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl FrameTable {
    #[inline(always)]
    pub(super) fn link(&self, reference: u32) -> &'static mut Link {
        let links = FrameNumber(self.entries[(reference >> 9) as usize].first);
        // SAFETY: a leaf table's `first` names its links frame, of state `Table`; references are made only by
        // `link_in`, for leaf tables that exist.
        unsafe { &mut (*links.pointer::<[Link; ENTRIES]>())[(reference & 511) as usize] }
    }

    /// The links of a leaf table.
    #[inline(always)]
    pub(super) fn links(&self, leaf: FrameNumber) -> *mut [Link; ENTRIES] {
        FrameNumber(self.entries[leaf.0 as usize].first).pointer()
    }

    #[inline(always)]
    fn link_out(&mut self, frame: FrameNumber, reference: u32) {
        let Link { previous, next } = *self.link(reference);
        if previous == 0 {
            self.entries[frame.0 as usize].first = next;
        } else {
            self.link(previous).next = next;
        }
        if next != 0 {
            self.link(next).previous = previous;
        }
        self.entries[frame.0 as usize].uses -= 1;
    }

    /// Removes one mapping of a frame, wherever it is: false when there is none left.
    pub fn unmap_one(&mut self, frame: FrameNumber) -> bool {
        let Some(entry) = self.entries.get(frame.0 as usize) else { return false };
        if !matches!(entry.state, FrameState::User | FrameState::Device) || entry.uses == 0 {
            return false;
        }
        let reference = entry.first;
        let leaf = Leaf::new(FrameNumber(reference >> 9), AddressSpace::ANY);
        self.clear(leaf, (reference & 511) as usize);
        tlb::flush_all();
        true
    }

    /// How many of these frames have a list of mappings that is not exactly the page-table entries that map them, or of
    /// another length than counted.
    #[must_use]
    pub fn check_mappings(&self, frames: core::ops::Range<u32>) -> u64 {
        let end = frames.end.min(self.entries.len() as u32);
        let wrong = (frames.start..end).filter(|frame| !self.mappings_agree(FrameNumber(*frame)));
        wrong.count() as u64
    }

    fn mappings_agree(&self, frame: FrameNumber) -> bool {
        let entry = &self.entries[frame.0 as usize];
        if !matches!(entry.state, FrameState::User | FrameState::Device) {
            return true;
        }
        let (mut at, mut previous, mut seen) = (entry.first, 0, 0);
        while at != 0 && seen <= entry.uses {
            let leaf = FrameNumber(at >> 9);
            let mapped = table(leaf)[(at & 511) as usize];
            let link = *self.link(at);
            if mapped & PRESENT == 0 || self.entry_of(mapped) != frame || link.previous != previous
            {
                return false;
            }
            (previous, at) = (at, link.next);
            seen += 1;
        }
        seen == entry.uses && at == 0
    }

    /// Takes an entry out of a leaf table, and its link out of its frame's list; false if it is not present.
    #[inline(always)]
    pub(super) fn clear(&mut self, leaf: Leaf, index: usize) -> bool {
        let entry = core::mem::take(&mut table(leaf.table())[index]);
        if entry & (PRESENT | DEVICE) != PRESENT {
            return entry & PRESENT != 0 && self.clear_device(leaf, index, entry);
        }
        self.link_out(frame_of(entry), reference(leaf.table(), index));
        self.entries[leaf.table().0 as usize].uses -= 1;
        true
    }

    /// As [`Self::clear`], of an entry that maps a device's frame.
    #[cold]
    fn clear_device(&mut self, leaf: Leaf, index: usize, entry: u64) -> bool {
        self.link_out(self.entry_of(entry), reference(leaf.table(), index));
        self.entries[leaf.table().0 as usize].uses -= 1;
        true
    }

    /// Where the frame that an entry maps has its own entry in the frame table.
    fn entry_of(&self, entry: u64) -> FrameNumber {
        let frame = frame_of(entry);
        if entry & DEVICE == 0 { frame } else { self.place_of(frame).unwrap_or(frame) }
    }
}
