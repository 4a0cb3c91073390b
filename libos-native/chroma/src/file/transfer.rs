//! Reads and writes of a description.
use super::File;
use crate::data::WriteAt;
use crate::vfs::OpenFlags;
use crate::{Destination, Page, Reply, Source, VfsError, VfsResult};
use core::sync::atomic::Ordering;
use serix_block::PAGE_SIZE;

/// Pages that a sequential read asks for beyond its own; the cache has a bound of its own.
const READ_AHEAD: u64 = 64;

impl<P: Page> File<P> {
    /// Reads at the position and moves it.
    pub fn read<'a>(&'a self, into: &'a mut dyn Destination<P>) -> Reply<'a, usize> {
        if !self.is_seekable() {
            return self.pread_unchecked(0, into);
        }
        let Some(guard) = self.moving.try_lock() else {
            return Reply::later(async move {
                let _guard = self.moving.lock().await;
                let count = self.pread_unchecked(self.position(), into).await?;
                self.advance(count);
                Ok(count)
            });
        };
        match self.pread_unchecked(self.position(), into) {
            Reply::Ready(count) => {
                if let Ok(count) = count {
                    self.advance(count);
                }
                Reply::Ready(count)
            }
            later => Reply::later(async move {
                let count = later.await?;
                self.advance(count);
                drop(guard);
                Ok(count)
            }),
        }
    }

    /// Reads at `offset`; the position stays.
    pub fn pread<'a>(&'a self, offset: u64, into: &'a mut dyn Destination<P>) -> Reply<'a, usize> {
        if !self.is_seekable() {
            return Reply::fail(VfsError::NotSeekable);
        }
        if offset > i64::MAX as u64 {
            return Reply::fail(VfsError::Invalid);
        }
        self.pread_unchecked(offset, into)
    }

    /// As [`Self::pread`] if what is read lies in one page of the cache; `None` if it does not.
    #[inline]
    pub fn pread_now<D: Destination<P>>(
        &self,
        offset: u64,
        into: &mut D,
    ) -> Option<VfsResult<usize>> {
        if self.direct.is_some() || !self.flags().contains(OpenFlags::READ) {
            return None;
        }
        let end = offset.wrapping_add(into.remaining() as u64);
        let count = self.node().read_page(offset, into)?;
        self.read_end.store(end, Ordering::Relaxed);
        Some(count)
    }

    /// As [`Self::pwrite`] if what is written lies in one page of the cache that is to be written back anyway, and
    /// within the file; `None` if it does not.
    #[inline]
    pub fn pwrite_now<S: Source<P>>(&self, offset: u64, from: &mut S) -> Option<VfsResult<usize>> {
        const OTHERS: OpenFlags = OpenFlags::APPEND
            .union(OpenFlags::SYNC)
            .union(OpenFlags::DATA_SYNC)
            .union(OpenFlags::PATH);
        let flags = self.flags();
        if self.direct.is_some() || !flags.contains(OpenFlags::WRITE) || flags.intersects(OTHERS) {
            return None;
        }
        self.node().write_page(offset, from, self.is_privileged)
    }

    fn pread_unchecked<'a>(
        &'a self,
        offset: u64,
        into: &'a mut dyn Destination<P>,
    ) -> Reply<'a, usize> {
        if let Err(error) = self.check(OpenFlags::READ) {
            return Reply::fail(error);
        }
        if let Some(direct) = &self.direct {
            return direct.read(offset, into, self.flags().intent());
        }
        let end = offset.saturating_add(into.remaining() as u64);
        let before = self.read_end.swap(end, Ordering::Relaxed);
        // Within a page of where the last read ended: a file read from start to end.
        let is_sequential = offset.abs_diff(before) <= PAGE_SIZE as u64;
        let ahead = if is_sequential { READ_AHEAD } else { 0 };
        self.node().read_at(offset, into, ahead)
    }

    /// Writes at the position and moves it, or at the end with `APPEND`.
    pub fn write<'a>(&'a self, from: &'a mut dyn Source<P>) -> Reply<'a, usize> {
        if !self.is_seekable() {
            return self.write_direct(0, from);
        }
        let Some(guard) = self.moving.try_lock() else {
            return Reply::later(async move {
                let _guard = self.moving.lock().await;
                self.write_moving(from).await
            });
        };
        match self.write_moving(from) {
            Reply::Ready(count) => Reply::Ready(count),
            later => Reply::later(async move {
                let count = later.await;
                drop(guard);
                count
            }),
        }
    }

    /// Writes with the position's lock held.
    fn write_moving<'a>(&'a self, from: &'a mut dyn Source<P>) -> Reply<'a, usize> {
        if self.direct.is_some() {
            return self
                .write_direct(self.position(), from)
                .map(|count| count.inspect(|count| self.advance(*count)));
        }
        let at = match self.flags().contains(OpenFlags::APPEND) {
            true => WriteAt::End,
            false => WriteAt::Offset(self.position()),
        };
        self.write_pages(at, from, true)
    }

    /// Writes at `offset`, or at the end with `APPEND`; the position stays.
    pub fn pwrite<'a>(&'a self, offset: u64, from: &'a mut dyn Source<P>) -> Reply<'a, usize> {
        if !self.is_seekable() {
            return Reply::fail(VfsError::NotSeekable);
        }
        if offset > i64::MAX as u64 {
            return Reply::fail(VfsError::Invalid);
        }
        if self.direct.is_some() {
            return self.write_direct(offset, from);
        }
        let at = match self.flags().contains(OpenFlags::APPEND) {
            true => WriteAt::End,
            false => WriteAt::Offset(offset),
        };
        self.write_pages(at, from, false)
    }

    fn write_direct<'a>(&'a self, offset: u64, from: &'a mut dyn Source<P>) -> Reply<'a, usize> {
        if let Err(error) = self.check(OpenFlags::WRITE) {
            return Reply::fail(error);
        }
        match &self.direct {
            Some(direct) => direct.write(offset, from, self.flags().intent()),
            None => Reply::fail(VfsError::Invalid),
        }
    }

    fn write_pages<'a>(
        &'a self,
        at: WriteAt,
        from: &'a mut dyn Source<P>,
        moves: bool,
    ) -> Reply<'a, usize> {
        if let Err(error) = self.check(OpenFlags::WRITE) {
            return Reply::fail(error);
        }
        let written = self.node().write_at(at, from, self.is_privileged);
        let is_synced = self.flags().intersects(OpenFlags::SYNC | OpenFlags::DATA_SYNC);
        match written {
            Reply::Ready(Ok(written)) if !is_synced => {
                self.settle(written.end, moves);
                Reply::done(written.count)
            }
            Reply::Ready(Err(error)) => Reply::fail(error),
            later => Reply::later(async move {
                let written = later.await?;
                if is_synced && written.count > 0 {
                    self.sync(!self.flags().contains(OpenFlags::SYNC)).await?;
                }
                self.settle(written.end, moves);
                Ok(written.count)
            }),
        }
    }

    fn settle(&self, end: u64, moves: bool) {
        if moves {
            self.position.store(end, Ordering::Relaxed);
        }
    }

    fn advance(&self, count: usize) {
        let position = self.position().saturating_add(count as u64);
        self.position.store(position, Ordering::Relaxed);
    }

    /// Reads all of `into` at `offset` unless the file ends before, for loading programs.
    ///
    /// # Errors
    /// As [`Self::pread`].
    pub async fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> VfsResult<usize> {
        let mut done = 0;
        while done < into.len() {
            let mut rest = &mut into[done..];
            let count = self.pread(offset + done as u64, &mut rest).await?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }
}
