//! Bringing pages of files into the cache.
use super::PageCache;
use super::mapping::{Found, Mapping};
use crate::node::Node;
use crate::sync::until;
use crate::{VfsError, VfsResult};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use serix_block::{PAGE_SIZE, Page};

/// A load under way. If its future is dropped, those who wait for the pages go on by themselves.
struct Loading<'a, P: Page> {
    mapping: &'a Arc<Mapping<P>>,
    ticket: u64,
    is_done: bool,
}

impl<P: Page> Loading<'_, P> {
    fn finish(mut self, pages: &[P]) {
        self.is_done = true;
        self.mapping.end_load(self.ticket, Some(pages));
    }
}

impl<P: Page> Drop for Loading<'_, P> {
    fn drop(&mut self) {
        if !self.is_done {
            self.mapping.end_load(self.ticket, None);
        }
    }
}

impl<P: Page> PageCache<P> {
    /// The page at `index` of a file, read if need be, with up to `ahead` pages behind it.
    ///
    /// # Errors
    /// `NoDevice` if the page lies past the end of the file; those of the file system.
    pub(crate) async fn page(&self, node: &Node<P>, index: u64, ahead: u64) -> VfsResult<P> {
        let mapping = node.mapping()?;
        loop {
            let end = mapping.size().div_ceil(PAGE_SIZE as u64);
            if index >= end {
                return Err(VfsError::NoDevice);
            }
            if mapping.is_resident() {
                return self.resident_page(mapping, index).await;
            }
            let wanted = index..end.min(index + 1 + ahead.min(self.limits.read_ahead));
            let load = until(|waker| match mapping.find_or_load(wanted.clone(), waker) {
                Found::Wait => None,
                Found::Here => Some(None),
                Found::Load(ticket, range) => Some(Some((ticket, range))),
            });
            if let Some((ticket, range)) = load.await {
                self.load(node, mapping, ticket, range).await?;
            }
            if let Some(page) = mapping.cached(index) {
                return Ok(page);
            }
        }
    }

    async fn resident_page(&self, mapping: &Arc<Mapping<P>>, index: u64) -> VfsResult<P> {
        match mapping.cached(index) {
            Some(page) => Ok(page),
            None => mapping.insert(index, self.allocate_zeroed().await?),
        }
    }

    async fn load(
        &self,
        node: &Node<P>,
        mapping: &Arc<Mapping<P>>,
        ticket: u64,
        range: Range<u64>,
    ) -> VfsResult<()> {
        let loading = Loading { mapping, ticket, is_done: false };
        let mut pages = Vec::with_capacity((range.end - range.start) as usize);
        pages.push(self.allocate().await?);
        // Reading ahead is not worth waiting for memory.
        while (pages.len() as u64) < range.end - range.start {
            let Some(page) = self.try_allocate() else { break };
            pages.push(page);
        }
        let mut read = node.inode().read_pages(range.start, &pages).await;
        if read.is_err() && pages.len() > 1 {
            // Who wants the first page has nothing to do with what is wrong behind it.
            pages.truncate(1);
            read = node.inode().read_pages(range.start, &pages).await;
        }
        read?;
        zero_behind(mapping.size(), range.start, &pages);
        loading.finish(&pages);
        Ok(())
    }
}

/// Bytes past the end were stored if a program wrote them through a mapping; nobody may see them.
fn zero_behind<P: Page>(size: u64, first: u64, pages: &[P]) {
    let offset = (size % PAGE_SIZE as u64) as usize;
    let at = (size / PAGE_SIZE as u64).checked_sub(first);
    if let Some(last) = at.and_then(|at| pages.get(at as usize)) {
        last.zero(offset, PAGE_SIZE - offset);
    }
}
