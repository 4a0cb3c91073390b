//! Reading through the cache.
use super::{PAGE_BYTES, chunk};
use crate::cache::Mapping;
use crate::node::Node;
use crate::user::transferred;
use crate::{Destination, Page, Reply, VfsResult};
use alloc::sync::Arc;

/// How far a read came.
struct Progress {
    done: usize,
    wanted: usize,
    is_fault: bool,
}

impl Progress {
    fn is_over(&self) -> bool {
        self.is_fault || self.done == self.wanted
    }

    fn result(&self) -> VfsResult<usize> {
        transferred(self.done, self.wanted)
    }
}

impl<P: Page> Node<P> {
    /// Reads what lies in one cached page and within the file; `None` if it does not.
    #[inline]
    pub(crate) fn read_page<D: Destination<P>>(
        &self,
        offset: u64,
        into: &mut D,
    ) -> Option<VfsResult<usize>> {
        let mapping = self.mapping().ok()?;
        let wanted = into.remaining();
        let part = super::in_page(mapping.size(), offset, wanted)?;
        let copied = into.put_page(&mapping.cached(part.index)?, part.offset, wanted);
        Some(transferred(copied, wanted))
    }

    /// Reads at `offset`; ready if all pages are cached. `ahead` more pages may be read from the
    /// file system behind those asked for.
    pub(crate) fn read_at<'a>(
        self: &'a Arc<Self>,
        offset: u64,
        into: &'a mut dyn Destination<P>,
        ahead: u64,
    ) -> Reply<'a, usize> {
        let mapping = match self.mapping() {
            Ok(mapping) => mapping,
            Err(error) => return Reply::fail(error),
        };
        let left = mapping.size().saturating_sub(offset);
        let mut progress = Progress {
            done: 0,
            wanted: into.remaining().min(usize::try_from(left).unwrap_or(usize::MAX)),
            is_fault: false,
        };
        copy_cached(mapping, offset, into, &mut progress);
        if progress.is_over() {
            return Reply::Ready(progress.result());
        }
        Reply::later(self.read_rest(offset, into, ahead, progress))
    }

    async fn read_rest(
        self: &Arc<Self>,
        offset: u64,
        into: &mut dyn Destination<P>,
        ahead: u64,
        mut progress: Progress,
    ) -> VfsResult<usize> {
        let mapping = self.mapping()?;
        while !progress.is_over() {
            let position = offset + progress.done as u64;
            let last = (offset + progress.wanted as u64 - 1) / PAGE_BYTES;
            let part = chunk(position, progress.wanted - progress.done);
            let cache = &self.volume().core.cache;
            match cache.page(self, part.index, last - part.index + ahead).await {
                Ok(page) => copy_page(&page, part, into, &mut progress),
                // The file became shorter meanwhile, or fails behind what was read.
                Err(_) if progress.done > 0 => break,
                Err(crate::VfsError::NoDevice) => return Ok(0),
                Err(error) => return Err(error),
            }
            copy_cached(mapping, offset, into, &mut progress);
        }
        progress.result()
    }
}

fn copy_page<P: Page>(
    page: &P,
    part: super::Chunk,
    into: &mut dyn Destination<P>,
    progress: &mut Progress,
) {
    let copied = into.put_page(page, part.offset, part.len);
    progress.done += copied;
    progress.is_fault = copied < part.len;
}

/// Copies until a page is not cached. What resident pages lack is a hole.
fn copy_cached<P: Page>(
    mapping: &Mapping<P>,
    offset: u64,
    into: &mut dyn Destination<P>,
    progress: &mut Progress,
) {
    while !progress.is_over() {
        let position = offset + progress.done as u64;
        let part = chunk(position, progress.wanted - progress.done);
        match mapping.cached(part.index) {
            Some(page) => copy_page(&page, part, into, progress),
            None if mapping.is_resident() => {
                let copied = into.put_zeroes(part.len);
                progress.done += copied;
                progress.is_fault = copied < part.len;
            }
            None => return,
        }
    }
}
