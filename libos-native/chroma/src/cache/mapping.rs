//! The cached pages of one file.
//!
//! Owns the pages, their dirty marks, the file's size while it is in use and the ranges being read.
//! The only lock is a spin lock around single steps; data is copied through clones of the pages,
//! which pin them. Invariant: a page is here at most once, and the keeper counts each.
use super::keeper::Keeper;
use super::leaves::{LEAF_PAGES, Leaves, place};
use crate::sync::Lock;
use crate::{PageSource, VfsResult};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::task::Waker;
use serix_block::{PAGE_SIZE, Page};

const UNMODIFIED: i64 = i64::MIN;

/// A range of pages that is being read from the file system.
struct Load {
    ticket: u64,
    range: Range<u64>,
    /// What is being read is out of date by now.
    is_stale: bool,
}

struct Contents<P> {
    leaves: Leaves<P>,
    loads: Vec<Load>,
    next_ticket: u64,
    waiters: Vec<Waker>,
    page_count: u64,
    dirty_count: u64,
    /// No leaf below this one has dirty pages.
    dirty_from: u64,
}

/// What a reader finds at an index.
pub(crate) enum Found {
    /// The page.
    Here,
    /// Nothing; of the pages asked for, these are to be loaded by the caller, under this ticket.
    Load(u64, Range<u64>),
    /// Somebody loads it; the waker was kept.
    Wait,
}

/// The cached pages of one file.
pub struct Mapping<P: Page> {
    size: AtomicU64,
    modified_ns: AtomicI64,
    keeper: Keeper<P>,
    contents: Lock<Contents<P>>,
}

impl<P: Page> Mapping<P> {
    /// No pages yet, for a file of `size` bytes.
    pub(crate) fn new(keeper: Keeper<P>, size: u64) -> Self {
        Self {
            size: AtomicU64::new(size),
            modified_ns: AtomicI64::new(UNMODIFIED),
            keeper,
            contents: Lock::new(Contents {
                leaves: Leaves::new(),
                loads: Vec::new(),
                next_ticket: 0,
                waiters: Vec::new(),
                page_count: 0,
                dirty_count: 0,
                dirty_from: u64::MAX,
            }),
        }
    }

    /// Pages that are the only copy of a file's data, counted against `quota`.
    #[must_use]
    pub fn resident(quota: Arc<super::Quota>) -> Arc<Self> {
        Arc::new(Self::new(Keeper::Quota(quota), 0))
    }

    /// Whether these pages are the only copy.
    pub fn is_resident(&self) -> bool {
        matches!(self.keeper, Keeper::Quota(_))
    }

    /// Length of the file in bytes, writes in the cache included.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    pub(crate) fn grow(&self, size: u64) {
        self.size.fetch_max(size, Ordering::AcqRel);
    }

    /// When the cache took data that the file system's own times do not tell of yet.
    pub fn modified_ns(&self) -> Option<i64> {
        let ns = self.modified_ns.load(Ordering::Relaxed);
        (ns != UNMODIFIED).then_some(ns)
    }

    pub(crate) fn touch(&self, now_ns: i64) {
        self.modified_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Forgets the time of the last write, unless there was another since `seen_ns`.
    pub(crate) fn settle_modified(&self, seen_ns: i64) {
        let _ = self.modified_ns.compare_exchange(
            seen_ns,
            UNMODIFIED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Forgets it because the file system set its own time since.
    pub(crate) fn forget_time(&self) {
        self.modified_ns.store(UNMODIFIED, Ordering::Relaxed);
    }

    /// Number of pages held.
    pub fn page_count(&self) -> u64 {
        self.contents.lock().page_count
    }

    /// Number of pages that the file system does not have yet.
    pub fn dirty_count(&self) -> u64 {
        self.contents.lock().dirty_count
    }

    /// The page, if it is here.
    pub(crate) fn cached(&self, index: u64) -> Option<P> {
        let mut contents = self.contents.lock();
        let (number, slot) = place(index);
        let leaf = contents.leaves.leaf_mut(number)?;
        let page = leaf.pages[slot].clone()?;
        leaf.referenced |= 1 << slot;
        Some(page)
    }

    /// The page, if it is here and not behind the end of the file.
    pub(crate) fn cached_within(&self, index: u64) -> Option<P> {
        let is_within = index < self.size().div_ceil(PAGE_SIZE as u64);
        is_within.then(|| self.cached(index)).flatten()
    }

    /// The page, if it is here and dirty: then its space is reserved.
    pub(crate) fn cached_dirty(&self, index: u64) -> Option<P> {
        let contents = self.contents.lock();
        let (number, slot) = place(index);
        let leaf = contents.leaves.leaf(number)?;
        let is_writable = self.is_resident() || leaf.dirty & 1 << slot != 0;
        leaf.pages[slot].clone().filter(|_| is_writable)
    }

    /// The page at `index`, or the start of a load of those of `wanted`, which begins at `index`,
    /// that come before the first one that is here or being loaded.
    pub(crate) fn find_or_load(&self, wanted: Range<u64>, waker: &Waker) -> Found {
        let mut contents = self.contents.lock();
        let index = wanted.start;
        if contents.leaves.page(index).is_some() {
            return Found::Here;
        }
        if contents.loads.iter().any(|load| load.range.contains(&index)) {
            contents.waiters.push(waker.clone());
            return Found::Wait;
        }
        let next_load = contents.loads.iter().map(|load| load.range.start);
        let limit = next_load.filter(|start| *start > index).min();
        let end = wanted.end.min(limit.unwrap_or(u64::MAX));
        let here = (index + 1..end).find(|at| contents.leaves.page(*at).is_some());
        let range = index..here.unwrap_or(end);
        contents.next_ticket += 1;
        let ticket = contents.next_ticket;
        contents.loads.push(Load { ticket, range: range.clone(), is_stale: false });
        Found::Load(ticket, range)
    }

    /// Ends a load; with pages if it succeeded. Pages that came to be here meanwhile win.
    pub(crate) fn end_load(self: &Arc<Self>, ticket: u64, pages: Option<&[P]>) {
        let (waiters, mut fresh) = {
            let mut contents = self.contents.lock();
            let position = contents.loads.iter().position(|load| load.ticket == ticket);
            let load = position.map(|at| contents.loads.swap_remove(at));
            let mut fresh = Vec::new();
            if let (Some(load), Some(pages)) = (load, pages)
                && !load.is_stale
            {
                for (index, page) in load.range.zip(pages) {
                    let _ = self.insert_locked(&mut contents, index, page.clone(), &mut fresh);
                }
            }
            (core::mem::take(&mut contents.waiters), fresh)
        };
        self.keeper.keep(self, &mut fresh);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Puts a page where none is; answers the one that is there afterwards.
    pub(crate) fn insert(self: &Arc<Self>, index: u64, page: P) -> VfsResult<P> {
        let mut fresh = Vec::new();
        let inserted = {
            let mut contents = self.contents.lock();
            contents.make_loads_stale(index..index + 1);
            self.insert_locked(&mut contents, index, page, &mut fresh)
        };
        self.keeper.keep(self, &mut fresh);
        inserted
    }

    fn insert_locked(
        &self,
        contents: &mut Contents<P>,
        index: u64,
        page: P,
        fresh: &mut Vec<(u64, u32)>,
    ) -> VfsResult<P> {
        if let Some(present) = contents.leaves.page(index) {
            return Ok(present.clone());
        }
        self.keeper.charge()?;
        let (number, slot) = place(index);
        let (leaf, is_new) = contents.leaves.leaf_or_new(number);
        leaf.pages[slot] = Some(page.clone());
        leaf.referenced |= 1 << slot;
        if is_new {
            fresh.push((number, leaf.stamp));
        }
        contents.page_count += 1;
        Ok(page)
    }

    /// Marks a page that was written; answers whether it is the first dirty one of the file.
    /// `by_mapping` says that a program may go on writing it through a mapping.
    pub(crate) fn mark_dirty(&self, index: u64, by_mapping: bool) -> bool {
        if self.is_resident() {
            return false;
        }
        let mut contents = self.contents.lock();
        let (number, slot) = place(index);
        let Some(leaf) = contents.leaves.leaf_mut(number) else {
            return false;
        };
        let bit = 1 << slot;
        if leaf.pages[slot].is_none() {
            return false;
        }
        leaf.referenced |= bit;
        if by_mapping {
            leaf.mapped |= bit;
        }
        if leaf.dirty & bit != 0 {
            return false;
        }
        leaf.dirty |= bit;
        contents.dirty_from = contents.dirty_from.min(number);
        contents.dirty_count += 1;
        self.keeper.count_dirty(1);
        contents.dirty_count == 1
    }

    /// Takes the dirty marks of a run of up to `limit` pages from the first dirty one in `range` on.
    pub(crate) fn take_dirty_run(&self, range: &Range<u64>, limit: usize) -> Option<(u64, Vec<P>)> {
        let mut contents = self.contents.lock();
        // Else the rest of the file would be searched after its only dirty page.
        if contents.dirty_count == 0 {
            return None;
        }
        let first = contents.first_dirty(range)?;
        let mut pages = Vec::new();
        let mut index = first;
        while pages.len() < limit && index < range.end {
            let (number, slot) = place(index);
            let Some(leaf) = contents.leaves.leaf_mut(number) else {
                break;
            };
            if leaf.dirty & 1 << slot == 0 {
                break;
            }
            leaf.dirty &= !(1 << slot);
            pages.extend(leaf.pages[slot].clone());
            index += 1;
        }
        contents.dirty_count -= pages.len() as u64;
        self.keeper.count_dirty(-(pages.len() as i64));
        Some((first, pages))
    }

    /// After write-back of a run: pages that a program still has mapped for writing may have
    /// changed again unseen, so they stay dirty.
    pub(crate) fn settle_run(&self, first: u64, pages: &[P], source: &dyn PageSource<P>) -> bool {
        let mut is_first = false;
        for (index, page) in (first..).zip(pages) {
            let is_mapped = {
                let mut contents = self.contents.lock();
                let (number, slot) = place(index);
                contents.leaves.leaf_mut(number).is_some_and(|leaf| {
                    // The cache and this run hold the page; beyond them it is mapped.
                    let was = leaf.mapped & 1 << slot != 0;
                    leaf.mapped &= !(1 << slot);
                    was
                })
            };
            if is_mapped && source.holders(page) > 2 {
                is_first |= self.mark_dirty(index, true);
            }
        }
        is_first
    }

    /// Forgets all pages of `range`, dirty or not, and makes loads of them stale.
    pub(crate) fn forget(&self, range: Range<u64>) {
        let mut contents = self.contents.lock();
        contents.make_loads_stale(range.clone());
        let mut from = range.start / LEAF_PAGES;
        while let Some(number) = contents.leaves.find(from, |_| true) {
            if number.saturating_mul(LEAF_PAGES) >= range.end {
                break;
            }
            self.forget_in_leaf(&mut contents, number, &range);
            from = number + 1;
        }
    }

    fn forget_in_leaf(&self, contents: &mut Contents<P>, number: u64, range: &Range<u64>) {
        let Some(leaf) = contents.leaves.leaf_mut(number) else {
            return;
        };
        let first = number * LEAF_PAGES;
        let (mut gone, mut gone_dirty) = (0, 0);
        for slot in 0..LEAF_PAGES {
            if range.contains(&(first + slot))
                && let Some((_, was_dirty)) = leaf.take(slot as usize)
            {
                gone += 1;
                gone_dirty += u64::from(was_dirty);
            }
        }
        contents.page_count -= gone;
        contents.dirty_count -= gone_dirty;
        contents.leaves.trim(number);
        self.keeper.refund(gone);
        self.keeper.count_dirty(-(gone_dirty as i64));
    }

    /// Forgets all pages behind `size`, and what is being read of the one that holds the end.
    pub(crate) fn forget_behind(&self, size: u64) {
        let page_bytes = PAGE_SIZE as u64;
        self.contents.lock().make_loads_stale(size / page_bytes..u64::MAX);
        self.forget(size.div_ceil(page_bytes)..u64::MAX);
        self.zero_tail(size);
    }

    /// The first page from `index` on that is here.
    pub(crate) fn next_present(&self, index: u64) -> Option<u64> {
        let contents = self.contents.lock();
        let mut from = index / LEAF_PAGES;
        loop {
            let number = contents.leaves.find(from, |leaf| !leaf.is_empty())?;
            let pages = &contents.leaves.leaf(number)?.pages;
            let first = number * LEAF_PAGES;
            let mut slots = (0..LEAF_PAGES).filter(|slot| pages[*slot as usize].is_some());
            match slots.find(|slot| first + slot >= index) {
                Some(slot) => return Some(first + slot),
                None => from = number + 1,
            }
        }
    }

    /// The first page from `index` on that is not here.
    pub(crate) fn next_absent(&self, index: u64) -> u64 {
        let contents = self.contents.lock();
        let mut index = index;
        while contents.leaves.page(index).is_some() {
            index += 1;
        }
        index
    }

    /// Zeroes what the cache has of the page that holds byte `size`, from there on.
    pub(crate) fn zero_tail(&self, size: u64) {
        let offset = (size % PAGE_SIZE as u64) as usize;
        if offset > 0
            && let Some(page) = self.cached(size / PAGE_SIZE as u64)
        {
            page.zero(offset, PAGE_SIZE - offset);
        }
    }

    pub(super) fn has_leaf(&self, number: u64, stamp: u32) -> bool {
        let contents = self.contents.lock();
        let leaf = contents.leaves.leaf(number);
        leaf.is_some_and(|leaf| leaf.stamp == stamp)
    }

    /// Evicts clean pages of a leaf that were not used since the last visit and that nobody shares.
    /// Answers how many, and whether the leaf is still there.
    pub(super) fn evict(&self, number: u64, stamp: u32, source: &dyn PageSource<P>) -> (u64, bool) {
        let mut contents = self.contents.lock();
        let Some(leaf) = contents.leaves.leaf_mut(number).filter(|leaf| leaf.stamp == stamp) else {
            return (0, false);
        };
        let mut gone = 0;
        for slot in 0..LEAF_PAGES as usize {
            let keep = leaf.referenced | leaf.dirty;
            let is_idle = keep & 1 << slot == 0;
            if is_idle && leaf.pages[slot].as_ref().is_some_and(|page| source.holders(page) <= 1) {
                leaf.take(slot);
                gone += 1;
            }
        }
        leaf.referenced = 0;
        contents.page_count -= gone;
        let is_gone = contents.leaves.trim(number);
        self.keeper.refund(gone);
        (gone, !is_gone)
    }
}

impl<P> Contents<P> {
    fn make_loads_stale(&mut self, range: Range<u64>) {
        for load in &mut self.loads {
            if load.range.start < range.end && range.start < load.range.end {
                load.is_stale = true;
            }
        }
    }

    fn first_dirty(&mut self, range: &Range<u64>) -> Option<u64> {
        let from = self.dirty_from.max(range.start / LEAF_PAGES);
        if from == self.dirty_from || range.start == 0 {
            // Everything below is known to be clean: remember how far.
            self.dirty_from = self.leaves.find(from, |leaf| leaf.dirty != 0)?;
        }
        let mut from = from;
        loop {
            let number = self.leaves.find(from, |leaf| leaf.dirty != 0)?;
            let dirty = self.leaves.leaf(number)?.dirty;
            let first = number * LEAF_PAGES;
            let hit =
                (0..LEAF_PAGES).find(|slot| dirty & 1 << slot != 0 && first + slot >= range.start);
            match hit {
                Some(slot) => return Some(first + slot).filter(|index| *index < range.end),
                None => from = number + 1,
            }
        }
    }
}

impl<P: Page> Drop for Mapping<P> {
    fn drop(&mut self) {
        let contents = self.contents.get_mut();
        self.keeper.refund(contents.page_count);
        self.keeper.count_dirty(-(contents.dirty_count as i64));
    }
}
