//! A device whose requests can be made to fail, and which can lag.
use super::{HostPage, run::yield_once};
use crate::{BlockDevice, BlockError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The kinds of request that a [`FaultyDisk`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A flush.
    Flush,
}

struct Plan {
    count: AtomicU64,
    fail_at: AtomicU64,
    fail_for_ever: AtomicBool,
    page_budget: AtomicU64,
}

/// A device that fails the n-th request, or all from the n-th on, and that answers each request
/// only at the second to fourth poll, so that requests of several tasks interleave and overtake one
/// another; clones share the plan.
#[derive(Clone)]
pub struct FaultyDisk<D> {
    inner: D,
    plan: Arc<Plan>,
}

impl<D> FaultyDisk<D> {
    /// A device that fails nothing yet.
    pub fn new(inner: D) -> Self {
        let never = || AtomicU64::new(u64::MAX);
        let plan = Plan {
            count: AtomicU64::new(0),
            fail_at: never(),
            fail_for_ever: AtomicBool::new(false),
            page_budget: never(),
        };
        Self { inner, plan: Arc::new(plan) }
    }

    /// Fails request number `at` (counted from now, 0 is the next one), and with `for_ever` all
    /// after it.
    pub fn fail(&self, at: u64, for_ever: bool) {
        self.plan.count.store(0, Ordering::SeqCst);
        self.plan.fail_at.store(at, Ordering::SeqCst);
        self.plan.fail_for_ever.store(for_ever, Ordering::SeqCst);
    }

    /// Fails nothing from now on.
    pub fn heal(&self) {
        self.fail(u64::MAX, false);
    }

    /// Requests seen since the last [`Self::fail`] or [`Self::heal`].
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.plan.count.load(Ordering::SeqCst)
    }

    /// Lets so many more pages be allocated.
    pub fn limit_pages(&self, pages: u64) {
        self.plan.page_budget.store(pages, Ordering::SeqCst);
    }

    async fn admit(&self) -> Result<(), BlockError> {
        yield_once().await;
        let number = self.plan.count.fetch_add(1, Ordering::SeqCst);
        let at = self.plan.fail_at.load(Ordering::SeqCst);
        let after = number > at && self.plan.fail_for_ever.load(Ordering::SeqCst);
        for _ in 0..number % 3 {
            yield_once().await;
        }
        if number == at || after { Err(BlockError::Io) } else { Ok(()) }
    }
}

impl<D: BlockDevice<Page = HostPage>> BlockDevice for FaultyDisk<D> {
    type Page = HostPage;

    fn sector_count(&self) -> u64 {
        self.inner.sector_count()
    }
    fn allocate_page(&self) -> Option<HostPage> {
        let take = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        self.plan.page_budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        self.inner.allocate_page()
    }
    async fn read(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        self.admit().await?;
        self.inner.read(sector, sector_count, offset, pages).await
    }
    async fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        self.admit().await?;
        self.inner.write(sector, sector_count, offset, pages).await
    }
    async fn flush(&self) -> Result<(), BlockError> {
        self.admit().await?;
        self.inner.flush().await
    }
}
