//! Ranges of a file: reserving, punching, zeroing, and pages for mappings.
use super::{PAGE_BYTES, SIZE_MAX};
use crate::cache::Mapping;
use crate::node::Node;
use crate::{AllocateMode, Extent, Page, VfsError, VfsResult};
use alloc::sync::Arc;
use serix_block::PAGE_SIZE;

impl<P: Page> Node<P> {
    /// Reserves, frees or zeroes a range of bytes.
    ///
    /// # Errors
    /// `Invalid` for an empty range, `FileTooLarge`, and those of the file system.
    pub(crate) async fn allocate(
        self: &Arc<Self>,
        mode: AllocateMode,
        offset: u64,
        len: u64,
    ) -> VfsResult<()> {
        let mapping = self.mapping()?;
        if len == 0 {
            return Err(VfsError::Invalid);
        }
        let end = offset.checked_add(len).filter(|end| *end <= SIZE_MAX);
        let end = end.ok_or(VfsError::FileTooLarge)?;
        let _guard = self.changing.lock().await;
        let grows = matches!(
            mode,
            AllocateMode::Reserve { keep_size: false }
                | AllocateMode::ZeroRange { keep_size: false }
        );
        if mapping.is_resident() {
            self.allocate_resident(mapping, mode, offset, end).await?;
        } else {
            self.allocate_stored(mapping, mode, offset, end).await?;
        }
        if grows && end > mapping.size() {
            self.grow_to(mapping, end).await?;
        }
        mapping.touch(self.volume().core.clock.now_ns());
        crate::cache::flush_times(self).await
    }

    async fn allocate_stored(
        self: &Arc<Self>,
        mapping: &Arc<Mapping<P>>,
        mode: AllocateMode,
        offset: u64,
        end: u64,
    ) -> VfsResult<()> {
        let pages = offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        self.volume().core.cache.flush(self, pages.clone()).await?;
        let _flushing = self.flushing.lock().await;
        self.inode().allocate(mode, offset, end - offset).await?;
        if !matches!(mode, AllocateMode::Reserve { .. }) {
            mapping.forget(pages.clone());
            self.tell_removed(pages);
        }
        Ok(())
    }

    async fn allocate_resident(
        self: &Arc<Self>,
        mapping: &Arc<Mapping<P>>,
        mode: AllocateMode,
        offset: u64,
        end: u64,
    ) -> VfsResult<()> {
        if let AllocateMode::Reserve { .. } = mode {
            for index in offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
                if mapping.cached(index).is_none() {
                    let page = self.volume().core.cache.allocate_zeroed().await?;
                    mapping.insert(index, page)?;
                }
            }
            return Ok(());
        }
        let inner = offset.div_ceil(PAGE_BYTES)..end / PAGE_BYTES;
        if inner.start <= inner.end {
            zero_cached(mapping, offset, inner.start * PAGE_BYTES);
            zero_cached(mapping, inner.end * PAGE_BYTES, end);
            mapping.forget(inner.clone());
            self.tell_removed(inner);
        } else {
            zero_cached(mapping, offset, end);
        }
        Ok(())
    }

    /// The first offset from `offset` on that is of this kind.
    ///
    /// # Errors
    /// `NoDevice` if there is none.
    pub(crate) async fn seek_extent(
        self: &Arc<Self>,
        offset: u64,
        extent: Extent,
    ) -> VfsResult<u64> {
        let mapping = self.mapping()?;
        let size = mapping.size();
        if offset >= size {
            return Err(VfsError::NoDevice);
        }
        if !mapping.is_resident() {
            self.volume().core.cache.flush(self, 0..u64::MAX).await?;
            return self.inode().seek_extent(offset, extent, size).await;
        }
        let index = offset / PAGE_BYTES;
        let found = match extent {
            Extent::Data => mapping.next_present(index).ok_or(VfsError::NoDevice)?,
            Extent::Hole => mapping.next_absent(index),
        };
        let at = (found * PAGE_BYTES).max(offset);
        match extent {
            Extent::Data if at >= size => Err(VfsError::NoDevice),
            _ => Ok(at.min(size)),
        }
    }

    /// The page at `index` for a program's mapping; one for writing has its space reserved and counts
    /// as dirty for as long as it is mapped.
    ///
    /// # Errors
    /// `NoDevice` past the end of the file, and those of the file system.
    pub(crate) async fn map_page(self: &Arc<Self>, index: u64, for_writing: bool) -> VfsResult<P> {
        let mapping = self.mapping()?;
        self.set_mapped();
        let cache = &self.volume().core.cache;
        let page = cache.page(self, index, if for_writing { 0 } else { 7 }).await?;
        if for_writing && !mapping.is_resident() {
            self.inode().prepare_write(index, 1).await?;
            mapping.mark_dirty(index, true);
            cache.enlist(self);
        }
        if for_writing {
            mapping.touch(self.volume().core.clock.now_ns());
        }
        Ok(page)
    }
}

/// Zeroes the bytes of one page that is cached.
fn zero_cached<P: Page>(mapping: &Mapping<P>, from: u64, to: u64) {
    let offset = (from % PAGE_BYTES) as usize;
    let len = (to - from) as usize;
    if len > 0
        && let Some(page) = mapping.cached(from / PAGE_BYTES)
    {
        page.zero(offset, len.min(PAGE_SIZE - offset));
    }
}
