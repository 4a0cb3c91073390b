//! The machine's memory map after boot services.
//!
//! Boot services' own memory is counted as the loader's, not as usable: it holds the stack and the
//! page tables that are in use until the kernel runs, which may reclaim it then.

use serix_boot::memory::{Kind, MemoryMap};
use uefi::boot::{MemoryType, PAGE_SIZE};
use uefi::mem::memory_map::{MemoryMap as _, MemoryMapOwned};

/// The map, and the end of what the firmware maps.
pub(super) struct Memory {
    pub(super) map: MemoryMap,
    pub(super) end: u64,
}

/// Copies the firmware's map.
pub(super) fn collect(firmware: MemoryMapOwned) -> Memory {
    let entries = firmware.entries().map(|entry| {
        (entry.phys_start, entry.page_count.saturating_mul(PAGE_SIZE as u64), kind(entry.ty))
    });
    let map = MemoryMap::from_firmware(entries);
    // Its memory cannot be given back: the pool went with boot services.
    core::mem::forget(firmware);
    let reachable = |kind: Kind| kind.is_mapped();
    let ends = map.regions().iter().filter(|region| reachable(region.kind)).map(|r| r.end);
    let end = ends.max().unwrap_or(0).max(1 << 32);
    Memory { map, end }
}

fn kind(of: MemoryType) -> Kind {
    match of {
        MemoryType::CONVENTIONAL => Kind::Usable,
        MemoryType::LOADER_CODE
        | MemoryType::LOADER_DATA
        | MemoryType::BOOT_SERVICES_CODE
        | MemoryType::BOOT_SERVICES_DATA => Kind::BootloaderReclaimable,
        MemoryType::ACPI_RECLAIM => Kind::AcpiReclaimable,
        MemoryType::ACPI_NON_VOLATILE => Kind::AcpiNvs,
        MemoryType::UNUSABLE => Kind::BadMemory,
        _ => Kind::Reserved,
    }
}
