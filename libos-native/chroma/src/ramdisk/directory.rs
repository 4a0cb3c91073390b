//! The entries of a directory in memory: a slab, whose positions are the listing's cookies, and a
//! hash table over it.
use super::inode::RamInode;
use crate::component::Component;
use crate::{DirectoryEntry, DirectorySink, Page, VfsError, VfsResult};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hashbrown::HashTable;

/// The first cookie of an entry, minus one: cookies tell the entry to go on behind.
const COOKIES: u64 = 3;

struct Entry<P: Page> {
    hash: u64,
    name: Box<[u8]>,
    inode: Arc<RamInode<P>>,
}

pub(super) struct Directory<P: Page> {
    seed: u64,
    slots: Vec<Option<Entry<P>>>,
    free: Vec<u32>,
    table: HashTable<u32>,
}

impl<P: Page> Directory<P> {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, slots: Vec::new(), free: Vec::new(), table: HashTable::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn hash(&self, name: &[u8]) -> u64 {
        Component::of(name).hash(self.seed, 0)
    }

    fn position(&self, name: &[u8]) -> Option<u32> {
        let is_it = |at: &u32| {
            let entry = self.slots[*at as usize].as_ref();
            entry.is_some_and(|entry| *entry.name == *name)
        };
        self.table.find(self.hash(name), is_it).copied()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<RamInode<P>>> {
        let at = self.position(name)?;
        Some(&self.slots[at as usize].as_ref()?.inode)
    }

    /// Puts an inode under a name and answers the one that it replaced.
    pub(super) fn set(&mut self, name: &[u8], inode: Arc<RamInode<P>>) -> Option<Arc<RamInode<P>>> {
        if let Some(at) = self.position(name) {
            let entry = self.slots[at as usize].as_mut()?;
            return Some(core::mem::replace(&mut entry.inode, inode));
        }
        let hash = self.hash(name);
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        let name = name.into();
        self.slots[at as usize] = Some(Entry { hash, name, inode });
        let slots = &self.slots;
        self.table.insert_unique(hash, at, |other| {
            slots[*other as usize].as_ref().map_or(0, |entry| entry.hash)
        });
        None
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<RamInode<P>>> {
        self.remove_if(name, |_| Ok(())).ok()
    }

    /// Removes a name unless `check` refuses its inode.
    pub(super) fn remove_if(
        &mut self,
        name: &[u8],
        check: impl FnOnce(&RamInode<P>) -> VfsResult<()>,
    ) -> VfsResult<Arc<RamInode<P>>> {
        let Some(at) = self.position(name) else {
            return Err(VfsError::NotFound);
        };
        let slot = &mut self.slots[at as usize];
        let entry = slot.take().ok_or(VfsError::NotFound)?;
        if let Err(error) = check(&entry.inode) {
            *slot = Some(entry);
            return Err(error);
        }
        if let Ok(found) = self.table.find_entry(entry.hash, |other| *other == at) {
            found.remove();
        }
        self.free.push(at);
        Ok(entry.inode)
    }

    /// All inodes, for a directory that ends.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<RamInode<P>>> + '_ {
        self.table.clear();
        self.free.clear();
        self.slots.drain(..).flatten().map(|entry| entry.inode)
    }

    pub(super) fn list(&self, cookie: u64, sink: &mut dyn DirectorySink) {
        let from = cookie.saturating_sub(COOKIES - 1) as usize;
        for (at, slot) in self.slots.iter().enumerate().skip(from) {
            let Some(entry) = slot else { continue };
            let fits = sink.entry(&DirectoryEntry {
                name: &entry.name,
                ino: entry.inode.ino,
                kind: entry.inode.kind,
                next: at as u64 + COOKIES,
            });
            if !fits {
                return;
            }
        }
    }
}
