//! The metadata cache: blocks in memory, each at most once, with a bound.
//!
//! A buffer that somebody holds stays; others are evicted in clock order. Evicting loses nothing:
//! what a transaction changed is held by it until its commit has a copy. A block is read by one
//! task at a time, so a reader never brings an old copy back over a newer one.
use crate::error::{Error, Result};
use crate::kind::{Kind, Rules};
use crate::wait::WaitList;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};
use core::sync::atomic::{AtomicBool, Ordering};
use hashbrown::HashMap;
use spin::Mutex;

/// A hasher for numbers that are spread well enough by one multiplication.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }
    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// A map from block or inode numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// A metadata block in memory.
pub(crate) struct Buffer {
    block: u64,
    recent: AtomicBool,
    contents: Mutex<Contents>,
}

/// What a buffer holds, behind its lock.
pub(crate) struct Contents {
    pub(crate) bytes: Box<[u8]>,
    /// The role in which the bytes were checked or made.
    pub(crate) kind: Option<Kind>,
    /// For a block of inodes, which of them changed since the last commit.
    pub(crate) changed: u64,
    /// The transaction that holds the buffer.
    pub(crate) transaction: Option<u32>,
}

impl Buffer {
    fn new(block: u64, bytes: Box<[u8]>, kind: Option<Kind>) -> Self {
        let contents = Contents { bytes, kind, changed: 0, transaction: None };
        Self { block, recent: AtomicBool::new(true), contents: Mutex::new(contents) }
    }

    pub(crate) fn block(&self) -> u64 {
        self.block
    }

    /// Lets `look` see the bytes.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.contents.lock().bytes)
    }

    /// Lets `act` see and change everything; only the journal does.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Contents) -> R) -> R {
        act(&mut self.contents.lock())
    }

    /// Checks the bytes for a role, unless they were checked for it already.
    pub(crate) fn check(&self, kind: Kind, rules: &Rules) -> Result<()> {
        let mut contents = self.contents.lock();
        if contents.kind == Some(kind) {
            return Ok(());
        }
        if contents.transaction.is_some() && contents.kind.is_some() {
            // Changed in another role, its checksum is not sealed: two owners claim this block.
            return Err(Error::corrupt_block("block with two roles", self.block));
        }
        rules.check(kind, self.block, &contents.bytes)?;
        contents.kind = Some(kind);
        Ok(())
    }
}

#[derive(Default)]
struct State {
    index: NumberMap<u64, usize>,
    slots: Vec<Arc<Buffer>>,
    hand: usize,
    loading: BTreeSet<u64>,
}

pub(crate) struct Cache {
    state: Mutex<State>,
    loaded: WaitList,
    bound: usize,
    block_size: usize,
}

/// The right to read a block into the cache; others wait until it is dropped.
pub(crate) struct Ticket<'c> {
    cache: &'c Cache,
    block: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.cache.state.lock().loading.remove(&self.block);
        self.cache.loaded.notify();
    }
}

/// What the cache says about a block.
pub(crate) enum Found<'c> {
    Present(Arc<Buffer>),
    Absent(Ticket<'c>),
}

impl State {
    fn find(&self, block: u64) -> Option<Arc<Buffer>> {
        let buffer = &self.slots[*self.index.get(&block)?];
        buffer.recent.store(true, Ordering::Relaxed);
        Some(buffer.clone())
    }

    fn insert(&mut self, buffer: Arc<Buffer>, bound: usize) {
        let block = buffer.block;
        if let Some(slot) = self.index.get(&block) {
            self.slots[*slot] = buffer;
            return;
        }
        let slot = if self.slots.len() < bound { None } else { self.victim() };
        let slot = slot.unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(buffer);
        } else {
            let old = core::mem::replace(&mut self.slots[slot], buffer);
            self.index.remove(&old.block);
        }
        self.index.insert(block, slot);
    }

    /// A slot whose buffer nobody holds and nobody used since the hand last passed.
    fn victim(&mut self) -> Option<usize> {
        for _ in 0..2 * self.slots.len() {
            let slot = self.hand % self.slots.len();
            self.hand = slot + 1;
            let buffer = &self.slots[slot];
            let used = buffer.recent.swap(false, Ordering::Relaxed);
            if !used && Arc::strong_count(buffer) == 1 {
                return Some(slot);
            }
        }
        None
    }

    fn remove(&mut self, block: u64) -> Option<Arc<Buffer>> {
        let slot = self.index.remove(&block)?;
        let buffer = self.slots.swap_remove(slot);
        if let Some(moved) = self.slots.get(slot) {
            self.index.insert(moved.block, slot);
        }
        Some(buffer)
    }

    /// Lets go of what is over the bound and not held.
    fn shrink(&mut self, bound: usize) {
        while self.slots.len() > bound {
            let Some(slot) = self.victim() else { return };
            let block = self.slots[slot].block;
            self.remove(block);
        }
    }
}

impl Cache {
    /// A cache of at most `bound` blocks, beyond those that are held.
    pub(crate) fn new(bound: usize, block_size: usize) -> Self {
        Self { state: Mutex::default(), loaded: WaitList::default(), bound, block_size }
    }

    /// The buffer of a block, if it is here.
    pub(crate) fn find(&self, block: u64) -> Option<Arc<Buffer>> {
        self.state.lock().find(block)
    }

    /// The buffer, or the right to bring it here.
    pub(crate) async fn claim(&self, block: u64) -> Found<'_> {
        self.loaded.until(|| self.try_claim(block)).await
    }

    fn try_claim(&self, block: u64) -> Option<Found<'_>> {
        let mut state = self.state.lock();
        if let Some(buffer) = state.find(block) {
            return Some(Found::Present(buffer));
        }
        let ticket = || Found::Absent(Ticket { cache: self, block });
        state.loading.insert(block).then(ticket)
    }

    /// The right to bring a block here, if nobody has it and the block is not here.
    pub(crate) fn claim_now(&self, block: u64) -> Option<Ticket<'_>> {
        match self.try_claim(block)? {
            Found::Absent(ticket) => Some(ticket),
            Found::Present(_) => None,
        }
    }

    /// Puts a block that was read in its place.
    pub(crate) fn insert(&self, ticket: Ticket<'_>, bytes: Box<[u8]>) -> Arc<Buffer> {
        let buffer = Arc::new(Buffer::new(ticket.block, bytes, None));
        self.state.lock().insert(buffer.clone(), self.bound);
        buffer
    }

    /// A buffer of zeroes for a block whose contents on disk do not count.
    pub(crate) fn fresh(&self, block: u64, kind: Kind) -> Arc<Buffer> {
        let bytes = vec![0; self.block_size].into_boxed_slice();
        let buffer = Arc::new(Buffer::new(block, bytes, Some(kind)));
        self.state.lock().insert(buffer.clone(), self.bound);
        buffer
    }

    /// Takes a block out.
    pub(crate) fn remove(&self, block: u64) -> Option<Arc<Buffer>> {
        self.state.lock().remove(block)
    }

    /// Comes back to the bound after a transaction let go of its buffers.
    pub(crate) fn shrink(&self) {
        self.state.lock().shrink(self.bound);
    }
}
