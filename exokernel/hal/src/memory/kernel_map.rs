//! The kernel half of every address space.
//!
//! Built once at boot: direct map (no execute), image with W^X, kernel memory, device registers. All its third-level
//! tables exist before the first environment, so top tables copy 256 entries and never change them.
use crate::address::{DEVICE_MEMORY, DIRECT_MAP, FrameNumber, KERNEL_MEMORY, PhysicalAddress};
use crate::boot::memory_map::BootFrames;
use core::sync::atomic::{AtomicU64, Ordering};
use serix_abi::PAGE_SIZE;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const NO_CACHE: u64 = 1 << 4;
const HUGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
const TWO_MIB: u64 = 1 << 21;

/// Physical address of the kernel's top table.
static TOP: AtomicU64 = AtomicU64::new(0);
/// Next free address for device registers.
static NEXT_DEVICE: AtomicU64 = AtomicU64::new(DEVICE_MEMORY);
/// Offset of the direct map in force: the loader's until the kernel's own is loaded.
static OFFSET: AtomicU64 = AtomicU64::new(0);

fn table(physical: u64) -> &'static mut [u64; 512] {
    let offset = OFFSET.load(Ordering::Relaxed);
    // SAFETY: called at boot on one core, with frames that the boot allocator gave for tables; the direct map in force
    // covers them. Callers use one table at a time.
    unsafe { &mut *((physical + offset) as *mut [u64; 512]) }
}

fn next_level(entry: &mut u64, frames: &mut BootFrames) -> u64 {
    if *entry & PRESENT == 0 {
        let frame = frames.take(1).0;
        table(frame).fill(0);
        *entry = frame | PRESENT | WRITE;
    }
    *entry & ADDRESS
}

/// The kernel half under construction.
pub(crate) struct Builder<'a> {
    top: u64,
    frames: &'a mut BootFrames,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(frames: &'a mut BootFrames, loader_offset: u64) -> Self {
        OFFSET.store(loader_offset, Ordering::Relaxed);
        let top = frames.take(1).0;
        table(top).fill(0);
        let builder = Self { top, frames };
        for base in [DIRECT_MAP, KERNEL_MEMORY, DEVICE_MEMORY, 0xFFFF_FFFF_8000_0000] {
            next_level(builder.top_entry(base), builder.frames);
        }
        builder
    }

    fn top_entry(&self, address: u64) -> &'static mut u64 {
        &mut table(self.top)[(address >> 39) as usize & 511]
    }

    fn third(&mut self, address: u64) -> &'static mut u64 {
        let third = next_level(self.top_entry(address), self.frames);
        &mut table(third)[(address >> 30) as usize & 511]
    }

    fn second(&mut self, address: u64) -> &'static mut u64 {
        let entry = self.third(address);
        let second = next_level(entry, self.frames);
        &mut table(second)[(address >> 21) as usize & 511]
    }

    fn map_page(&mut self, address: u64, physical: u64, flags: u64) {
        let entry = self.second(address);
        let leaf = next_level(entry, self.frames);
        table(leaf)[(address >> 12) as usize & 511] = physical | flags | PRESENT | GLOBAL;
    }

    /// Maps RAM in the direct map, in 2 MiB pages where whole ones lie inside.
    pub(crate) fn direct(&mut self, start: u64, end: u64) {
        let mut at = start;
        while at < end {
            if at.is_multiple_of(TWO_MIB) && at + TWO_MIB <= end {
                let entry = self.second(DIRECT_MAP + at);
                if *entry & PRESENT == 0 {
                    *entry = at | PRESENT | WRITE | HUGE | GLOBAL | NO_EXECUTE;
                }
                at += TWO_MIB;
            } else {
                if *self.second(DIRECT_MAP + at) & HUGE == 0 {
                    self.map_page(DIRECT_MAP + at, at, WRITE | NO_EXECUTE);
                }
                at += PAGE_SIZE as u64;
            }
        }
    }

    /// Maps part of the kernel image.
    pub(crate) fn image(
        &mut self,
        start: u64,
        end: u64,
        physical: u64,
        write: bool,
        execute: bool,
    ) {
        let mut flags = if write { WRITE } else { 0 };
        if !execute {
            flags |= NO_EXECUTE;
        }
        for page in (start..end).step_by(PAGE_SIZE) {
            self.map_page(page, physical + (page - start), flags);
        }
    }

    /// Gives fresh frames to kernel memory; the address after them stays unmapped if the caller leaves a gap.
    pub(crate) fn memory(&mut self, start: u64, pages: u64) {
        for page in 0..pages {
            let frame = self.frames.take(1).0;
            table(frame).fill(0);
            self.map_page(start + page * PAGE_SIZE as u64, frame, WRITE | NO_EXECUTE);
        }
    }

    /// Loads the tables built.
    ///
    /// # Safety
    /// The running code, its stack and its data are mapped at the same addresses.
    pub(crate) unsafe fn finish(self) {
        // Room for device registers, so that later maps need no table at boot time's end.
        for gib_part in 0..4 {
            let entry = Self::leaf_slot(self.top, DEVICE_MEMORY + gib_part * TWO_MIB, self.frames);
            let _ = next_level(entry, self.frames);
        }
        TOP.store(self.top, Ordering::Relaxed);
        // SAFETY: the caller says that everything in use stays mapped.
        unsafe { crate::cpu::registers::write_cr3(self.top) };
        OFFSET.store(DIRECT_MAP, Ordering::Relaxed);
    }

    fn leaf_slot(top: u64, address: u64, frames: &mut BootFrames) -> &'static mut u64 {
        let third = next_level(&mut table(top)[(address >> 39) as usize & 511], frames);
        let second = next_level(&mut table(third)[(address >> 30) as usize & 511], frames);
        &mut table(second)[(address >> 21) as usize & 511]
    }
}

/// Physical address of the kernel's own top table, for cores without an environment.
#[must_use]
pub fn kernel_root() -> FrameNumber {
    FrameNumber((TOP.load(Ordering::Relaxed) >> 12) as u32)
}

/// Copies the kernel half into a new top table.
pub(crate) fn copy_kernel_half(into: &mut [u64; 512]) {
    into[256..].copy_from_slice(&table(TOP.load(Ordering::Relaxed))[256..]);
}

/// Device registers that are mapped.
#[derive(Clone, Copy)]
struct DeviceMap {
    first: u64,
    end: u64,
    address: u64,
}

/// What [`map_device`] mapped.
static MAPPED: spin::Mutex<[Option<DeviceMap>; 64]> = spin::Mutex::new([None; 64]);

/// Maps device registers uncached and returns where; `None` when the 8 MiB for them are used up.
///
/// # Safety
/// `physical..physical + size` are device registers, not RAM.
#[must_use]
pub unsafe fn map_device(physical: PhysicalAddress, size: usize) -> Option<*mut u8> {
    let first = physical.0 & !(PAGE_SIZE as u64 - 1);
    let pages = (physical.0 + size as u64 - first).div_ceil(PAGE_SIZE as u64);
    let mut known = MAPPED.lock();
    let fits = |map: &&DeviceMap| map.first <= first && first + pages * PAGE_SIZE as u64 <= map.end;
    if let Some(map) = known.iter().flatten().find(fits) {
        return Some((map.address + (physical.0 - map.first)) as *mut u8);
    }
    let start = NEXT_DEVICE.fetch_add((pages + 1) * PAGE_SIZE as u64, Ordering::Relaxed);
    if start + pages * PAGE_SIZE as u64 > DEVICE_MEMORY + 4 * TWO_MIB {
        return None;
    }
    for page in 0..pages {
        let address = start + page * PAGE_SIZE as u64;
        let third = table(TOP.load(Ordering::Relaxed))[(address >> 39) as usize & 511] & ADDRESS;
        let second = table(third)[(address >> 30) as usize & 511] & ADDRESS;
        let leaf = table(second)[(address >> 21) as usize & 511] & ADDRESS;
        table(leaf)[(address >> 12) as usize & 511] = (first + page * PAGE_SIZE as u64)
            | PRESENT
            | WRITE
            | WRITE_THROUGH
            | NO_CACHE
            | GLOBAL
            | NO_EXECUTE;
    }
    // A device that is set up again asks for the same registers again. Beyond the table's end it takes new room.
    if let Some(free) = known.iter_mut().find(|map| map.is_none()) {
        *free = Some(DeviceMap { first, end: first + pages * PAGE_SIZE as u64, address: start });
    }
    Some((start + (physical.0 - first)) as *mut u8)
}
