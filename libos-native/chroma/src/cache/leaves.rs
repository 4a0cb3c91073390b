//! The pages of one file by index: leaves of 16 pages, found by one array access for the first
//! 256 MiB and by a tree behind that.
//!
//! Invariant: in every leaf `dirty`, `referenced` and `mapped` are subsets of the pages that are there.
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub(super) const LEAF_PAGES: u64 = 16;
const DIRECT_LEAVES: u64 = 4096;

pub(super) struct Leaf<P> {
    /// Tells this leaf from an earlier one at the same place.
    pub(super) stamp: u32,
    pub(super) dirty: u16,
    pub(super) referenced: u16,
    /// Pages that a program may be writing through a mapping.
    pub(super) mapped: u16,
    pub(super) pages: [Option<P>; LEAF_PAGES as usize],
}

impl<P> Leaf<P> {
    fn new(stamp: u32) -> Self {
        Self {
            stamp,
            dirty: 0,
            referenced: 0,
            mapped: 0,
            pages: [const { None }; LEAF_PAGES as usize],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().all(Option::is_none)
    }

    /// Takes the page at `slot` out, with whether it was dirty.
    pub(super) fn take(&mut self, slot: usize) -> Option<(P, bool)> {
        let (page, bit) = (self.pages[slot].take()?, 1 << slot);
        let was_dirty = self.dirty & bit != 0;
        self.dirty &= !bit;
        self.referenced &= !bit;
        self.mapped &= !bit;
        Some((page, was_dirty))
    }
}

pub(super) struct Leaves<P> {
    direct: Vec<Option<Box<Leaf<P>>>>,
    far: BTreeMap<u64, Box<Leaf<P>>>,
    next_stamp: u32,
}

/// Leaf number and slot of a page.
pub(super) fn place(index: u64) -> (u64, usize) {
    (index / LEAF_PAGES, (index % LEAF_PAGES) as usize)
}

impl<P> Leaves<P> {
    pub(super) const fn new() -> Self {
        Self { direct: Vec::new(), far: BTreeMap::new(), next_stamp: 0 }
    }

    pub(super) fn leaf(&self, number: u64) -> Option<&Leaf<P>> {
        if number < DIRECT_LEAVES {
            self.direct.get(number as usize)?.as_deref()
        } else {
            self.far.get(&number).map(|leaf| &**leaf)
        }
    }

    pub(super) fn leaf_mut(&mut self, number: u64) -> Option<&mut Leaf<P>> {
        if number < DIRECT_LEAVES {
            self.direct.get_mut(number as usize)?.as_deref_mut()
        } else {
            self.far.get_mut(&number).map(|leaf| &mut **leaf)
        }
    }

    /// The leaf, and whether it was made by this call.
    pub(super) fn leaf_or_new(&mut self, number: u64) -> (&mut Leaf<P>, bool) {
        let is_new = self.leaf(number).is_none();
        if is_new {
            self.next_stamp = self.next_stamp.wrapping_add(1);
            self.insert_leaf(number, Box::new(Leaf::new(self.next_stamp)));
        }
        let leaf = self.leaf_mut(number).expect("it was inserted");
        (leaf, is_new)
    }

    fn insert_leaf(&mut self, number: u64, leaf: Box<Leaf<P>>) {
        if number >= DIRECT_LEAVES {
            self.far.insert(number, leaf);
            return;
        }
        let at = number as usize;
        if self.direct.len() <= at {
            self.direct.resize_with(at + 1, || None);
        }
        self.direct[at] = Some(leaf);
    }

    /// Frees the leaf if it has no page.
    pub(super) fn trim(&mut self, number: u64) -> bool {
        let is_empty = self.leaf(number).is_some_and(Leaf::is_empty);
        if is_empty && number < DIRECT_LEAVES {
            self.direct[number as usize] = None;
        } else if is_empty {
            self.far.remove(&number);
        }
        is_empty
    }

    /// The number of the first leaf from `from` on for which `wanted` holds.
    pub(super) fn find(&self, from: u64, wanted: impl Fn(&Leaf<P>) -> bool) -> Option<u64> {
        let near = self.direct.iter().enumerate().skip(from as usize);
        let hit = near
            .filter_map(|(number, leaf)| Some((number as u64, leaf.as_deref()?)))
            .find(|(_, leaf)| wanted(leaf));
        if let Some((number, _)) = hit {
            return Some(number);
        }
        let mut far = self.far.range(from..);
        far.find(|(_, leaf)| wanted(leaf)).map(|(number, _)| *number)
    }

    pub(super) fn page(&self, index: u64) -> Option<&P> {
        let (number, slot) = place(index);
        self.leaf(number)?.pages[slot].as_ref()
    }
}
