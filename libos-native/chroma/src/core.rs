//! What all volumes of a libOS share.
use crate::cache::PageCache;
use crate::node::Node;
use crate::{Clock, Page};
use alloc::sync::Arc;
use core::ops::Range;

/// Learns that pages left a file, to unmap them from programs.
pub trait MappingObserver<P: Page>: Send + Sync + 'static {
    /// The pages of `range` are no longer those of the file. Called for files of which
    /// [`crate::File::map_page`] gave out pages, before the operation that took them away ends.
    fn pages_removed(&self, node: &Node<P>, range: Range<u64>);
}

/// What all volumes of a libOS share.
pub struct Core<P: Page> {
    /// The page cache.
    pub cache: PageCache<P>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: spin::Once<Arc<dyn MappingObserver<P>>>,
}
