//! Filling a page before anyone can see it.
//!
//! New pages have unspecified contents, perhaps another program's data, so they enter the cache only
//! when all their bytes are meant.
use super::{Chunk, PAGE_BYTES};
use crate::node::Node;
use crate::{Page, Source, VfsResult};
use alloc::sync::Arc;
use serix_block::PAGE_SIZE;

/// Copies bytes between two pages.
fn copy_between<P: Page>(from: &P, to: &P, offset: usize, len: usize) {
    let mut buffer = [0; 256];
    let end = offset + len;
    let mut at = offset;
    while at < end {
        let part = (end - at).min(buffer.len());
        from.read(at, &mut buffer[..part]);
        to.write(at, &buffer[..part]);
        at += part;
    }
}

impl<P: Page> Node<P> {
    /// Whether a write of `part` leaves nothing of what the page had.
    pub(super) fn replaces_page(&self, size: u64, part: Chunk) -> bool {
        let start = part.index * PAGE_BYTES;
        start >= size
            || part.offset == 0 && start + part.len as u64 >= size
            || part.len == PAGE_SIZE
    }

    /// Writes `part` into a page that the cache does not have and whose old bytes go. Answers the
    /// number of bytes.
    pub(super) async fn write_fresh(
        self: &Arc<Self>,
        size: u64,
        part: Chunk,
        from: &mut dyn Source<P>,
    ) -> VfsResult<(usize, Option<P>)> {
        let cache = &self.volume().core.cache;
        let page = cache.allocate().await?;
        page.zero(0, part.offset);
        let copied = from.take_page(&page, part.offset, part.len);
        let end = part.offset + copied;
        page.zero(end, PAGE_SIZE - end);
        if copied == 0 {
            return Ok((0, None));
        }
        let is_short = copied < part.len && part.index * PAGE_BYTES < size;
        let present = if is_short && !self.mapping()?.is_resident() {
            // A fault on the way: behind the copied bytes the old ones stay.
            cache.page(self, part.index, 0).await?
        } else {
            self.mapping()?.insert(part.index, page.clone())?
        };
        if !present.same(&page) {
            copy_between(&page, &present, part.offset, copied);
        }
        Ok((copied, Some(present)))
    }
}
