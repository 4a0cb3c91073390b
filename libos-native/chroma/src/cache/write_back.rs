//! Handing dirty pages to their file systems.
//!
//! A page that could not be written stays dirty, so that its data is not lost while the machine
//! runs, and every later sync of it fails again.
use super::{Mapping, PageCache};
use crate::node::Node;
use crate::{MetadataChange, PageRun, Timestamp, VfsResult};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use serix_block::Page;

/// Most pages in one request to a file system: 1 MiB.
const RUN_PAGES: usize = 256;
/// Most runs in one request.
const BATCH_RUNS: usize = 16;

impl<P: Page> PageCache<P> {
    /// Enters a node in the list of those with something to write.
    pub(crate) fn enlist(&self, node: &Arc<Node<P>>) {
        if !node.set_listed(true) {
            self.dirty_nodes.lock().push_back(node.clone());
        }
    }

    /// Takes a node that will never be read again off the list, and its pages with it.
    pub(crate) fn discard(&self, node: &Arc<Node<P>>) {
        if let Ok(mapping) = node.mapping() {
            mapping.forget(0..u64::MAX);
        }
        if node.is_listed() {
            let mut nodes = self.dirty_nodes.lock();
            nodes.retain(|other| !Arc::ptr_eq(other, node));
            node.set_listed(false);
        }
    }

    /// Makes a writer write back when too many pages are dirty: its own file first, then others.
    pub(crate) async fn throttle(&self, node: &Arc<Node<P>>) -> VfsResult<()> {
        let limit = self.limits.dirty_pages;
        if self.dirty_count() < limit {
            return Ok(());
        }
        self.flush(node, 0..u64::MAX).await?;
        if self.dirty_count() >= limit {
            self.write_back(limit / 2).await?;
        }
        Ok(())
    }

    /// Writes back until about `wanted` pages became clean, oldest files first.
    ///
    /// # Errors
    /// The first error of a file system; the other files are tried all the same.
    pub async fn write_back(&self, wanted: u64) -> VfsResult<()> {
        let _guard = self.writing_back.lock().await;
        let target = self.dirty_count().saturating_sub(wanted);
        let mut result = Ok(());
        let mut visits = self.dirty_nodes.lock().len();
        while visits > 0 && (wanted == u64::MAX || self.dirty_count() > target) {
            visits -= 1;
            let Some(node) = self.pop_dirty() else { break };
            let written = self.flush(&node, 0..u64::MAX).await;
            if node.has_unwritten() {
                self.enlist(&node);
            }
            result = result.and(written);
        }
        result
    }

    /// Writes back everything that was dirty when this was called.
    ///
    /// # Errors
    /// As [`Self::write_back`].
    pub async fn write_back_all(&self) -> VfsResult<()> {
        self.write_back(u64::MAX).await
    }

    fn pop_dirty(&self) -> Option<Arc<Node<P>>> {
        let node = self.dirty_nodes.lock().pop_front()?;
        node.set_listed(false);
        Some(node)
    }

    /// Writes back the dirty pages of `range` of a file, and its time of modification.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) async fn flush(&self, node: &Arc<Node<P>>, range: Range<u64>) -> VfsResult<()> {
        let Ok(mapping) = node.mapping() else {
            return Ok(());
        };
        if mapping.is_resident() {
            return Ok(());
        }
        let _guard = node.flushing.lock().await;
        let mut range = range;
        loop {
            let batch = Batch::take(self, node, mapping, &mut range);
            let Some(last) = batch.runs.last() else { break };
            let end = last.end(mapping.size());
            match &*batch.runs {
                [run] => node.inode().write_pages(run.first, &run.pages, end).await?,
                runs => node.inode().write_runs(runs, end).await?,
            }
            for run in batch.written() {
                if mapping.settle_run(run.first, &run.pages, &*self.source) {
                    self.enlist(node);
                }
            }
        }
        flush_times(node).await
    }
}

/// Tells the file system when the file was last written.
pub(crate) async fn flush_times<P: Page>(node: &Node<P>) -> VfsResult<()> {
    let Some(seen) = node.mapping().ok().and_then(|mapping| mapping.modified_ns()) else {
        return Ok(());
    };
    let at = Timestamp::from_nanoseconds(seen);
    let change =
        MetadataChange { modified: Some(at), changed: Some(at), ..MetadataChange::default() };
    node.inode().set_metadata(change).await?;
    node.mapping()?.settle_modified(seen);
    Ok(())
}

/// Runs on their way; unless they are written their pages become dirty again.
struct Batch<'a, P: Page> {
    cache: &'a PageCache<P>,
    node: &'a Arc<Node<P>>,
    runs: Vec<PageRun<P>>,
}

impl<'a, P: Page> Batch<'a, P> {
    /// Takes the first dirty runs of a range, and them off the range.
    fn take(
        cache: &'a PageCache<P>,
        node: &'a Arc<Node<P>>,
        mapping: &Mapping<P>,
        range: &mut Range<u64>,
    ) -> Self {
        let (mut runs, mut left) = (Vec::new(), RUN_PAGES);
        while runs.len() < BATCH_RUNS && left > 0 {
            let Some((first, pages)) = mapping.take_dirty_run(range, left) else { break };
            range.start = first + pages.len() as u64;
            left -= pages.len();
            runs.push(PageRun { first, pages });
        }
        Self { cache, node, runs }
    }

    fn written(mut self) -> Vec<PageRun<P>> {
        core::mem::take(&mut self.runs)
    }
}

impl<P: Page> Drop for Batch<'_, P> {
    fn drop(&mut self) {
        let Ok(mapping) = self.node.mapping() else { return };
        let mut is_first = false;
        for run in &self.runs {
            for index in run.first..run.first + run.pages.len() as u64 {
                is_first |= mapping.mark_dirty(index, false);
            }
        }
        if is_first {
            self.cache.enlist(self.node);
        }
    }
}
