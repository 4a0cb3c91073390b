//! The frame table: of each frame, whether ring 3 may map it or the kernel claimed it, and its mappings.
//!
//! Invariant: a frame in state `Claimed` or `Table` has no user mapping and no pin; a frame with a mapping or a pin is
//! `User`. Kernel objects in frames are sound because of this alone (docs/decisions/0004-frames.md).
use crate::address::FrameNumber;
use alloc::vec::Vec;
use serix_abi::PAGE_SIZE;

/// What a frame is to the hardware layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameState {
    /// Not RAM, or the kernel's since boot.
    Reserved = 0,
    /// Ring 3 may map it, a device may be told to use it.
    User = 1,
    /// Holds a kernel object.
    Claimed = 2,
    /// Is a page table, or the links of one.
    Table = 3,
    /// A device's: ring 3 may map it, and nothing else.
    Device = 4,
}

/// One frame. 16 bytes, so that 4 GiB of RAM cost 16 MiB.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FrameEntry {
    /// User frame: reference of its first mapping, or 0. Leaf table: number of its links frame.
    pub(crate) first: u32,
    /// Table: reference of the entry that points to it; for the top table 0.
    pub(crate) parent: u32,
    /// User frame: mappings. Table: present entries.
    pub(crate) uses: u32,
    /// Transfers in flight.
    pub(crate) pins: u16,
    pub(crate) state: FrameState,
    /// Table: 1 (leaf) to 4 (top). User frame: [`UNCLEANED`], or zero.
    pub(crate) level: u8,
}

impl FrameEntry {
    /// A frame that is not RAM.
    pub const RESERVED: Self =
        Self { first: 0, parent: 0, uses: 0, pins: 0, state: FrameState::Reserved, level: 0 };
}

/// `level` of a user frame that still holds what was in memory when the machine started: it was never mapped.
const UNCLEANED: u8 = 1;

/// How caches treat a device's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Each access reaches the device, in order.
    Uncached,
    /// Writes are gathered: for pictures.
    WriteCombining,
}

/// Consecutive frames of a device. Their entries follow those of RAM, from `place` on: a device's frame is known by its place,
/// and by its number only to ring 3 and in page tables.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRange {
    /// First frame.
    pub first: FrameNumber,
    /// How many.
    pub count: u32,
    /// Entry of the first.
    pub place: FrameNumber,
    caching: Caching,
}

/// The table over all frames of RAM, by frame number, and behind them those of devices.
pub struct FrameTable {
    pub(crate) entries: &'static mut [FrameEntry],
    devices: Vec<DeviceRange>,
}

/// Exclusive ownership of one claimed frame.
#[derive(Debug)]
pub struct OwnedFrame(pub(crate) FrameNumber);

impl OwnedFrame {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> FrameNumber {
        self.0
    }

    /// Fills the frame with zeroes.
    pub fn zero(&mut self) {
        zero_frame(self.0);
    }
}

impl FrameTable {
    /// Takes the boot-allocated entries, all `RESERVED`.
    #[must_use]
    pub fn new(entries: &'static mut [FrameEntry]) -> Self {
        Self { entries, devices: Vec::new() }
    }

    /// Enters a device's frames at the next place from `place` on, where nothing else may be.
    ///
    /// # Safety
    /// They are memory of a device that the kernel does not use and that does nothing but keep what is stored.
    pub(crate) unsafe fn add_device(
        &mut self,
        place: usize,
        first: FrameNumber,
        count: u32,
        caching: Caching,
    ) {
        for entry in &mut self.entries[place..place + count as usize] {
            assert!(entry.state == FrameState::Reserved);
            entry.state = FrameState::Device;
        }
        self.devices.push(DeviceRange { first, count, place: FrameNumber(place as u32), caching });
    }

    /// The frames of devices.
    #[must_use]
    pub fn devices(&self) -> &[DeviceRange] {
        &self.devices
    }

    /// The place of a device's frame; `None` if it is none.
    #[must_use]
    pub fn place_of(&self, frame: FrameNumber) -> Option<FrameNumber> {
        self.devices.iter().find_map(|range| {
            let offset = frame.0.checked_sub(range.first.0).filter(|at| *at < range.count)?;
            Some(FrameNumber(range.place.0 + offset))
        })
    }

    /// The device's frame at a place.
    pub(crate) fn device_frame(&self, place: FrameNumber) -> Option<(FrameNumber, Caching)> {
        self.devices.iter().find_map(|range| {
            let offset = place.0.checked_sub(range.place.0).filter(|at| *at < range.count)?;
            Some((FrameNumber(range.first.0 + offset), range.caching))
        })
    }

    /// Frames that the table describes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no frame at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// State of a frame; frames past the end are reserved.
    #[must_use]
    pub fn state(&self, frame: FrameNumber) -> FrameState {
        self.entries.get(frame.0 as usize).map_or(FrameState::Reserved, |entry| entry.state)
    }

    /// Mappings of a user frame.
    #[must_use]
    pub fn mappings(&self, frame: FrameNumber) -> u32 {
        self.entries.get(frame.0 as usize).map_or(0, |entry| entry.uses)
    }

    /// Transfers in flight on a frame.
    #[must_use]
    pub fn pins(&self, frame: FrameNumber) -> u16 {
        self.entries.get(frame.0 as usize).map_or(0, |entry| entry.pins)
    }

    /// Makes a reserved frame of RAM available to ring 3.
    ///
    /// # Safety
    /// The frame is RAM that nothing uses: no kernel memory, no boot structure, no device.
    pub unsafe fn release_boot_frame(&mut self, frame: FrameNumber) {
        let entry = &mut self.entries[frame.0 as usize];
        assert!(entry.state == FrameState::Reserved);
        (entry.state, entry.level) = (FrameState::User, UNCLEANED);
    }

    /// Takes a frame for the kernel: `None` if it is mapped, pinned or not `User`.
    pub fn claim(&mut self, frame: FrameNumber) -> Option<OwnedFrame> {
        self.claim_as(frame, FrameState::Claimed).then_some(OwnedFrame(frame))
    }

    pub(crate) fn claim_as(&mut self, frame: FrameNumber, state: FrameState) -> bool {
        let Some(entry) = self.entries.get_mut(frame.0 as usize) else { return false };
        let free = entry.state == FrameState::User && entry.uses == 0 && entry.pins == 0;
        if free {
            *entry = FrameEntry { state, ..FrameEntry::RESERVED };
        }
        free
    }

    /// Gives a claimed frame back.
    pub fn release(&mut self, frame: OwnedFrame) {
        self.release_as(frame.0, FrameState::Claimed);
    }

    pub(crate) fn release_as(&mut self, frame: FrameNumber, state: FrameState) {
        let entry = &mut self.entries[frame.0 as usize];
        assert!(entry.state == state, "released a frame in another state");
        *entry = FrameEntry { state: FrameState::User, ..FrameEntry::RESERVED };
    }

    /// Keeps a frame from being claimed while a device uses it: false if it is not ring 3's.
    pub fn pin(&mut self, frame: FrameNumber) -> bool {
        match self.entries.get_mut(frame.0 as usize) {
            Some(entry) if entry.state == FrameState::User && entry.pins < u16::MAX => {
                entry.pins += 1;
                true
            }
            _ => false,
        }
    }

    /// Undoes one [`Self::pin`].
    pub fn unpin(&mut self, frame: FrameNumber) {
        let entry = &mut self.entries[frame.0 as usize];
        assert!(entry.pins > 0, "unpinned a frame without pins");
        entry.pins -= 1;
    }

    /// Before a frame goes to another domain for the first time: fills it with zeroes if it still holds what was in memory when the
    /// machine started. Whether it did.
    pub fn clean(&mut self, frame: FrameNumber) -> bool {
        let entry = self.entries.get(frame.0 as usize);
        entry.is_some_and(|entry| entry.level == UNCLEANED) && self.zero_user(frame)
    }

    /// Fills a user frame with zeroes: false if it is mapped, pinned or not ring 3's.
    pub fn zero_user(&mut self, frame: FrameNumber) -> bool {
        match self.entries.get_mut(frame.0 as usize) {
            Some(entry)
                if entry.state == FrameState::User && entry.uses == 0 && entry.pins == 0 =>
            {
                entry.level = 0;
                zero_frame(frame);
                true
            }
            _ => false,
        }
    }
}

/// Stores 512 zero words.
pub(crate) fn zero_frame(frame: FrameNumber) {
    // SAFETY: callers pass frames of RAM that the frame table says nobody else uses now; the direct map covers
    // them.
    unsafe { frame.pointer::<[u64; PAGE_SIZE / 8]>().write([0; PAGE_SIZE / 8]) };
}
