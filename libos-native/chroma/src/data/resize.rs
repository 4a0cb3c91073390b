//! Changing a file's size.
use super::{PAGE_BYTES, SIZE_MAX};
use crate::cache::Mapping;
use crate::node::Node;
use crate::vfs::without_set_ids;
use crate::{MetadataChange, Page, VfsError, VfsResult};
use alloc::sync::Arc;

fn sized(size: u64) -> MetadataChange {
    MetadataChange { size: Some(size), ..MetadataChange::default() }
}

impl<P: Page> Node<P> {
    /// Sets the size of a regular file.
    ///
    /// # Errors
    /// `FileTooLarge`, `IsDirectory` or `Invalid` for other kinds, and those of the file system.
    pub(crate) async fn resize(self: &Arc<Self>, size: u64, is_privileged: bool) -> VfsResult<()> {
        let mapping = self.mapping()?;
        if size > SIZE_MAX {
            return Err(VfsError::FileTooLarge);
        }
        let _guard = self.changing.lock().await;
        self.drop_set_ids(is_privileged).await?;
        if size < mapping.size() {
            self.shrink_to(mapping, size).await
        } else {
            self.grow_to(mapping, size).await
        }
    }

    /// A file made longer reads as zeroes behind its old end.
    pub(super) async fn grow_to(
        self: &Arc<Self>,
        mapping: &Arc<Mapping<P>>,
        size: u64,
    ) -> VfsResult<()> {
        let _flushing = self.flushing.lock().await;
        mapping.zero_tail(mapping.size());
        self.inode().set_metadata(sized(size)).await?;
        mapping.forget_time();
        mapping.set_size(size);
        Ok(())
    }

    async fn shrink_to(self: &Arc<Self>, mapping: &Arc<Mapping<P>>, size: u64) -> VfsResult<()> {
        let old = mapping.size();
        mapping.set_size(size);
        mapping.forget_behind(size);
        // Write-back under way may still store pages behind the new end: first it, then the cut.
        let flushing = self.flushing.lock().await;
        let cut = self.inode().set_metadata(sized(size)).await;
        mapping.forget_behind(size);
        drop(flushing);
        self.tell_removed(size.div_ceil(PAGE_BYTES)..u64::MAX);
        match cut {
            Ok(()) => mapping.forget_time(),
            Err(_) => mapping.set_size(old),
        }
        cut
    }

    /// Tells the observer that pages went.
    pub(super) fn tell_removed(&self, range: core::ops::Range<u64>) {
        let observer = self.volume().core.observer.get();
        if let Some(observer) = observer.filter(|_| self.is_mapped()) {
            observer.pages_removed(self, range);
        }
    }

    /// Takes away what lends somebody's rights, before contents change.
    pub(super) async fn drop_set_ids(&self, is_privileged: bool) -> VfsResult<()> {
        match without_set_ids(self.mode()) {
            Some(mode) if !is_privileged => {
                self.change(MetadataChange { mode: Some(mode), ..MetadataChange::default() }).await
            }
            _ => Ok(()),
        }
    }
}
