//! Open file descriptions.
//!
//! A [`File`] has a position, flags and the right to read or write that was checked when it was
//! opened. Operations that move the position hold its sleeping lock, so that two of them do not
//! read the same bytes.
mod directory;
mod transfer;

use crate::mount::Location;
use crate::node::Node;
use crate::sync::SleepLock;
use crate::vfs::OpenFlags;
use crate::{
    AllocateMode, ArgumentMemory, Events, Extent, FileKind, Inode, Page, Reply, VfsError, VfsResult,
};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

/// Flags that can change while a description is open.
const CHANGEABLE: OpenFlags = OpenFlags::APPEND.union(OpenFlags::NON_BLOCKING);

/// Where to seek.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// To this offset.
    Start(u64),
    /// So far from the present position.
    Current(i64),
    /// So far from the end.
    End(i64),
    /// To the next such extent from this offset on.
    Extent(u64, Extent),
}

/// An open file description.
pub struct File<P: Page> {
    at: Location<P>,
    flags: AtomicU32,
    position: AtomicU64,
    /// Held by operations that move the position.
    moving: SleepLock,
    /// Takes reads, writes, polls and control requests instead of pages.
    direct: Option<Arc<dyn Inode<P>>>,
    is_privileged: bool,
    /// The offset behind the last read: a read that begins there is sequential.
    read_end: AtomicU64,
}

impl<P: Page> File<P> {
    pub(crate) fn new(
        at: Location<P>,
        flags: OpenFlags,
        direct: Option<Arc<dyn Inode<P>>>,
        is_privileged: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            at,
            flags: AtomicU32::new(flags.bits()),
            position: AtomicU64::new(0),
            moving: SleepLock::new(),
            direct,
            is_privileged,
            read_end: AtomicU64::new(0),
        })
    }

    /// Where it was found.
    pub fn location(&self) -> &Location<P> {
        &self.at
    }

    /// The inode.
    pub fn node(&self) -> &Arc<Node<P>> {
        &self.at.node
    }

    /// The device, or the generated file, behind this description.
    pub fn direct(&self) -> Option<&Arc<dyn Inode<P>>> {
        self.direct.as_ref()
    }

    /// How it was opened, with later changes.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Sets `APPEND` and `NON_BLOCKING` to what `flags` says.
    pub fn set_flags(&self, flags: OpenFlags) {
        let kept = self.flags() - CHANGEABLE;
        let flags = kept | flags & CHANGEABLE;
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// The position.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    fn check(&self, wanted: OpenFlags) -> VfsResult<()> {
        let flags = self.flags();
        if flags.contains(wanted) && !flags.contains(OpenFlags::PATH) {
            Ok(())
        } else {
            Err(VfsError::BadDescriptor)
        }
    }

    fn is_seekable(&self) -> bool {
        match (&self.direct, self.node().kind()) {
            (Some(direct), _) => direct.is_seekable(),
            (None, kind) => !matches!(kind, FileKind::Fifo | FileKind::Socket),
        }
    }

    /// Moves the position and answers the new one.
    ///
    /// # Errors
    /// `NotSeekable`; `Invalid` before the start; `NoDevice` where there is no such extent.
    pub async fn seek(&self, to: Seek) -> VfsResult<u64> {
        if self.flags().contains(OpenFlags::PATH) {
            return Err(VfsError::BadDescriptor);
        }
        if !self.is_seekable() {
            return Err(VfsError::NotSeekable);
        }
        let _guard = self.moving.lock().await;
        let position = match to {
            Seek::Start(offset) => offset,
            Seek::Current(by) => offset_from(self.position(), by)?,
            Seek::End(by) => offset_from(self.end().await?, by)?,
            Seek::Extent(offset, extent) => self.node().seek_extent(offset, extent).await?,
        };
        if position > i64::MAX as u64 {
            return Err(VfsError::Invalid);
        }
        self.position.store(position, Ordering::Relaxed);
        Ok(position)
    }

    async fn end(&self) -> VfsResult<u64> {
        if let Some(direct) = &self.direct {
            return Ok(direct.metadata().await?.size);
        }
        match self.node().mapping() {
            Ok(mapping) => Ok(mapping.size()),
            Err(_) => Ok(self.node().metadata().await?.size),
        }
    }

    /// Sets the size of a regular file.
    ///
    /// # Errors
    /// `Invalid` if it is not open for writing or no regular file, and those of the file system.
    pub async fn truncate(&self, size: u64) -> VfsResult<()> {
        self.check(OpenFlags::WRITE).map_err(|_| VfsError::Invalid)?;
        if self.direct.is_some() {
            return Err(VfsError::Invalid);
        }
        self.node().resize(size, self.is_privileged).await
    }

    /// Reserves, frees or zeroes a range of bytes.
    ///
    /// # Errors
    /// `BadDescriptor` if it is not open for writing, `NoDevice` if it is no regular file, and
    /// those of the file system.
    pub async fn allocate(&self, mode: AllocateMode, offset: u64, len: u64) -> VfsResult<()> {
        self.check(OpenFlags::WRITE)?;
        if self.direct.is_some() {
            return Err(VfsError::NoDevice);
        }
        self.node().allocate(mode, offset, len).await
    }

    /// Makes what was written durable; with `data_only` no more metadata than reading it needs.
    ///
    /// # Errors
    /// `Invalid` for what cannot be synced, and those of the file system.
    pub async fn sync(&self, data_only: bool) -> VfsResult<()> {
        if self.flags().contains(OpenFlags::PATH) {
            return Err(VfsError::BadDescriptor);
        }
        match self.node().kind() {
            FileKind::Regular | FileKind::Directory | FileKind::BlockDevice => {}
            _ => return Err(VfsError::Invalid),
        }
        let cache = &self.node().volume().core.cache;
        cache.flush(self.node(), 0..u64::MAX).await?;
        let inode = self.direct.as_ref().unwrap_or(self.node().inode());
        inode.sync(data_only).await
    }

    /// Writes back the dirty pages that hold bytes from `offset` to `end`, without making them
    /// durable; for `msync` and `sync_file_range`.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn write_back(&self, offset: u64, end: u64) -> VfsResult<()> {
        let page = serix_block::PAGE_SIZE as u64;
        let cache = &self.node().volume().core.cache;
        cache.flush(self.node(), offset / page..end.div_ceil(page)).await
    }

    /// The page at `index` for a program's mapping, shared with the cache for as long as the libOS
    /// or a program holds it. The libOS keeps the description as long as the mapping.
    ///
    /// A page for writing counts as dirty while anybody holds it: each write-back stores it again.
    pub fn map_page(&self, index: u64, for_writing: bool) -> Reply<'_, P> {
        let cached = match self.node().mapping() {
            Ok(mapping) if !for_writing => mapping.cached_within(index),
            Ok(_) => None,
            Err(_) => return Reply::fail(VfsError::NoDevice),
        };
        match cached {
            Some(page) => {
                self.node().set_mapped();
                Reply::done(page)
            }
            None => Reply::later(self.node().map_page(index, for_writing)),
        }
    }

    /// Which of `interest` hold now; with a waker, it is woken when that may have changed.
    pub fn poll(&self, interest: Events, waker: Option<&Waker>) -> Events {
        match &self.direct {
            Some(direct) => direct.poll(interest, waker),
            None => interest & (Events::IN | Events::OUT),
        }
    }

    /// A control request to the device.
    pub fn control<'a>(
        &'a self,
        request: u32,
        argument: u64,
        memory: &'a mut dyn ArgumentMemory,
    ) -> Reply<'a, i64> {
        match &self.direct {
            Some(direct) if !self.flags().contains(OpenFlags::PATH) => {
                direct.control(request, argument, memory)
            }
            Some(_) => Reply::fail(VfsError::BadDescriptor),
            None => Reply::fail(VfsError::NotTerminal),
        }
    }
}

impl<P: Page> Drop for File<P> {
    fn drop(&mut self) {
        self.at.node.discard_if_unused();
    }
}

fn offset_from(start: u64, by: i64) -> VfsResult<u64> {
    start.checked_add_signed(by).ok_or(VfsError::Invalid)
}
