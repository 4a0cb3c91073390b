//! The page cache: the pages of all files, shared with programs' mappings, bounded by a budget.
//!
//! Clean pages are evicted by second chance; dirty ones are written back on `sync`, `fsync`, when there
//! are too many, and when memory is short. Pages of file systems that live in memory are kept
//! in the same structure and never evicted. It may use inodes and no name.
mod keeper;
mod leaves;
mod load;
mod mapping;
mod write_back;

pub use keeper::Quota;
pub(crate) use keeper::{Keeper, Reclaim};
pub use mapping::Mapping;
pub(crate) use write_back::flush_times;

use crate::node::Node;
use crate::sync::{Lock, SleepLock};
use crate::{PageSource, VfsError, VfsResult};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use serix_block::Page;

/// Bounds of a page cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// Evictable pages in all. Pages that programs have mapped are over and above it.
    pub pages: u64,
    /// Dirty pages at which a writer has to write back.
    pub dirty_pages: u64,
    /// Most pages that one sequential read asks the file system for.
    pub read_ahead: u64,
}

impl CacheLimits {
    /// Bounds for a machine that may use `pages` pages for its cache.
    #[must_use]
    pub fn for_pages(pages: u64) -> Self {
        Self {
            pages: pages.max(64),
            dirty_pages: (pages / 4).max(16),
            read_ahead: (pages / 32).clamp(8, 64),
        }
    }
}

/// Pages that are evicted at once, so that the next allocations find some free.
const EVICTION_BATCH: u64 = 32;

/// The page cache of a libOS.
pub struct PageCache<P: Page> {
    source: Arc<dyn PageSource<P>>,
    reclaim: Arc<Reclaim<P>>,
    limits: CacheLimits,
    dirty_nodes: Lock<VecDeque<Arc<Node<P>>>>,
    /// Held by who writes back for all.
    writing_back: SleepLock,
}

impl<P: Page> PageCache<P> {
    pub(crate) fn new(source: Arc<dyn PageSource<P>>, limits: CacheLimits) -> Self {
        Self {
            source,
            reclaim: Arc::new(Reclaim::new()),
            limits,
            dirty_nodes: Lock::new(VecDeque::new()),
            writing_back: SleepLock::new(),
        }
    }

    /// A mapping whose pages can be evicted.
    pub(crate) fn mapping(&self, size: u64) -> Arc<Mapping<P>> {
        let keeper = Keeper::Evictable(self.reclaim.clone());
        Arc::new(Mapping::new(keeper, size))
    }

    /// Number of evictable pages.
    pub fn page_count(&self) -> u64 {
        self.reclaim.pages()
    }

    /// Number of pages that wait to be written back.
    pub fn dirty_count(&self) -> u64 {
        self.reclaim.dirty()
    }

    /// Evicts up to about `wanted` clean pages and tells how many; for a libOS short of memory.
    pub fn shrink(&self, wanted: u64) -> u64 {
        self.reclaim.evict(wanted, &*self.source)
    }

    /// A page with unspecified contents, if one can be had without waiting.
    pub(crate) fn try_allocate(&self) -> Option<P> {
        if self.reclaim.pages() >= self.limits.pages {
            self.shrink(EVICTION_BATCH);
        }
        let is_full = self.reclaim.pages() >= self.limits.pages;
        if is_full && self.dirty_count() > 0 {
            return None;
        }
        self.source.allocate().or_else(|| {
            self.shrink(EVICTION_BATCH);
            self.source.allocate()
        })
    }

    /// A page with unspecified contents; writes dirty pages back if that is what it takes.
    pub(crate) async fn allocate(&self) -> VfsResult<P> {
        if let Some(page) = self.try_allocate() {
            return Ok(page);
        }
        // An error is told to whoever syncs; here it only means that nothing became clean.
        let _ = self.write_back(EVICTION_BATCH).await;
        self.shrink(EVICTION_BATCH);
        self.source.allocate().ok_or(VfsError::NoMemory)
    }

    /// A page of zeroes.
    pub(crate) async fn allocate_zeroed(&self) -> VfsResult<P> {
        let page = self.allocate().await?;
        page.zero(0, serix_block::PAGE_SIZE);
        Ok(page)
    }
}
