//! Four-level page tables, built before they are used.
//!
//! The builder reaches tables through [`TableMemory`], so that tests run it on ordinary memory.
//! Invariant: large pages are used only where address, target and length allow; a page that is
//! already mapped differently is an error, never silently changed.

use crate::error::Error;

/// Entry is present.
pub const PRESENT: u64 = 1;
/// Writable.
pub const WRITE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const PWT: u64 = 1 << 3;
const PAT_SMALL: u64 = 1 << 7;
const PAT_LARGE: u64 = 1 << 12;
/// Not executable.
pub const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const SIZES: [u64; 3] = [1 << 12, 1 << 21, 1 << 30];

/// Memory type of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Write-back, PAT entry 0.
    WriteBack,
    /// Write-combining, PAT entry 5 as the boot protocol sets it.
    WriteCombining,
}

/// Where page tables live.
pub trait TableMemory {
    /// Gives the physical address of a new, zeroed table.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn new_table(&mut self) -> Result<u64, Error>;
    /// The table at a physical address that [`TableMemory::new_table`] gave.
    fn table(&mut self, physical: u64) -> &mut [u64; 512];
}

/// An address space under construction.
#[derive(Debug)]
pub struct Tables<M> {
    /// Where its tables live.
    pub memory: M,
    root: u64,
    gigabyte_pages: bool,
}

impl<M: TableMemory> Tables<M> {
    /// An empty address space; `gigabyte_pages` as CPUID 8000_0001H EDX bit 26 says.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(mut memory: M, gigabyte_pages: bool) -> Result<Self, Error> {
        let root = memory.new_table()?;
        Ok(Tables { memory, root, gigabyte_pages })
    }

    /// Physical address of the top-level table.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Maps `length` bytes at `address` to `physical`; all three are page aligned. `access` is made
    /// of [`WRITE`] and [`NO_EXECUTE`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or [`Error::Firmware`] when a page has another mapping already.
    pub fn map(
        &mut self,
        address: u64,
        physical: u64,
        length: u64,
        access: u64,
        cache: Cache,
    ) -> Result<(), Error> {
        let mut done = 0;
        while done < length {
            let (at, to) = (address + done, physical + done);
            let level = self.page_level(at | to, length - done);
            self.map_page(at, level, to | access | PRESENT | leaf_bits(level, cache))?;
            done += SIZES[level];
        }
        Ok(())
    }

    fn page_level(&self, alignment: u64, left: u64) -> usize {
        let largest = if self.gigabyte_pages { 2 } else { 1 };
        let fits = |level: &usize| alignment.is_multiple_of(SIZES[*level]) && left >= SIZES[*level];
        (1..=largest).rev().find(fits).unwrap_or(0)
    }

    fn map_page(&mut self, address: u64, level: usize, entry: u64) -> Result<(), Error> {
        let mut table = self.root;
        for upper in (level + 1..4).rev() {
            let slot = self.memory.table(table)[index(address, upper)];
            if slot & PRESENT == 0 {
                let next = self.memory.new_table()?;
                self.memory.table(table)[index(address, upper)] = next | PRESENT | WRITE;
                table = next;
            } else if upper < 3 && slot & LARGE != 0 {
                return Err(CONFLICT);
            } else {
                table = slot & ADDRESS;
            }
        }
        let slot = &mut self.memory.table(table)[index(address, level)];
        if *slot != 0 && *slot != entry {
            return Err(CONFLICT);
        }
        *slot = entry;
        Ok(())
    }
}

const CONFLICT: Error = Error::Firmware("memory regions that overlap");

fn index(address: u64, level: usize) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

fn leaf_bits(level: usize, cache: Cache) -> u64 {
    let large = if level > 0 { LARGE } else { 0 };
    match cache {
        Cache::WriteBack => large,
        Cache::WriteCombining if level > 0 => large | PWT | PAT_LARGE,
        Cache::WriteCombining => PWT | PAT_SMALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake(Vec<Box<[u64; 512]>>);

    impl TableMemory for Fake {
        fn new_table(&mut self) -> Result<u64, Error> {
            self.0.push(Box::new([0; 512]));
            Ok(self.0.len() as u64 * 4096)
        }
        fn table(&mut self, physical: u64) -> &mut [u64; 512] {
            &mut self.0[(physical / 4096 - 1) as usize]
        }
    }

    fn tables(gigabyte_pages: bool) -> Tables<Fake> {
        Tables::new(Fake::default(), gigabyte_pages).unwrap()
    }

    /// What the CPU would find: physical address and the entry that maps it.
    fn walk(tables: &mut Tables<Fake>, address: u64) -> Option<(u64, u64)> {
        let mut table = tables.root();
        for level in (0..4).rev() {
            let entry = tables.memory.table(table)[index(address, level)];
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 0 || (level < 3 && entry & LARGE != 0) {
                let size = SIZES[level];
                return Some(((entry & ADDRESS & !(size - 1)) + address % size, entry));
            }
            table = entry & ADDRESS;
        }
        None
    }

    const HHDM: u64 = 0xffff_8000_0000_0000;

    #[test]
    fn every_page_of_a_range_is_mapped_and_no_other() {
        for gigabyte_pages in [false, true] {
            let mut t = tables(gigabyte_pages);
            let (base, length) = (0x1f_f000, 0x8020_2000);
            t.map(HHDM + base, base, length, WRITE | NO_EXECUTE, Cache::WriteBack).unwrap();
            for offset in [0, 0x1000, 0x20_1000, 0x4000_0000, length - 4096, length - 1] {
                let (physical, entry) = walk(&mut t, HHDM + base + offset).unwrap();
                assert_eq!(physical, base + offset);
                assert_eq!(entry & (WRITE | NO_EXECUTE), WRITE | NO_EXECUTE);
            }
            assert_eq!(walk(&mut t, HHDM + base - 1), None);
            assert_eq!(walk(&mut t, HHDM + base + length), None);
            assert!(t.memory.0.len() < 10, "large pages are used");
        }
    }

    #[test]
    fn permissions_are_kept_apart() {
        let mut t = tables(true);
        let base = 0xffff_ffff_8000_0000;
        t.map(base, 0x5000, 0x1000, 0, Cache::WriteBack).unwrap();
        t.map(base + 0x1000, 0x6000, 0x1000, WRITE | NO_EXECUTE, Cache::WriteBack).unwrap();
        assert_eq!(walk(&mut t, base).unwrap().1, 0x5000 | PRESENT);
        assert_eq!(walk(&mut t, base + 0x1000).unwrap().1, 0x6000 | PRESENT | WRITE | NO_EXECUTE);
    }

    #[test]
    fn write_combining_selects_pat_entry_5() {
        let mut t = tables(false);
        t.map(HHDM, 0x20_0000, 0x20_1000, WRITE, Cache::WriteCombining).unwrap();
        assert_eq!(walk(&mut t, HHDM).unwrap().1 & (PWT | PAT_LARGE), PWT | PAT_LARGE);
        assert_eq!(walk(&mut t, HHDM + 0x20_0000).unwrap().1 & (PWT | PAT_SMALL), PWT | PAT_SMALL);
    }

    #[test]
    fn same_mapping_twice_is_one_mapping_another_is_refused() {
        let mut t = tables(false);
        t.map(0x8000, 0x8000, 0x1000, WRITE, Cache::WriteBack).unwrap();
        t.map(0x8000, 0x8000, 0x1000, WRITE, Cache::WriteBack).unwrap();
        assert!(t.map(0x8000, 0x9000, 0x1000, WRITE, Cache::WriteBack).is_err());
        t.map(0x20_0000, 0, 0x20_0000, WRITE, Cache::WriteBack).unwrap();
        assert!(t.map(0x20_1000, 0x1000, 0x1000, WRITE, Cache::WriteBack).is_err());
    }
}
