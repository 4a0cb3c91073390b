//! Patches of an address space: how they come, and how they go.
//!
//! All of it runs in the space's own environment, with its layout locked and nobody outside the libOS.
use super::overlay::{Overlay, Site};
use super::{Memory, Outcome, SLOTS, changed, counts};
use crate::file::description::File;
use crate::memory::space::{Behind, Layout, flags_of, frame_of};
use crate::memory::vma::Access;
use crate::memory::{AddressSpace, FramePage, pool};
use crate::raw::{PROGRAM_START, frame_map, kernel, local, sites, window};
use alloc::sync::Arc;
use core::ops::Range;
use serix_patch::{Edit, PAGE_SIZE, Plan, SLOT_SIZE};
use serix_sys::abi::map::MapFlags;

/// What is patched is executed and read, never written.
const EXECUTABLE: MapFlags = MapFlags(0);
/// How far trampolines may be from a site: what four bytes reach, less the longest function.
const REACH: u64 = (1 << 31) - (1 << 20);
/// Lowest address that they may have, as that of `mmap`.
const LOWEST: u64 = PROGRAM_START + 0xF000;

/// Where the text of a site comes from.
pub(super) struct Text {
    pub(super) file: Arc<File>,
    /// Of the site in the file.
    pub(super) offset: u64,
    /// Of the layout when this was found out.
    pub(super) generation: u64,
}

impl AddressSpace {
    /// The text that a site is in, if it may be patched.
    pub(super) fn text_at(&self, site: u64) -> Result<Text, Outcome> {
        let layout = self.layout();
        if layout.overlay.as_ref().is_some_and(|overlay| overlay.has(site)) {
            return Err(Outcome::Patched);
        }
        let area = layout.areas.find(site).ok_or(Outcome::NotText)?;
        let is_text = area.access.contains(Access::EXECUTE | Access::READ)
            && !area.access.contains(Access::WRITE)
            && !area.shared;
        match area.backing_at(area.start).clone() {
            Behind::File(file, start) if is_text => Ok(Text {
                file,
                offset: start + (site - area.start),
                generation: layout.generation,
            }),
            _ => Err(Outcome::NotText),
        }
    }

    /// Does what a plan says, unless something changed since `generation`, or bytes that change are not as they were read.
    pub(super) fn patch(
        &self,
        plan: &Plan,
        read: &[&Memory],
        generation: u64,
    ) -> Result<(), Outcome> {
        let mut layout = self.layout();
        let page = plan.site & !(PAGE_SIZE - 1);
        let entry = window::entry(page);
        if layout.generation != generation || entry & MapFlags::PRESENT.0 == 0 {
            return Err(Outcome::Later);
        }
        let trampoline = layout.place_of_trampoline(plan.site).ok_or(Outcome::Later)?;
        let edits = plan.edits(trampoline).ok_or(Outcome::Later)?;
        let before = FramePage::of(frame_of(entry));
        let patched = copy(&before)?;
        is_as_read(&patched, page, plan, &edits, read).then_some(()).ok_or(Outcome::Later)?;
        let code = self.with_trampoline(&layout, plan, trampoline)?;
        for edit in &edits {
            frame_map::write(patched.frame(), (edit.address - page) as usize, &edit.bytes);
        }
        // The way first, then what leads there.
        self.swap(trampoline & !(PAGE_SIZE - 1), &code, EXECUTABLE)?;
        let flags = layout.areas.find(page).map_or(EXECUTABLE, |area| flags_of(area, false));
        let swapped = self.swap(page, &patched, flags);
        let overlay = Arc::make_mut(layout.overlay.get_or_insert_default());
        let site = Site::new(plan, trampoline);
        overlay.set_trampoline(code, site);
        match swapped {
            Ok(()) => overlay.set_page(page, patched, before, site),
            Err(_) => overlay.free(trampoline),
        }
        layout.generation += 1;
        self.tidy(&mut layout);
        swapped
    }

    /// The page of a trampoline, with it.
    fn with_trampoline(&self, layout: &Layout, plan: &Plan, at: u64) -> Result<FramePage, Outcome> {
        let page = at & !(PAGE_SIZE - 1);
        let word = page + (SLOTS * SLOT_SIZE) as u64 + SLOT_SIZE as u64 - 8;
        let bytes = plan.trampoline(at, word).ok_or(Outcome::Later)?;
        let present = layout.overlay.as_ref().and_then(|overlay| overlay.trampolines(page));
        let fresh = match present {
            Some(present) => copy(&present.frame)?,
            None => {
                let fresh = FramePage::zeroed().ok_or(Outcome::Later)?;
                frame_map::write(
                    fresh.frame(),
                    (word - page) as usize,
                    &sites::entry().to_le_bytes(),
                );
                fresh
            }
        };
        frame_map::write(fresh.frame(), (at - page) as usize, &bytes);
        Ok(fresh)
    }

    /// Maps a page in place of what is there.
    fn swap(&self, at: u64, page: &FramePage, flags: MapFlags) -> Result<(), Outcome> {
        let entry = window::entry(at);
        kernel::map_one(self.place().environment, at, page.frame(), flags)
            .map_err(|_| Outcome::Later)?;
        let _ = page.clone().into_mapping();
        if entry & MapFlags::PRESENT.0 != 0 {
            let held = frame_of(entry);
            pool().release(held);
        }
        Ok(())
    }

    /// Ends the patches of a range. With `restore` its pages become what they were, else the caller unmaps them.
    /// Trampolines in it go, and all that lead there are restored.
    #[inline]
    pub(crate) fn unpatch(&self, layout: &mut Layout, range: Range<u64>, restore: bool) {
        if layout.patched.start < range.end && range.start < layout.patched.end {
            self.unpatch_some(layout, range, restore);
        }
    }

    fn unpatch_some(&self, layout: &mut Layout, range: Range<u64>, restore: bool) {
        let Some(shared) = &mut layout.overlay else { return };
        let touches = shared.pages.range(range.clone()).next().is_some()
            || shared.trampolines_in(range.clone()).is_some();
        if !touches {
            return;
        }
        layout.generation += 1;
        let overlay = Arc::make_mut(shared);
        let inside: alloc::vec::Vec<u64> =
            overlay.pages.range(range.clone()).map(|(page, _)| *page).collect();
        for page in inside {
            self.unpatch_page(overlay, page, restore);
        }
        while let Some(trampolines) = overlay.trampolines_in(range.clone()) {
            for page in overlay.pages_that_use(trampolines) {
                self.unpatch_page(overlay, page, true);
            }
            overlay.trampolines.remove(&trampolines);
            self.unmap_trampolines(trampolines);
        }
        self.tidy(layout);
    }

    fn unpatch_page(&self, overlay: &mut Overlay, page: u64, restore: bool) {
        let Some(gone) = overlay.remove_page(page) else { return };
        if restore {
            counts::taken_back(gone.sites.len());
        }
        let entry = window::entry(page);
        if !restore || entry & MapFlags::PRESENT.0 == 0 {
            return;
        }
        let flags = MapFlags(entry & MapFlags::REQUEST.0);
        if self.swap(page, &gone.original, flags).is_err() {
            // No memory for a table that is there: it cannot be. The page would come by fault.
            kernel::unmap(self.place().environment, page, 1);
            let held = frame_of(entry);
            pool().release(held);
            self.count_resident(-1);
        }
    }

    fn unmap_trampolines(&self, page: u64) {
        let entry = window::entry(page);
        if entry & MapFlags::PRESENT.0 != 0 {
            kernel::unmap(self.place().environment, page, 1);
            let held = frame_of(entry);
            pool().release(held);
        }
    }

    /// Lets go of trampolines that nobody uses, and tells the dispatcher where something is patched.
    fn tidy(&self, layout: &mut Layout) {
        let Some(shared) = &mut layout.overlay else { return };
        let overlay = Arc::make_mut(shared);
        for page in overlay.take_unused() {
            self.unmap_trampolines(page);
        }
        let hull = overlay.hull();
        local::set_patched(self.place().page, &hull);
        layout.patched = overlay.extent();
        if hull.is_empty() {
            layout.overlay = None;
        }
    }

    /// Gives a copy of this space, made by `fork`, the same patches; its pages come by fault.
    pub(crate) fn share_patches(&self, layout: &Layout, child: &Self, copy: &mut Layout) {
        copy.overlay = layout.overlay.clone();
        copy.patched = layout.patched.clone();
        let hull = copy.overlay.as_ref().map_or(0..0, |overlay| overlay.hull());
        local::set_patched(child.place().page, &hull);
    }
}

impl Layout {
    /// Where a trampoline for a site can be: on a page that there is, or on one more below the text.
    fn place_of_trampoline(&self, site: u64) -> Option<u64> {
        let reaches = |page: u64| page.abs_diff(site) < REACH;
        if let Some(slot) = self.overlay.as_ref().and_then(|overlay| overlay.free_slot(reaches)) {
            return Some(slot);
        }
        let area = self.areas.find(site)?;
        let below = (LOWEST.max(site.saturating_sub(REACH)), area.start);
        let above = (area.end, site.saturating_add(REACH));
        [below, above].into_iter().find_map(|(bottom, top)| self.free_place(PAGE_SIZE, bottom, top))
    }
}

fn copy(page: &FramePage) -> Result<FramePage, Outcome> {
    crate::memory::check_watermark().map_err(|_| Outcome::Later)?;
    let copy = FramePage::allocate().ok_or(Outcome::Later)?;
    frame_map::copy(page.frame(), copy.frame());
    Ok(copy)
}

/// Whether what a plan was made of is what the page has.
fn is_as_read(page: &FramePage, at: u64, plan: &Plan, edits: &[Edit], read: &[&Memory]) -> bool {
    let site = changed(plan);
    let ranges = edits.iter().map(|edit| (edit.address, edit.bytes.len()));
    ranges.chain([(site.start, (site.end - site.start) as usize)]).all(|(address, length)| {
        let expected = read.iter().find_map(|memory| memory.part(address, length));
        let mut found = alloc::vec![0; length];
        frame_map::read(page.frame(), (address - at) as usize, &mut found);
        expected == Some(&found[..])
    })
}
