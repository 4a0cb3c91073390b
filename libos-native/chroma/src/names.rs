//! The name cache: which node a name in a directory leads to, or that it leads nowhere.
//!
//! Bounded, with second-chance eviction. Keys are the directory's node id and the name, so a
//! directory that moves keeps its entries and nothing refers to a name twice. Entries are in a
//! slab and chained from buckets, of which there are at least as many as entries.
use crate::Page;
use crate::component::Component;
use crate::node::Node;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// The end of a chain.
const NONE: u32 = u32::MAX;

struct Entry<P: Page> {
    directory: u64,
    words: [u64; 2],
    name: Arc<[u8]>,
    target: Option<Arc<Node<P>>>,
    next: u32,
    was_used: AtomicBool,
}

/// A known name and where it leads.
pub(crate) struct Known<'a, P: Page>(&'a Entry<P>);

impl<'a, P: Page> Known<'a, P> {
    /// The name as it is kept.
    #[inline(always)]
    pub(crate) fn name(&self) -> &'a Arc<[u8]> {
        &self.0.name
    }

    /// The node, if there is one of this name.
    #[inline(always)]
    pub(crate) fn target(&self) -> Option<&'a Arc<Node<P>>> {
        self.0.target.as_ref()
    }
}

/// The name cache.
pub(crate) struct NameCache<P: Page> {
    seed: u64,
    capacity: usize,
    buckets: Vec<u32>,
    entries: Vec<Option<Entry<P>>>,
    free: Vec<u32>,
    hand: usize,
}

impl<P: Page> NameCache<P> {
    pub(crate) fn new(seed: u64, capacity: usize) -> Self {
        Self {
            seed,
            capacity,
            buckets: vec![NONE; 64],
            entries: Vec::new(),
            free: Vec::new(),
            hand: 0,
        }
    }

    fn bucket(&self, directory: u64, name: &Component<'_>) -> usize {
        // The number of buckets is a power of two.
        name.hash(self.seed, directory) as usize & (self.buckets.len() - 1)
    }

    fn entry(&self, at: u32) -> Option<&Entry<P>> {
        self.entries.get(at as usize)?.as_ref()
    }

    #[inline(always)]
    fn position(&self, directory: u64, name: &Component<'_>) -> Option<(u32, &Entry<P>)> {
        let mut at = *self.buckets.get(self.bucket(directory, name))?;
        loop {
            // The end of a chain is the number of no entry.
            let entry = self.entry(at)?;
            if entry.directory == directory && name.is(&entry.words, &entry.name) {
                return Some((at, entry));
            }
            at = entry.next;
        }
    }

    /// What is known of a name: nothing, or the name itself with its node or none.
    #[inline(always)]
    pub(crate) fn find(&self, directory: u64, name: &Component<'_>) -> Option<Known<'_, P>> {
        let (_, entry) = self.position(directory, name)?;
        if !entry.was_used.load(Ordering::Relaxed) {
            entry.was_used.store(true, Ordering::Relaxed);
        }
        Some(Known(entry))
    }

    /// Remembers where a name leads, and answers the name as it is kept.
    pub(crate) fn set(
        &mut self,
        directory: u64,
        name: &[u8],
        target: Option<Arc<Node<P>>>,
    ) -> Option<&Arc<[u8]>> {
        let component = Component::of(name);
        let at = match self.position(directory, &component) {
            Some((at, _)) => at,
            None => self.insert(directory, &component),
        };
        let entry = self.entries.get_mut(at as usize)?.as_mut()?;
        entry.target = target;
        Some(&entry.name)
    }

    /// Makes an entry that leads nowhere yet.
    fn insert(&mut self, directory: u64, component: &Component<'_>) -> u32 {
        let at = self.vacant();
        let bucket = self.bucket(directory, component);
        self.entries[at as usize] = Some(Entry {
            directory,
            words: component.words,
            name: component.name.into(),
            target: None,
            next: self.buckets[bucket],
            was_used: AtomicBool::new(true),
        });
        self.buckets[bucket] = at;
        at
    }

    /// Forgets what is known of a name.
    pub(crate) fn remove(&mut self, directory: u64, name: &[u8]) {
        if let Some((at, _)) = self.position(directory, &Component::of(name)) {
            self.clear(at);
        }
    }

    /// Forgets all nodes for which `unwanted` holds.
    pub(crate) fn remove_if(&mut self, unwanted: impl Fn(&Arc<Node<P>>) -> bool) {
        for at in 0..self.entries.len() as u32 {
            let target = self.entry(at).and_then(|entry| entry.target.as_ref());
            if target.is_some_and(&unwanted) {
                self.clear(at);
            }
        }
    }

    /// Forgets up to `count` names that were not used lately.
    pub(crate) fn shrink(&mut self, count: usize) {
        let mut gone = 0;
        for _ in 0..2 * self.entries.len() {
            if gone >= count {
                break;
            }
            gone += usize::from(self.step_hand());
        }
    }

    /// A free place in the slab; makes one if the cache is full.
    fn vacant(&mut self) -> u32 {
        if self.free.is_empty() && self.entries.len() >= self.capacity {
            for _ in 0..2 * self.entries.len() {
                if self.step_hand() {
                    break;
                }
            }
        }
        if let Some(at) = self.free.pop() {
            return at;
        }
        self.entries.push(None);
        if self.entries.len() > self.buckets.len() {
            self.rebuild();
        }
        (self.entries.len() - 1) as u32
    }

    /// Doubles the buckets.
    fn rebuild(&mut self) {
        self.buckets = vec![NONE; self.buckets.len() * 2];
        for at in 0..self.entries.len() {
            let Some(entry) = &self.entries[at] else {
                continue;
            };
            let bucket = self.bucket(entry.directory, &Component::of(&entry.name));
            let next = core::mem::replace(&mut self.buckets[bucket], at as u32);
            if let Some(entry) = &mut self.entries[at] {
                entry.next = next;
            }
        }
    }

    /// Looks at the next entry: takes its mark of use away, or the entry itself.
    fn step_hand(&mut self) -> bool {
        let at = self.hand;
        self.hand = (at + 1) % self.entries.len().max(1);
        let Some(entry) = self.entry(at as u32) else {
            return false;
        };
        if entry.was_used.swap(false, Ordering::Relaxed) {
            return false;
        }
        self.clear(at as u32);
        true
    }

    fn clear(&mut self, at: u32) {
        let Some(entry) = self.entries[at as usize].take() else {
            return;
        };
        let bucket = self.bucket(entry.directory, &Component::of(&entry.name));
        if self.buckets[bucket] == at {
            self.buckets[bucket] = entry.next;
        } else {
            self.unchain(self.buckets[bucket], at, entry.next);
        }
        self.free.push(at);
    }

    /// Takes `gone` out of the chain that begins at `first`.
    fn unchain(&mut self, first: u32, gone: u32, next: u32) {
        let mut at = first;
        while let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::as_mut) {
            if entry.next == gone {
                entry.next = next;
                return;
            }
            at = entry.next;
        }
    }
}
