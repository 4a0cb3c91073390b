//! Memory taken for good, and the kernel's first address space in it.

use alloc::vec::Vec;
use core::ops::Range;
use core::slice;

use crate::cpu;
use crate::elf::Access;
use crate::error::Error;
use crate::faults;
use crate::image::Plan;
use crate::memory::{ALLOCATION_WINDOW, Kind, MemoryMap, PAGE, Region, page_ceil, page_floor};
use crate::paging::{Cache, NO_EXECUTE, TableMemory, Tables, WRITE};
use crate::protocol::HHDM;
use crate::smp;

/// Takes memory for good: its physical address, and its words, zeroed.
pub(super) fn take_words<'a>(
    memory: &mut MemoryMap,
    bytes: u64,
    align: u64,
    kind: Kind,
    purpose: &'static str,
) -> Result<(u64, &'a mut [u64]), Error> {
    let address = memory.allocate(bytes, align, ALLOCATION_WINDOW, kind, purpose)?;
    let words = (page_ceil(bytes) / 8) as usize;
    // SAFETY: 1. The map gave these pages away just now, so they are nobody else's. 2. They are RAM
    // below 4 GiB, identity mapped, and not page 0. 3. Any bytes are valid words.
    let words = unsafe { slice::from_raw_parts_mut(address as *mut u64, words) };
    words.fill(0);
    Ok((address, words))
}

struct TableAllocator<'a>(&'a mut MemoryMap);

impl TableMemory for TableAllocator<'_> {
    fn new_table(&mut self) -> Result<u64, Error> {
        let kind = Kind::BootloaderReclaimable;
        take_words(self.0, PAGE, PAGE, kind, "page tables").map(|(address, _)| address)
    }

    fn table(&mut self, physical: u64) -> &mut [u64; 512] {
        // SAFETY: 1. `physical` came from `new_table` or from an entry made of one: a page of ours,
        // identity mapped. 2. The borrow of `self` makes it the only reference.
        unsafe { &mut *(physical as *mut [u64; 512]) }
    }
}

/// The kernel's first address space: the direct map (never executable), the image with its
/// segments' permissions, and the identity mapped pages in which CPUs change over.
pub(super) fn build_tables(
    memory: &mut MemoryMap,
    plan: &Plan<'_>,
    image_at: u64,
    trampoline: Option<u64>,
) -> Result<u64, Error> {
    let no_execute = if cpu::has_no_execute() { NO_EXECUTE } else { 0 };
    let regions: Vec<_> = memory.regions().iter().filter(|r| r.kind.is_mapped()).copied().collect();
    let mut tables = Tables::new(TableAllocator(memory), cpu::has_gigabyte_pages())?;
    for (range, cache) in direct_map(&regions) {
        let length = range.end - range.start;
        tables.map(HHDM + range.start, range.start, length, WRITE | no_execute, cache)?;
    }
    for (pages, Access { write, execute }) in plan.mappings() {
        let access = if write { WRITE } else { 0 } | if execute { 0 } else { no_execute };
        let physical = image_at + (pages.start - plan.pages.start);
        tables.map(pages.start, physical, pages.end - pages.start, access, Cache::WriteBack)?;
    }
    for code in [smp::entry_code(), faults::code()] {
        let (start, end) = (page_floor(code.start), page_ceil(code.end));
        tables.map(start, start, end - start, 0, Cache::WriteBack)?;
    }
    if let Some(page) = trampoline {
        tables.map(page, page, PAGE, WRITE, Cache::WriteBack)?;
    }
    Ok(tables.root())
}

/// Runs of mapped memory of one memory type, as long as they can be: fewer and larger pages.
fn direct_map(regions: &[Region]) -> Vec<(Range<u64>, Cache)> {
    let mut runs: Vec<(Range<u64>, Cache)> = Vec::new();
    for region in regions {
        let cache = match region.kind {
            Kind::Framebuffer => Cache::WriteCombining,
            _ => Cache::WriteBack,
        };
        match runs.last_mut() {
            Some((run, of)) if run.end == region.base && *of == cache => run.end = region.end,
            _ => runs.push((region.base..region.end, cache)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_map_joins_neighbours() {
        let memory = MemoryMap::from_firmware([
            (0x1000, 0x9e000, Kind::Usable),
            (0x10_0000, 0x10_0000, Kind::Usable),
            (0x20_0000, 0x1000, Kind::AcpiNvs),
            (0x20_1000, 0x1000, Kind::Framebuffer),
        ]);
        let runs = direct_map(memory.regions());
        assert_eq!(
            runs,
            [
                (0x1000..0x9f000, Cache::WriteBack),
                (0x10_0000..0x20_1000, Cache::WriteBack),
                (0x20_1000..0x20_2000, Cache::WriteCombining),
            ]
        );
    }
}
