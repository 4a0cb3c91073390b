//! The name cache: which node a name in a directory leads to, or that it leads nowhere.
//!
//! Bounded, with second-chance eviction. Keys are the directory's node id and the name, so a
//! directory that moves keeps its entries and nothing refers to a name twice.
use crate::Page;
use crate::hash::of_name;
use crate::node::Node;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use hashbrown::HashTable;

struct Entry<P: Page> {
    hash: u64,
    directory: u64,
    name: Arc<[u8]>,
    target: Option<Arc<Node<P>>>,
    was_used: AtomicBool,
}

/// A known name and where it leads.
pub(crate) type Known<'a, P> = (&'a Arc<[u8]>, Option<&'a Arc<Node<P>>>);

/// The name cache.
pub(crate) struct NameCache<P: Page> {
    seed: u64,
    capacity: usize,
    entries: Vec<Option<Entry<P>>>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hand: usize,
}

impl<P: Page> NameCache<P> {
    pub(crate) const fn new(seed: u64, capacity: usize) -> Self {
        Self {
            seed,
            capacity,
            entries: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            hand: 0,
        }
    }

    fn position(&self, hash: u64, directory: u64, name: &[u8]) -> Option<u32> {
        let is_it = |at: &u32| {
            let entry = self.entries[*at as usize].as_ref();
            entry.is_some_and(|entry| entry.directory == directory && *entry.name == *name)
        };
        self.table.find(hash, is_it).copied()
    }

    /// What is known of a name: nothing, or the name itself with its node or none.
    pub(crate) fn find(&self, directory: u64, name: &[u8]) -> Option<Known<'_, P>> {
        let hash = of_name(self.seed, directory, name);
        let at = self.position(hash, directory, name)?;
        let entry = self.entries[at as usize].as_ref()?;
        if !entry.was_used.load(Ordering::Relaxed) {
            entry.was_used.store(true, Ordering::Relaxed);
        }
        Some((&entry.name, entry.target.as_ref()))
    }

    /// Remembers where a name leads.
    pub(crate) fn set(&mut self, directory: u64, name: &Arc<[u8]>, target: Option<Arc<Node<P>>>) {
        let hash = of_name(self.seed, directory, name);
        if let Some(at) = self.position(hash, directory, name) {
            if let Some(entry) = &mut self.entries[at as usize] {
                entry.target = target;
            }
            return;
        }
        let at = self.vacant();
        self.entries[at as usize] = Some(Entry {
            hash,
            directory,
            name: name.clone(),
            target,
            was_used: AtomicBool::new(true),
        });
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |other| {
            entries[*other as usize].as_ref().map_or(0, |entry| entry.hash)
        });
    }

    /// Forgets what is known of a name.
    pub(crate) fn remove(&mut self, directory: u64, name: &[u8]) {
        let hash = of_name(self.seed, directory, name);
        if let Some(at) = self.position(hash, directory, name) {
            self.clear(at);
        }
    }

    /// Forgets all for which `unwanted` holds: the directory's id and the node.
    pub(crate) fn remove_if(&mut self, unwanted: impl Fn(&Arc<Node<P>>) -> bool) {
        for at in 0..self.entries.len() {
            let entry = self.entries[at].as_ref();
            if entry.and_then(|entry| entry.target.as_ref()).is_some_and(&unwanted) {
                self.clear(at as u32);
            }
        }
    }

    /// Forgets up to `count` names that were not used lately.
    pub(crate) fn shrink(&mut self, count: usize) {
        let visits = 2 * self.entries.len();
        let mut gone = 0;
        for _ in 0..visits {
            if gone >= count {
                break;
            }
            gone += usize::from(self.step_hand().is_some());
        }
    }

    fn vacant(&mut self) -> u32 {
        if self.table.len() >= self.capacity {
            for _ in 0..2 * self.entries.len() {
                if self.step_hand().is_some() {
                    break;
                }
            }
        }
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        })
    }

    /// Looks at the next entry: takes its mark of use away, or the entry itself.
    fn step_hand(&mut self) -> Option<u32> {
        let at = self.hand;
        self.hand = (at + 1) % self.entries.len().max(1);
        let entry = self.entries.get(at)?.as_ref()?;
        if entry.was_used.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.clear(at as u32);
        Some(at as u32)
    }

    fn clear(&mut self, at: u32) {
        let Some(entry) = self.entries[at as usize].take() else {
            return;
        };
        if let Ok(found) = self.table.find_entry(entry.hash, |other| *other == at) {
            found.remove();
        }
        self.free.push(at);
    }
}
