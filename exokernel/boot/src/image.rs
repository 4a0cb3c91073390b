//! The kernel's image: where its segments go in memory, and with which permissions.
//!
//! An image is one contiguous run of physical pages for one run of virtual pages in the top
//! 2 GiB. Invariant: [`Plan::load`] writes only to the slice it is given.

use alloc::vec::Vec;
use core::ops::Range;

use crate::elf::{Access, Elf};
use crate::error::Error;
use crate::memory::{PAGE, page_ceil, page_floor};

/// The lowest address a kernel may be linked for, and where position-independent ones go.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
const MAX_IMAGE: u64 = 512 << 20;
const MAX_ALIGN: u64 = 2 << 20;

/// How an executable is placed.
#[derive(Debug)]
pub struct Plan<'a> {
    elf: Elf<'a>,
    slide: u64,
    /// Virtual pages that the image takes.
    pub pages: Range<u64>,
    /// Physical alignment to give it.
    pub align: u64,
    /// Entry point, slide included.
    pub entry: u64,
}

impl<'a> Plan<'a> {
    /// Decides where `elf` goes.
    ///
    /// # Errors
    /// [`Error::Elf`] when it does not fit the kernel's part of the address space, or its entry
    /// point is not in an executable segment.
    pub fn new(elf: Elf<'a>) -> Result<Plan<'a>, Error> {
        let lowest = elf.segments.iter().map(|s| s.memory.start).min().unwrap_or(0);
        let highest = elf.segments.iter().map(|s| s.memory.end).max().unwrap_or(0);
        let (start, end) = (page_floor(lowest), page_ceil(highest));
        if end < highest || end - start > MAX_IMAGE {
            return Err(Error::Elf("the image is larger than 512 MiB"));
        }
        let slide = match start {
            KERNEL_BASE.. => 0,
            _ if elf.relocatable => KERNEL_BASE.wrapping_sub(start),
            _ => return Err(Error::Elf("linked below 0xffffffff80000000")),
        };
        let at = |address: u64| address.wrapping_add(slide);
        if at(start).checked_add(end - start).is_none() {
            return Err(Error::Elf("the image ends past the address space"));
        }
        let holds_entry =
            |s: &crate::elf::Segment| s.access.execute && s.memory.contains(&elf.entry);
        if !elf.segments.iter().any(holds_entry) {
            return Err(Error::Elf("the entry point is in no executable segment"));
        }
        let align = elf.segments.iter().map(|s| s.align).filter(|a| a.is_power_of_two()).max();
        let align = align.unwrap_or(PAGE).clamp(PAGE, MAX_ALIGN);
        Ok(Plan { entry: at(elf.entry), pages: at(start)..at(end), align, slide, elf })
    }

    /// Bytes of memory that the image takes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pages.end - self.pages.start
    }

    /// Fills `memory` (of [`Plan::size`] bytes) with segments, zeroes and relocated words.
    ///
    /// # Errors
    /// [`Error::Elf`] when a relocation points outside the image.
    pub fn load(&self, memory: &mut [u8]) -> Result<(), Error> {
        memory.fill(0);
        let base = self.pages.start.wrapping_sub(self.slide);
        for segment in &self.elf.segments {
            let offset = (segment.memory.start - base) as usize;
            let bytes = &self.elf.bytes()[segment.file.clone()];
            memory[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        if self.elf.relocatable {
            self.relocate(memory, base)?;
        }
        Ok(())
    }

    fn relocate(&self, memory: &mut [u8], base: u64) -> Result<(), Error> {
        for relocation in self.elf.relocations()? {
            let offset = usize::try_from(relocation.address.wrapping_sub(base)).ok();
            let end = offset.and_then(|offset| offset.checked_add(8));
            let place = offset.zip(end).and_then(|(start, end)| memory.get_mut(start..end));
            let place = place.ok_or(Error::Elf("a relocation points outside the image"))?;
            place.copy_from_slice(&self.slide.wrapping_add(relocation.addend).to_le_bytes());
        }
        Ok(())
    }

    /// Runs of pages `(virtual pages, access)`: a page that several segments share gets what any
    /// of them needs, a page of none is left out.
    #[must_use]
    pub fn mappings(&self) -> Vec<(Range<u64>, Access)> {
        let mut runs: Vec<(Range<u64>, Access)> = Vec::new();
        for page in (self.pages.start..self.pages.end).step_by(PAGE as usize) {
            let Some(access) = self.page_access(page) else { continue };
            match runs.last_mut() {
                Some((run, of)) if run.end == page && *of == access => run.end += PAGE,
                _ => runs.push((page..page + PAGE, access)),
            }
        }
        runs
    }

    fn page_access(&self, page: u64) -> Option<Access> {
        let linked = page.wrapping_sub(self.slide);
        let on_page = self.elf.segments.iter().filter(|segment| {
            page_floor(segment.memory.start) <= linked && linked < page_ceil(segment.memory.end)
        });
        on_page
            .map(|segment| segment.access)
            .reduce(|a, b| Access { write: a.write || b.write, execute: a.execute || b.execute })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::tests::{DYNAMIC, build};

    const RX: Access = Access { write: false, execute: true };
    const RW: Access = Access { write: true, execute: false };

    fn plan(file: &[u8]) -> Result<Plan<'_>, Error> {
        Elf::parse(file).and_then(Plan::new)
    }

    #[test]
    fn static_image_is_laid_out_as_linked() {
        let base = KERNEL_BASE + 0x10_0000;
        let segments: [(u64, u32, &[u8], u64); 3] = [
            (base, 5, b"code", 0),
            (base + 0x1ff8, 6, b"datadata", 8),
            (base + 0x4000, 4, b"r", 0),
        ];
        let file = build(2, base + 2, &segments);
        let plan = plan(&file).unwrap();
        assert_eq!((plan.entry, plan.pages.clone()), (base + 2, base..base + 0x5000));
        let mut memory = vec![0xee; plan.size() as usize];
        plan.load(&mut memory).unwrap();
        assert_eq!(&memory[..5], b"code\0");
        assert_eq!(&memory[0x1ff8..0x2008], b"datadata\0\0\0\0\0\0\0\0");
        let read = Access::default();
        assert_eq!(
            plan.mappings(),
            [
                (base..base + 0x1000, RX),
                (base + 0x1000..base + 0x3000, RW),
                (base + 0x4000..base + 0x5000, read),
            ]
        );
    }

    #[test]
    fn position_independent_image_is_moved_and_relocated() {
        let mut rela = Vec::new();
        for word in [0x2000u64, 8, 0x1010] {
            rela.extend_from_slice(&word.to_le_bytes());
        }
        let mut dynamic = Vec::new();
        for word in [7u64, 0x1100, 8, 24] {
            dynamic.extend_from_slice(&word.to_le_bytes());
        }
        let segments: [(u64, u32, &[u8], u64); 4] = [
            (0x1000, 5, b"code", 0),
            (0x1100, 4, &rela, 0),
            (0x2000, 6, b"", 8),
            (0, DYNAMIC, &dynamic, 0),
        ];
        let file = build(3, 0x1001, &segments);
        let plan = plan(&file).unwrap();
        assert_eq!((plan.entry, plan.pages.start), (KERNEL_BASE + 1, KERNEL_BASE));
        let mut memory = vec![0; plan.size() as usize];
        plan.load(&mut memory).unwrap();
        assert_eq!(memory[0x1000..0x1008], (KERNEL_BASE + 0x10).to_le_bytes());
        assert_eq!(plan.mappings().len(), 2);
    }

    #[test]
    fn shared_pages_get_the_union() {
        let file =
            build(2, KERNEL_BASE, &[(KERNEL_BASE, 5, b"x", 0), (KERNEL_BASE + 8, 6, b"w", 0)]);
        let both = Access { write: true, execute: true };
        let pages = KERNEL_BASE..KERNEL_BASE + PAGE;
        assert_eq!(plan(&file).unwrap().mappings(), [(pages, both)]);
    }

    #[test]
    fn impossible_images_are_refused() {
        let refused = |file: Vec<u8>| match plan(&file) {
            Err(Error::Elf(why)) => why,
            other => panic!("{other:?}"),
        };
        let low = build(2, 0x10_0000, &[(0x10_0000, 5, b"x", 0)]);
        assert_eq!(refused(low), "linked below 0xffffffff80000000");
        let entry = build(2, KERNEL_BASE, &[(KERNEL_BASE, 6, b"x", 0)]);
        assert_eq!(refused(entry), "the entry point is in no executable segment");
        let huge = build(2, KERNEL_BASE, &[(KERNEL_BASE, 5, b"x", 600 << 20)]);
        assert_eq!(refused(huge), "the image is larger than 512 MiB");
        let last = u64::MAX - 0xfff;
        assert!(plan(&build(2, last, &[(last, 5, b"x", 0xffe)])).is_err());
    }

    #[test]
    fn relocation_outside_the_image_is_refused() {
        let mut rela = Vec::new();
        for word in [0x9_0000u64, 8, 0] {
            rela.extend_from_slice(&word.to_le_bytes());
        }
        let mut dynamic = Vec::new();
        for word in [7u64, 0x1000, 8, 24] {
            dynamic.extend_from_slice(&word.to_le_bytes());
        }
        let file = build(3, 0x1000, &[(0x1000, 5, &rela, 0), (0, DYNAMIC, &dynamic, 0)]);
        let plan = plan(&file).unwrap();
        let mut memory = vec![0; plan.size() as usize];
        let refused = Err(Error::Elf("a relocation points outside the image"));
        assert_eq!(plan.load(&mut memory), refused);
    }
}
