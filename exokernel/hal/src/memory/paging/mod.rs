//! User page tables with their reverse map.
//!
//! A [`Root`] is a top table (an environment) or a third-level table (a subtree). All changes go through here: an entry,
//! its link in the frame's list of mappings, and the counts in the frame table change together. What translation
//! caches must forget is noted with [`crate::cpu::tlb`]; the caller finishes it there.
mod leaf;
mod reverse;

pub use leaf::Leaf;

use super::frames::{FrameEntry, FrameState, FrameTable, zero_frame};
use crate::address::FrameNumber;
use crate::cpu::tlb;
use core::cell::Cell;
use serix_abi::PAGE_SHIFT;
use serix_abi::layout::USER_TOP_SLOTS;
use serix_abi::map::MapFlags;

pub(crate) const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// In a top table: the entry belongs to a subtree or is the window.
const FOREIGN: u64 = 1 << 9;
const NO_EXECUTE: u64 = 1 << 63;
/// A device's page: the bit that keeps it out of caches. RAM never has it.
const DEVICE: u64 = MapFlags::DEVICE.0;
/// Entry 3 of the page attribute table, as at reset: no caching at all.
const UNCACHED: u64 = DEVICE | 1 << 3;
/// Entry 6, which `features::enable` sets to write combining.
const WRITE_COMBINING: u64 = DEVICE | 1 << 7;
/// All bits that choose from the page attribute table (AMD APM vol. 2, 7.8).
const CACHING: u64 = UNCACHED | WRITE_COMBINING;
const LIMITS: u64 = MapFlags::MAY_WRITE.0 | MapFlags::MAY_EXECUTE.0;
/// A leaf table covers 2 MiB.
const LEAF_SHIFT: u32 = PAGE_SHIFT + 9;
/// Entries of a table.
pub const ENTRIES: usize = 512;
/// References have 23 bits for the table's frame.
const MAX_TABLE_FRAME: u32 = 1 << 23;

/// Frames for page tables come from the account of the space's domain.
pub trait TableSource {
    /// A frame of the account, `User` and unmapped, or `None` when it is empty.
    fn take(&mut self) -> Option<FrameNumber>;
    /// Gives one back.
    fn put_back(&mut self, frame: FrameNumber);
}

/// Why a page could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for a page table.
    NoFrames,
    /// The frame is claimed by the kernel or is not RAM.
    NotMappable,
    /// The top slot holds a subtree, the window, or nothing of this space.
    ForeignSlot,
}

/// A root of page tables.
#[derive(Debug)]
pub struct Root {
    frame: FrameNumber,
    /// 4 for an environment, 3 for a subtree.
    level: u8,
    /// The window's shadow table.
    shadow: Option<FrameNumber>,
    space: AddressSpace,
    /// The leaf table that was found last, and the 2 MiB that it covers. Tables go away in [`Self::tear_down_step`] alone.
    last: Cell<(u64, FrameNumber)>,
}

/// In which address space a page table is: that of a top table, or any. Frame 0 is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AddressSpace(FrameNumber);

impl AddressSpace {
    /// A subtree's, or unknown.
    const ANY: Self = Self(FrameNumber(0));

    #[inline(always)]
    fn root(self) -> Option<FrameNumber> {
        (self != Self::ANY).then_some(self.0)
    }
}

/// No 2 MiB of the user half.
const NOWHERE: (u64, FrameNumber) = (u64::MAX, FrameNumber(0));

type Table = [u64; ENTRIES];

/// The table in a frame of state `Table`.
#[inline(always)]
fn table(frame: FrameNumber) -> &'static mut Table {
    // SAFETY: 1. Callers pass frames of state `Table`, or claimed for becoming one; nothing else has references into
    // them, and each function uses one table reference at a time. 2. Interrupts are off and the kernel lock is held.
    unsafe { &mut *frame.pointer::<Table>() }
}

#[inline(always)]
fn frame_of(entry: u64) -> FrameNumber {
    FrameNumber(((entry & MapFlags::FRAME_MASK) >> PAGE_SHIFT) as u32)
}

#[inline(always)]
fn index(address: u64, level: u8) -> usize {
    (address >> (PAGE_SHIFT + 9 * (u32::from(level) - 1))) as usize & (ENTRIES - 1)
}

#[inline(always)]
fn reference(leaf: FrameNumber, index: usize) -> u32 {
    leaf.0 << 9 | index as u32
}

impl FrameTable {
    fn new_table(
        &mut self,
        level: u8,
        parent: u32,
        source: &mut dyn TableSource,
    ) -> Option<FrameNumber> {
        let frame = self.take_table_frame(source)?;
        let mut links = FrameNumber(0);
        if level == 1 {
            let Some(taken) = self.take_table_frame(source) else {
                self.free_table_frame(frame, source);
                return None;
            };
            links = taken;
        }
        zero_frame(frame);
        let entry = &mut self.entries[frame.0 as usize];
        entry.level = level;
        entry.parent = parent;
        entry.first = links.0;
        Some(frame)
    }

    fn take_table_frame(&mut self, source: &mut dyn TableSource) -> Option<FrameNumber> {
        let frame = source.take()?;
        if frame.0 < MAX_TABLE_FRAME && self.claim_as(frame, FrameState::Table) {
            return Some(frame);
        }
        source.put_back(frame);
        None
    }

    fn free_table_frame(&mut self, frame: FrameNumber, source: &mut dyn TableSource) {
        self.release_as(frame, FrameState::Table);
        source.put_back(frame);
    }

    /// Frees a table without entries, with its links, and the entry that pointed to it.
    fn free_table(&mut self, frame: FrameNumber, source: &mut dyn TableSource) {
        let FrameEntry { first, level, .. } = self.entries[frame.0 as usize];
        if level == 1 {
            self.free_table_frame(FrameNumber(first), source);
        }
        self.free_table_frame(frame, source);
    }
}

impl Root {
    /// Makes the top table of an environment, with a page-table window at `window_slot` if given.
    pub fn environment(
        frames: &mut FrameTable,
        window_slot: Option<usize>,
        source: &mut dyn TableSource,
    ) -> Option<Self> {
        let frame = frames.new_table(4, 0, source)?;
        crate::memory::kernel_map::copy_kernel_half(table(frame));
        let mut root = Self {
            frame,
            level: 4,
            shadow: None,
            space: AddressSpace(frame),
            last: Cell::new(NOWHERE),
        };
        if let Some(slot) = window_slot.filter(|slot| *slot < USER_TOP_SLOTS as usize) {
            let Some(shadow) = frames.new_table(3, 0, source) else {
                frames.free_table(frame, source);
                return None;
            };
            root.shadow = Some(shadow);
            // The shadow table names itself, so that the window shows the upper levels too: the window entry of a window
            // entry is the entry one level up.
            table(shadow)[slot] = shadow.start().0 | PRESENT | USER | NO_EXECUTE;
            table(frame)[slot] = shadow.start().0 | PRESENT | USER | FOREIGN | NO_EXECUTE;
        }
        Some(root)
    }

    /// Makes an empty subtree.
    pub fn subtree(frames: &mut FrameTable, source: &mut dyn TableSource) -> Option<Self> {
        let frame = frames.new_table(3, 0, source)?;
        Some(Self {
            frame,
            level: 3,
            shadow: None,
            space: AddressSpace::ANY,
            last: Cell::new(NOWHERE),
        })
    }

    /// The root table's frame: what CR3 holds for an environment.
    #[must_use]
    pub fn frame(&self) -> FrameNumber {
        self.frame
    }

    /// The top table; none of a subtree, which can be in several.
    #[inline(always)]
    fn address_space(&self) -> AddressSpace {
        self.space
    }

    /// Forgets the translations of everything below the root.
    fn flush(&self) {
        self.space.root().map_or_else(tlb::flush_all, tlb::flush_root);
    }

    /// Sets a top-level entry, and the window's copy of it.
    fn set_top(&self, slot: usize, entry: u64) {
        table(self.frame)[slot] = entry;
        if let Some(shadow) = self.shadow {
            table(shadow)[slot] = entry & !(FOREIGN | WRITE);
        }
    }

    /// Attaches a subtree; false if the slot is in use.
    pub fn attach(&mut self, slot: usize, subtree: &Self, writable: bool) -> bool {
        if slot >= USER_TOP_SLOTS as usize || table(self.frame)[slot] != 0 {
            return false;
        }
        let write = if writable { WRITE } else { 0 };
        self.set_top(slot, subtree.frame.start().0 | PRESENT | USER | FOREIGN | write);
        true
    }

    /// Detaches what [`Self::attach`] put there; false if it is another.
    pub fn detach(&mut self, slot: usize, subtree: &Self) -> bool {
        if slot >= USER_TOP_SLOTS as usize
            || frame_of(table(self.frame)[slot]) != subtree.frame
            || table(self.frame)[slot] & PRESENT == 0
        {
            return false;
        }
        self.set_top(slot, 0);
        self.flush();
        true
    }

    /// Whether the leaf table for an address is the one that was found last.
    #[inline(always)]
    pub fn was_last(&self, address: u64) -> bool {
        self.last.get().0 == address >> LEAF_SHIFT
    }

    /// As [`Leaf::map`] of one frame, in the leaf table that was found last; false if the address is not of it, or the frame
    /// not ring 3's.
    #[inline(always)]
    pub fn map_in_last(
        &self,
        frames: &mut FrameTable,
        address: u64,
        frame: FrameNumber,
        flags: MapFlags,
    ) -> bool {
        let leaf = Leaf::new(self.last.get().1, self.address_space());
        self.was_last(address) && leaf.map_one(frames, address, frame, flags)
    }

    /// A walk ended at a leaf table.
    #[inline(always)]
    fn found(&self, address: u64, leaf: FrameNumber) -> Leaf {
        self.last.set((address >> LEAF_SHIFT, leaf));
        Leaf::new(leaf, self.address_space())
    }

    /// The leaf table for an address, made if need be.
    #[inline]
    pub fn leaf_for(
        &self,
        frames: &mut FrameTable,
        address: u64,
        source: &mut dyn TableSource,
    ) -> Result<Leaf, MapError> {
        let mut at = self.frame;
        let mut level = self.level;
        while level > 1 {
            let slot = index(address, level);
            let entry = table(at)[slot];
            if entry & PRESENT == 0 {
                at = self.grow(frames, at, level, slot, source)?;
            } else if level == 4 && entry & FOREIGN != 0 {
                return Err(MapError::ForeignSlot);
            } else {
                at = frame_of(entry);
            }
            level -= 1;
        }
        Ok(self.found(address, at))
    }

    #[cold]
    fn grow(
        &self,
        frames: &mut FrameTable,
        at: FrameNumber,
        level: u8,
        slot: usize,
        source: &mut dyn TableSource,
    ) -> Result<FrameNumber, MapError> {
        let made =
            frames.new_table(level - 1, reference(at, slot), source).ok_or(MapError::NoFrames)?;
        let entry = made.start().0 | PRESENT | WRITE | USER;
        if level == 4 {
            self.set_top(slot, entry);
        } else {
            table(at)[slot] = entry;
        }
        frames.entries[at.0 as usize].uses += 1;
        Ok(made)
    }

    /// The leaf table for an address if it exists; else how many pages from `address` on have none.
    #[inline(always)]
    pub fn find_leaf(&self, address: u64) -> Result<Leaf, u64> {
        if self.was_last(address) {
            return Ok(Leaf::new(self.last.get().1, self.address_space()));
        }
        self.walk(address)
    }

    #[inline(never)]
    fn walk(&self, address: u64) -> Result<Leaf, u64> {
        let mut at = self.frame;
        let mut level = self.level;
        while level > 1 {
            let entry = table(at)[index(address, level)];
            if entry & PRESENT == 0 || (level == 4 && entry & FOREIGN != 0) {
                let pages = 1u64 << (9 * (u32::from(level) - 1));
                return Err(pages - ((address >> PAGE_SHIFT) & (pages - 1)));
            }
            at = frame_of(entry);
            level -= 1;
        }
        Ok(self.found(address, at))
    }

    /// Frees one table with all below it that is empty, or empties one leaf: false when nothing is left below the
    /// root. Work of one step: at most 512 entries.
    pub fn tear_down_step(&self, frames: &mut FrameTable, source: &mut dyn TableSource) -> bool {
        let mut at = self.frame;
        let mut level = self.level;
        let mut parent = None;
        self.last.set(NOWHERE);
        loop {
            if level == 1 {
                for slot in 0..ENTRIES {
                    if frames.entries[at.0 as usize].uses == 0 {
                        break;
                    }
                    frames.clear(Leaf::new(at, AddressSpace::ANY), slot);
                }
            }
            match self.first_child(frames, at, level) {
                Some(slot) => {
                    parent = Some((at, slot, level));
                    at = frame_of(table(at)[slot]);
                    level -= 1;
                }
                None => break,
            }
        }
        let Some((above, slot, level)) = parent else { return false };
        if level == 4 {
            self.set_top(slot, 0);
        } else {
            table(above)[slot] = 0;
        }
        self.flush();
        frames.entries[above.0 as usize].uses -= 1;
        frames.free_table(at, source);
        true
    }

    fn first_child(&self, frames: &FrameTable, at: FrameNumber, level: u8) -> Option<usize> {
        if level == 1 || frames.entries[at.0 as usize].uses == 0 {
            return None;
        }
        let end = if level == 4 { USER_TOP_SLOTS as usize } else { ENTRIES };
        table(at)[..end]
            .iter()
            .position(|entry| entry & PRESENT != 0 && (level != 4 || entry & FOREIGN == 0))
    }

    /// Frees the root itself, after [`Self::tear_down_step`] said false and every subtree was detached.
    ///
    /// # Panics
    /// If a core runs on it.
    pub fn free(self, frames: &mut FrameTable, source: &mut dyn TableSource) {
        assert!(!tlb::is_loaded(self.frame), "freed a root in use");
        if let Some(shadow) = self.shadow {
            frames.free_table(shadow, source);
        }
        frames.free_table(self.frame, source);
    }
}
