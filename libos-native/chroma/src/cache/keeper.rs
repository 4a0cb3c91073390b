//! Who is charged for a mapping's pages, and the queue of leaves that eviction goes through.
//!
//! Order of locks: the queue before a mapping's contents.
use super::mapping::Mapping;
use crate::sync::Lock;
use crate::{PageSource, VfsError, VfsResult};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use serix_block::Page;

/// A bound on the pages of a file system in memory.
pub struct Quota {
    limit: u64,
    used: AtomicU64,
}

impl Quota {
    /// A quota of `limit` pages.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Pages in all.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Pages in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `count` pages.
    pub(crate) fn take(&self, count: u64) -> VfsResult<()> {
        let more = |used: u64| used.checked_add(count).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map(drop)
            .map_err(|_| VfsError::NoSpace)
    }

    pub(crate) fn give_back(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Who is charged for a mapping's pages.
pub(crate) enum Keeper<P: Page> {
    /// They are the only copy, bounded by a file system's quota.
    Quota(Arc<Quota>),
    /// They can be evicted when clean.
    Evictable(Arc<Reclaim<P>>),
}

impl<P: Page> Keeper<P> {
    pub(super) fn charge(&self) -> VfsResult<()> {
        match self {
            Self::Quota(quota) => quota.take(1),
            Self::Evictable(reclaim) => {
                reclaim.pages.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    pub(super) fn refund(&self, count: u64) {
        match self {
            Self::Quota(quota) => quota.give_back(count),
            Self::Evictable(reclaim) => {
                reclaim.pages.fetch_sub(count, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn count_dirty(&self, change: i64) {
        if let Self::Evictable(reclaim) = self {
            reclaim.dirty.fetch_add(change, Ordering::Relaxed);
        }
    }

    /// Enters new leaves, by number and stamp, in the queue for eviction.
    pub(super) fn keep(&self, mapping: &Arc<Mapping<P>>, fresh: &mut Vec<(u64, u32)>) {
        if let Self::Evictable(reclaim) = self
            && !fresh.is_empty()
        {
            reclaim.enter(mapping, fresh);
        }
    }
}

struct Candidate<P: Page> {
    mapping: Weak<Mapping<P>>,
    number: u64,
    stamp: u32,
}

/// All evictable pages of a cache: a second-chance queue of leaves.
pub(crate) struct Reclaim<P: Page> {
    pages: AtomicU64,
    dirty: AtomicI64,
    queue: Lock<VecDeque<Candidate<P>>>,
}

impl<P: Page> Reclaim<P> {
    pub(super) fn new() -> Self {
        Self {
            pages: AtomicU64::new(0),
            dirty: AtomicI64::new(0),
            queue: Lock::new(VecDeque::new()),
        }
    }

    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    pub(super) fn dirty(&self) -> u64 {
        self.dirty.load(Ordering::Relaxed).max(0) as u64
    }

    fn enter(&self, mapping: &Arc<Mapping<P>>, fresh: &mut Vec<(u64, u32)>) {
        let mapping = Arc::downgrade(mapping);
        let mut queue = self.queue.lock();
        queue.extend(fresh.drain(..).map(|(number, stamp)| Candidate {
            mapping: mapping.clone(),
            number,
            stamp,
        }));
        // Truncated files leave candidates behind. A living leaf has a page, so this bounds them,
        // at a constant cost per entry.
        let too_many = queue.len() as u64 > 2 * self.pages() + 1024;
        let all = too_many.then(|| core::mem::take(&mut *queue));
        drop(queue);
        if let Some(mut all) = all {
            all.retain(|candidate| {
                let mapping = candidate.mapping.upgrade();
                mapping.is_some_and(|mapping| mapping.has_leaf(candidate.number, candidate.stamp))
            });
            self.queue.lock().append(&mut all);
        }
    }

    /// Evicts until `wanted` pages are free or every leaf was seen twice: the first time only takes
    /// away the mark of recent use. Answers how many pages went.
    pub(super) fn evict(&self, wanted: u64, source: &dyn PageSource<P>) -> u64 {
        let mut gone = 0;
        let visits = 2 * self.queue.lock().len();
        for _ in 0..visits {
            if gone >= wanted {
                break;
            }
            let Some(candidate) = self.queue.lock().pop_front() else {
                break;
            };
            let Some(mapping) = candidate.mapping.upgrade() else {
                continue;
            };
            let (evicted, remains) = mapping.evict(candidate.number, candidate.stamp, source);
            gone += evicted;
            if remains {
                self.queue.lock().push_back(candidate);
            }
        }
        gone
    }
}
