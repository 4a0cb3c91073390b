//! Writing through the cache.
use super::{Chunk, PAGE_BYTES, SIZE_MAX, chunk};
use crate::cache::Mapping;
use crate::node::Node;
use crate::sync::SleepGuard;
use crate::user::transferred;
use crate::vfs::loses_set_ids;
use crate::{Page, Reply, Source, VfsError, VfsResult};
use alloc::sync::Arc;

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteAt {
    /// To this offset.
    Offset(u64),
    /// To the end, wherever that is when the write comes to it.
    End,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) count: usize,
    /// The offset right behind it.
    pub(crate) end: u64,
}

struct Progress {
    offset: u64,
    done: usize,
    wanted: usize,
    is_fault: bool,
}

impl Progress {
    fn start<P: Page>(mapping: &Mapping<P>, at: WriteAt, from: &dyn Source<P>) -> VfsResult<Self> {
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => mapping.size(),
        };
        let room = SIZE_MAX.saturating_sub(offset);
        let wanted = from.remaining().min(usize::try_from(room).unwrap_or(usize::MAX));
        if wanted == 0 && from.remaining() > 0 {
            return Err(VfsError::FileTooLarge);
        }
        Ok(Self { offset, done: 0, wanted, is_fault: false })
    }

    fn is_over(&self) -> bool {
        self.is_fault || self.done == self.wanted
    }

    fn position(&self) -> u64 {
        self.offset + self.done as u64
    }

    fn next(&self) -> Chunk {
        chunk(self.position(), self.wanted - self.done)
    }

    fn advance(&mut self, copied: usize, part: Chunk) {
        self.done += copied;
        self.is_fault = copied < part.len;
    }

    fn result(&self) -> VfsResult<Written> {
        let count = transferred(self.done, self.wanted)?;
        Ok(Written { count, end: self.position() })
    }
}

impl<P: Page> Node<P> {
    /// Writes what lies in one page that is cached and dirty, and within the file; `None` if it does not, or another
    /// writer is at it.
    #[inline]
    pub(crate) fn write_page<S: Source<P>>(
        self: &Arc<Self>,
        offset: u64,
        from: &mut S,
        is_privileged: bool,
    ) -> Option<VfsResult<usize>> {
        let mapping = self.mapping().ok()?;
        if !is_privileged && loses_set_ids(self.mode()) {
            return None;
        }
        let wanted = from.remaining();
        let part = super::in_page(mapping.size(), offset, wanted)?;
        let _guard = self.changing.try_lock()?;
        let page = mapping.cached_dirty(part.index)?;
        let copied = from.take_page(&page, part.offset, wanted);
        if copied > 0 && !mapping.is_resident() && mapping.mark_dirty(part.index, false) {
            self.volume().core.cache.enlist(self);
        }
        self.note_write(mapping, copied);
        Some(transferred(copied, wanted))
    }

    /// Writes; ready if no other writer is at it and all pages are cached and dirty already.
    pub(crate) fn write_at<'a>(
        self: &'a Arc<Self>,
        at: WriteAt,
        from: &'a mut dyn Source<P>,
        is_privileged: bool,
    ) -> Reply<'a, Written> {
        let mapping = match self.mapping() {
            Ok(mapping) => mapping,
            Err(error) => return Reply::fail(error),
        };
        let is_plain = is_privileged || !loses_set_ids(self.mode());
        let Some(guard) = self.changing.try_lock().filter(|_| is_plain) else {
            return Reply::later(self.write_locked(None, at, None, from, is_privileged));
        };
        let mut progress = match Progress::start(mapping, at, from) {
            Ok(progress) => progress,
            Err(error) => return Reply::fail(error),
        };
        if progress.offset <= mapping.size() {
            self.copy_to_cached(mapping, from, &mut progress);
        }
        if progress.is_over() {
            self.note_write(mapping, progress.done);
            return Reply::Ready(progress.result());
        }
        Reply::later(self.write_locked(Some(guard), at, Some(progress), from, is_privileged))
    }

    async fn write_locked<'a>(
        self: &'a Arc<Self>,
        guard: Option<SleepGuard<'a>>,
        at: WriteAt,
        progress: Option<Progress>,
        from: &mut dyn Source<P>,
        is_privileged: bool,
    ) -> VfsResult<Written> {
        let guard = match guard {
            Some(guard) => guard,
            None => self.changing.lock().await,
        };
        let mapping = self.mapping()?;
        let mut progress = match progress {
            Some(progress) => progress,
            None => Progress::start(mapping, at, from)?,
        };
        if progress.wanted > 0 {
            self.drop_set_ids(is_privileged).await?;
        }
        let result = self.write_rest(mapping, from, &mut progress).await;
        self.note_write(mapping, progress.done);
        // An error behind what was written waits for the next call, as POSIX has it.
        let result = match result {
            Err(error) if progress.done == 0 => return Err(error),
            _ => progress.result(),
        };
        drop(guard);
        self.volume().core.cache.throttle(self).await?;
        result
    }

    async fn write_rest(
        self: &Arc<Self>,
        mapping: &Arc<Mapping<P>>,
        from: &mut dyn Source<P>,
        progress: &mut Progress,
    ) -> VfsResult<()> {
        if progress.wanted > progress.done && progress.offset > mapping.size() {
            self.grow_to(mapping, progress.offset).await?;
        }
        while !progress.is_over() {
            let part = progress.next();
            let last = (progress.offset + progress.wanted as u64 - 1) / PAGE_BYTES;
            if mapping.cached_dirty(part.index).is_none() {
                let batch = (last - part.index + 1).min(256);
                self.inode().prepare_write(part.index, batch).await?;
            }
            self.write_chunk(mapping, part, from, progress).await?;
            self.copy_to_cached(mapping, from, progress);
        }
        Ok(())
    }

    /// Writes one chunk to a page whose space is reserved.
    async fn write_chunk(
        self: &Arc<Self>,
        mapping: &Arc<Mapping<P>>,
        part: Chunk,
        from: &mut dyn Source<P>,
        progress: &mut Progress,
    ) -> VfsResult<()> {
        let size = mapping.size();
        let cached = mapping.cached(part.index);
        if cached.is_none() && (mapping.is_resident() || self.replaces_page(size, part)) {
            let (copied, page) = self.write_fresh(size, part, from).await?;
            if page.is_some() {
                self.took(mapping, part, copied, progress);
            }
            progress.advance(copied, part);
            return Ok(());
        }
        let page = match cached {
            Some(page) => page,
            None => self.volume().core.cache.page(self, part.index, 0).await?,
        };
        let copied = from.take_page(&page, part.offset, part.len);
        self.took(mapping, part, copied, progress);
        progress.advance(copied, part);
        Ok(())
    }

    /// Copies until a page is not there or its space is not known to be reserved.
    fn copy_to_cached(
        self: &Arc<Self>,
        mapping: &Mapping<P>,
        from: &mut dyn Source<P>,
        progress: &mut Progress,
    ) {
        while !progress.is_over() {
            let part = progress.next();
            let Some(page) = mapping.cached_dirty(part.index) else {
                return;
            };
            let copied = from.take_page(&page, part.offset, part.len);
            self.took(mapping, part, copied, progress);
            progress.advance(copied, part);
        }
    }

    /// After bytes came into a page that is held: first the size, then the dirty mark, because
    /// write-back tells the file system the size along with dirty pages only.
    fn took(
        self: &Arc<Self>,
        mapping: &Mapping<P>,
        part: Chunk,
        copied: usize,
        progress: &Progress,
    ) {
        if copied > 0 {
            mapping.grow(progress.position() + copied as u64);
            if mapping.mark_dirty(part.index, false) {
                self.volume().core.cache.enlist(self);
            }
        }
    }

    /// Remembers that and when there is something to write back.
    #[inline]
    fn note_write(self: &Arc<Self>, mapping: &Mapping<P>, count: usize) {
        if count > 0 {
            mapping.touch(self.volume().core.clock.now_ns());
            if !mapping.is_resident() && !self.is_listed() {
                self.volume().core.cache.enlist(self);
            }
        }
    }
}
