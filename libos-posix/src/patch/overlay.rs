//! What is patched of an address space: pages in place of others, and pages of trampolines.
//!
//! Address spaces of a fork share it until one of them changes it. Frames in it are never written to after they are
//! mapped: a change makes a new one.
use super::SLOTS;
use crate::memory::FramePage;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use serix_patch::{PAGE_SIZE, Plan, Rule, SLOT_SIZE};

/// A patched site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    /// Address of the `syscall` instruction.
    pub(super) address: u64,
    /// Bytes before it that its trampoline does.
    pub(super) displaced: u64,
    /// Where the jump to the trampoline stands in padding.
    pub(super) stub: Option<u64>,
    /// Address of its trampoline.
    pub(super) trampoline: u64,
}

impl Site {
    pub(super) fn new(plan: &Plan, trampoline: u64) -> Self {
        let stub = match plan.rule {
            Rule::Before => None,
            Rule::Padding(stub) => Some(stub),
        };
        Self { address: plan.site, displaced: plan.site - plan.start(), stub, trampoline }
    }
}

/// A page that stands in place of another.
#[derive(Clone, Debug)]
pub(crate) struct PatchedPage {
    /// What is executed.
    pub(crate) patched: FramePage,
    /// What was there.
    pub(super) original: FramePage,
    pub(super) sites: Vec<Site>,
}

/// A page of trampolines.
#[derive(Clone, Debug)]
pub(crate) struct TrampolinePage {
    /// Its memory.
    pub(crate) frame: FramePage,
    pub(super) slots: Vec<Option<Site>>,
}

/// The whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    pub(super) pages: BTreeMap<u64, PatchedPage>,
    pub(super) trampolines: BTreeMap<u64, TrampolinePage>,
}

const fn page_of(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

impl Overlay {
    /// What stands in place of a page.
    pub(crate) fn page(&self, page: u64) -> Option<&PatchedPage> {
        self.pages.get(&page)
    }

    /// The trampolines at a page.
    pub(crate) fn trampolines(&self, page: u64) -> Option<&TrampolinePage> {
        self.trampolines.get(&page)
    }

    /// The lowest page of trampolines in a range.
    pub(crate) fn trampolines_in(&self, range: Range<u64>) -> Option<u64> {
        self.trampolines.range(range).next().map(|(page, _)| *page)
    }

    /// From the first page that is ours to the last.
    pub(super) fn extent(&self) -> Range<u64> {
        let first = self.pages.keys().next().into_iter().chain(self.trampolines.keys().next());
        let last =
            self.pages.keys().next_back().into_iter().chain(self.trampolines.keys().next_back());
        match (first.min(), last.max()) {
            (Some(first), Some(last)) => *first..*last + PAGE_SIZE,
            _ => 0..0,
        }
    }

    /// From the first page with a stub or trampolines to the last. A page that has neither holds nothing but jumps in place of the
    /// program's own instructions, where an interrupted thread is where it seems to be.
    pub(super) fn hull(&self) -> Range<u64> {
        let has_stub = |page: &&u64| {
            self.pages
                .get(page)
                .is_some_and(|page| page.sites.iter().any(|site| site.stub.is_some()))
        };
        let mut stubs = self.pages.keys().filter(has_stub);
        let (first, last) = (stubs.next(), stubs.next_back());
        let last = last.or(first);
        let first = first.into_iter().chain(self.trampolines.keys().next());
        let last = last.into_iter().chain(self.trampolines.keys().next_back());
        match (first.min(), last.max()) {
            (Some(first), Some(last)) => *first..*last + PAGE_SIZE,
            _ => 0..0,
        }
    }

    /// Whether a site is patched.
    pub(super) fn has(&self, site: u64) -> bool {
        self.page(page_of(site))
            .is_some_and(|page| page.sites.iter().any(|known| known.address == site))
    }

    /// The site whose stub or trampoline an instruction belongs to, and how far into the trampoline it is.
    pub(super) fn way_at(&self, rip: u64) -> Option<(Site, Option<u64>)> {
        let page = page_of(rip);
        if let Some(found) = self.trampolines(page) {
            let offset = rip - page;
            let site = found.slots.get(offset as usize / SLOT_SIZE).copied().flatten()?;
            return Some((site, Some(offset % SLOT_SIZE as u64)));
        }
        let sites = &self.page(page)?.sites;
        sites.iter().find(|site| site.stub == Some(rip)).map(|site| (*site, None))
    }

    /// A trampoline that nobody uses, on a page that `reaches` accepts.
    pub(super) fn free_slot(&self, reaches: impl Fn(u64) -> bool) -> Option<u64> {
        self.trampolines.iter().filter(|(page, _)| reaches(**page)).find_map(|(page, found)| {
            let index = found.slots.iter().position(Option::is_none)?;
            Some(page + (index * SLOT_SIZE) as u64)
        })
    }

    /// Sites that lead to a page of trampolines.
    pub(super) fn pages_that_use(&self, trampolines: u64) -> Vec<u64> {
        let leads = |site: &Site| page_of(site.trampoline) == trampolines;
        let pages = self.pages.iter().filter(|(_, page)| page.sites.iter().any(leads));
        pages.map(|(address, _)| *address).collect()
    }

    /// Takes a page out and frees its trampolines.
    pub(super) fn remove_page(&mut self, page: u64) -> Option<PatchedPage> {
        let found = self.pages.remove(&page)?;
        found.sites.iter().for_each(|site| self.free(site.trampoline));
        Some(found)
    }

    /// Lets go of a trampoline.
    pub(super) fn free(&mut self, trampoline: u64) {
        if let Some(page) = self.trampolines.get_mut(&page_of(trampoline)) {
            page.slots[(trampoline % PAGE_SIZE) as usize / SLOT_SIZE] = None;
        }
    }

    /// Takes out the pages of trampolines that nobody uses.
    pub(super) fn take_unused(&mut self) -> Vec<u64> {
        let is_unused = |page: &TrampolinePage| page.slots.iter().all(Option::is_none);
        let unused = self.trampolines.iter().filter(|(_, page)| is_unused(page));
        let unused: Vec<u64> = unused.map(|(address, _)| *address).collect();
        unused.iter().for_each(|page| drop(self.trampolines.remove(page)));
        unused
    }

    /// Enters a page of trampolines in its new version.
    pub(super) fn set_trampoline(&mut self, frame: FramePage, site: Site) {
        let page = page_of(site.trampoline);
        let entry = self
            .trampolines
            .entry(page)
            .or_insert_with(|| TrampolinePage { frame: frame.clone(), slots: vec![None; SLOTS] });
        entry.frame = frame;
        entry.slots[(site.trampoline % PAGE_SIZE) as usize / SLOT_SIZE] = Some(site);
    }

    /// Enters a patched page in its new version; `before` is what it replaces.
    pub(super) fn set_page(
        &mut self,
        page: u64,
        patched: FramePage,
        before: FramePage,
        site: Site,
    ) {
        let entry = self.pages.entry(page).or_insert_with(|| PatchedPage {
            patched: patched.clone(),
            original: before,
            sites: Vec::new(),
        });
        entry.patched = patched;
        entry.sites.push(site);
    }
}
