//! Leaf page tables: runs of entries mapped, unmapped, protected and copied.
//!
//! The loops are the longest part of the kernel's memory paths, so they keep the table, its links and the frame
//! entries at hand instead of looking them up for each page.
use super::reverse::Link;
use super::{
    AddressSpace, CACHING, DEVICE, ENTRIES, FrameState, LIMITS, MapFlags, PRESENT, UNCACHED, USER,
    WRITE, WRITE_COMBINING, index, reference, table,
};
use crate::address::FrameNumber;
use crate::cpu::tlb;
use crate::memory::frames::{Caching, FrameTable};
use serix_abi::PAGE_SIZE;

/// Pages from which on forgetting all translations is cheaper than one after the other.
const FLUSH_ALL_FROM: usize = 32;

/// A leaf table in which a walk ended.
#[derive(Clone, Copy)]
pub struct Leaf {
    table: FrameNumber,
    /// Any: reached through a subtree or the reverse map, so the pages may be at several addresses.
    space: AddressSpace,
}

impl Leaf {
    #[inline(always)]
    pub(super) fn new(table: FrameNumber, space: AddressSpace) -> Self {
        Self { table, space }
    }

    #[inline(always)]
    pub(super) fn table(self) -> FrameNumber {
        self.table
    }

    /// How many of `count` entries from that of `address` on are in this table.
    #[inline(always)]
    fn clamp(address: u64, count: u64) -> usize {
        (ENTRIES - index(address, 1)).min(count as usize)
    }

    /// Forgets the translations of pages whose entries have changed. In a subtree only the lower part of the address is
    /// known.
    #[inline(always)]
    fn flush(self, address: u64, count: usize) {
        match self.space.root() {
            None => tlb::flush_all(),
            Some(root) if count >= FLUSH_ALL_FROM => tlb::flush_root(root),
            Some(root) => {
                tlb::flush_pages(root, (0..count).map(|page| address + (page * PAGE_SIZE) as u64));
            }
        }
    }

    /// Maps consecutive frames at consecutive pages of this table; existing mappings are replaced. `flags` holds what the
    /// pages have now and, with [`MapFlags::MAY_WRITE`] and [`MapFlags::MAY_EXECUTE`], what [`Self::protect`] may give them
    /// later. How many were mapped: up to the end of the table, or the first frame that is not ring 3's.
    #[inline]
    pub fn map(
        self,
        frames: &mut FrameTable,
        address: u64,
        first: FrameNumber,
        count: u64,
        flags: MapFlags,
    ) -> u64 {
        let slot = index(address, 1);
        let known = frames.entries.len().saturating_sub(first.0 as usize);
        let count = Self::clamp(address, count).min(known);
        let bits = flags.0 & (MapFlags::REQUEST.0 | LIMITS) | PRESENT | USER;
        let (table, links) = (table(self.table), frames.links(self.table));
        let mut done = 0;
        while done < count {
            let (at, frame) = (slot + done, FrameNumber(first.0 + done as u32));
            // SAFETY: `known` and `clamp` bound frame and slot; a table's links frame is its own.
            let (entry, place, link) = unsafe {
                let entry = &mut *frames.entries.as_mut_ptr().add(frame.0 as usize);
                (entry, table.get_unchecked_mut(at), &mut (*links)[at])
            };
            if entry.state != FrameState::User {
                break;
            }
            if *place & PRESENT != 0 {
                self.replace(frames, address + (done * PAGE_SIZE) as u64, at);
            }
            // SAFETY: as above; `replace` may have changed the frame's entry, so it is taken again.
            let entry = unsafe { &mut *frames.entries.as_mut_ptr().add(frame.0 as usize) };
            let here = reference(self.table, at);
            let next = core::mem::replace(&mut entry.first, here);
            entry.uses += 1;
            // Whoever maps it answers for what is in it from now on.
            entry.level = 0;
            *link = Link { previous: 0, next };
            if next != 0 {
                frames.link(next).previous = here;
            }
            *place = frame.start().0 | bits;
            done += 1;
        }
        frames.entries[self.table.0 as usize].uses += done as u32;
        done as u64
    }

    /// As [`Self::map`], of consecutive frames of a device, from the one at a place on.
    pub fn map_device(
        self,
        frames: &mut FrameTable,
        address: u64,
        first: FrameNumber,
        count: u64,
        flags: MapFlags,
    ) -> u64 {
        let (slot, count) = (index(address, 1), Self::clamp(address, count));
        let bits = flags.0 & (MapFlags::REQUEST.0 | LIMITS) | PRESENT | USER;
        for done in 0..count {
            let (at, place) = (slot + done, FrameNumber(first.0 + done as u32));
            let Some((frame, caching)) = frames.device_frame(place) else { return done as u64 };
            if table(self.table)[at] & PRESENT != 0 {
                self.replace(frames, address + (done * PAGE_SIZE) as u64, at);
            }
            let here = reference(self.table, at);
            let entry = &mut frames.entries[place.0 as usize];
            let next = core::mem::replace(&mut entry.first, here);
            entry.uses += 1;
            *frames.link(here) = Link { previous: 0, next };
            if next != 0 {
                frames.link(next).previous = here;
            }
            let caching = match caching {
                Caching::Uncached => UNCACHED,
                Caching::WriteCombining => WRITE_COMBINING,
            };
            table(self.table)[at] = frame.start().0 | bits | caching;
            frames.entries[self.table.0 as usize].uses += 1;
        }
        count as u64
    }

    /// As [`Self::map`], of one frame; false if it is not ring 3's.
    #[inline(always)]
    pub fn map_one(
        self,
        frames: &mut FrameTable,
        address: u64,
        frame: FrameNumber,
        flags: MapFlags,
    ) -> bool {
        let at = index(address, 1);
        let table = table(self.table);
        if table[at] & PRESENT != 0 {
            if frames.state(frame) != FrameState::User {
                return false;
            }
            self.replace(frames, address, at);
        }
        let here = reference(self.table, at);
        let Some(entry) = frames.entries.get_mut(frame.0 as usize) else { return false };
        if entry.state != FrameState::User {
            return false;
        }
        let next = core::mem::replace(&mut entry.first, here);
        entry.uses += 1;
        // Whoever maps it answers for what is in it from now on.
        entry.level = 0;
        table[at] = frame.start().0 | flags.0 & (MapFlags::REQUEST.0 | LIMITS) | PRESENT | USER;
        // SAFETY: the frame table describes every frame of RAM, and a page table is one.
        let own = unsafe { frames.entries.get_unchecked_mut(self.table.0 as usize) };
        own.uses += 1;
        let links: *mut [Link; ENTRIES] = FrameNumber(own.first).pointer();
        // SAFETY: a leaf table's links frame is its own, and `at` is below 512.
        unsafe { (*links)[at] = Link { previous: 0, next } };
        if next != 0 {
            frames.link(next).previous = here;
        }
        true
    }

    /// Takes out a mapping that another replaces.
    #[cold]
    fn replace(self, frames: &mut FrameTable, address: u64, at: usize) {
        frames.clear(self, at);
        self.flush(address, 1);
    }

    /// Removes the mappings of pages of this table; how many pages were passed.
    #[inline]
    pub fn unmap(self, frames: &mut FrameTable, address: u64, count: u64) -> u64 {
        let (slot, count) = (index(address, 1), Self::clamp(address, count));
        let mut cleared = false;
        for at in slot..slot + count {
            cleared |= frames.clear(self, at);
        }
        if cleared {
            self.flush(address, count);
        }
        count as u64
    }

    /// Changes the flags of the present pages among `count`; how many pages were passed, up to the end of the table or the
    /// first page that may not have them.
    #[inline]
    pub fn protect(self, address: u64, count: u64, flags: MapFlags) -> u64 {
        let (slot, count) = (index(address, 1), Self::clamp(address, count));
        let keep = MapFlags::FRAME_MASK
            | MapFlags::ACCESSED.0
            | MapFlags::DIRTY.0
            | LIMITS
            | CACHING
            | PRESENT
            | USER;
        let mut done = 0;
        for entry in table(self.table)[slot..slot + count].iter_mut() {
            if *entry & PRESENT != 0 {
                if !MapFlags(*entry).allows(flags) {
                    break;
                }
                *entry = *entry & keep | flags.0 & MapFlags::REQUEST.0;
            }
            done += 1;
        }
        self.flush(address, done);
        done as u64
    }

    /// Copies the present entries among `count` for copy-on-write into `target`, the leaf table of the same addresses in
    /// another environment; see `Call::CopyRange`. How many pages were passed.
    pub fn copy(self, frames: &mut FrameTable, address: u64, count: u64, target: Self) -> u64 {
        let (slot, count) = (index(address, 1), Self::clamp(address, count));
        let (from, to) = (table(self.table), table(target.table));
        let links = frames.links(target.table);
        let (mut made, mut changed) = (0, false);
        for at in slot..slot + count {
            let entry = &mut from[at];
            // A device's page is not copied on write: whoever wants it in the other environment maps it there.
            if *entry & (PRESENT | DEVICE) != PRESENT {
                continue;
            }
            if *entry & (MapFlags::SHARED.0 | WRITE) == WRITE {
                *entry = *entry & !WRITE | MapFlags::COPY.0;
                changed = true;
            }
            if to[at] & PRESENT != 0 {
                target.replace(frames, address + ((at - slot) * PAGE_SIZE) as u64, at);
            }
            let here = reference(target.table, at);
            let frame = &mut frames.entries[super::frame_of(*entry).0 as usize];
            let next = core::mem::replace(&mut frame.first, here);
            frame.uses += 1;
            // SAFETY: the target's links frame is its own, and `at` is below 512.
            unsafe { (*links)[at] = Link { previous: 0, next } };
            if next != 0 {
                frames.link(next).previous = here;
            }
            to[at] = *entry & !(MapFlags::ACCESSED.0 | MapFlags::DIRTY.0);
            made += 1;
        }
        frames.entries[target.table.0 as usize].uses += made;
        if changed {
            self.flush(address, count);
        }
        count as u64
    }
}
