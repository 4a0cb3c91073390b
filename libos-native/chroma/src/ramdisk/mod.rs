//! A file system that lives in memory.
//!
//! File data is in resident mappings, so the page cache reads and writes it without asking. Pages
//! and inodes are bounded; every name counts as an inode, and extended attributes count as pages.
mod directory;
mod inode;

use crate::cache::Quota;
use crate::{
    Clock, DeviceNumber, FileKind, FileSystem, Inode, Mapping, NewInode, Owner, Page, Reply,
    Statistics, VfsResult,
};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use inode::RamInode;
use serix_block::PAGE_SIZE;

/// The number by which Linux programs know a file system in memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Bounds of a RAM disk.
#[derive(Clone, Copy, Debug)]
pub struct RamDiskLimits {
    /// Pages of data.
    pub pages: u64,
    /// Names and inodes.
    pub inodes: u64,
}

/// What all inodes of a RAM disk share.
struct Shared {
    pages: Arc<Quota>,
    inodes: Arc<Quota>,
    clock: Arc<dyn Clock>,
    seed: u64,
    next_ino: AtomicU64,
}

impl Shared {
    fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }
}

/// A file system that lives in memory.
pub struct RamDisk<P: Page> {
    shared: Arc<Shared>,
    root: Arc<RamInode<P>>,
}

impl<P: Page> RamDisk<P> {
    /// An empty RAM disk whose root has these permission bits. `seed` is a random number.
    ///
    /// # Errors
    /// `NoSpace` if the limits do not allow a root directory.
    pub fn new(
        limits: RamDiskLimits,
        mode: u32,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> VfsResult<Arc<Self>> {
        let shared = Arc::new(Shared {
            pages: Quota::new(limits.pages),
            inodes: Quota::new(limits.inodes),
            clock,
            seed,
            next_ino: AtomicU64::new(1),
        });
        let new = NewInode {
            kind: FileKind::Directory,
            mode,
            owner: Owner::default(),
            device: DeviceNumber::default(),
        };
        let root = RamInode::new(&shared, new, None)?;
        Ok(Arc::new(Self { shared, root }))
    }
}

impl<P: Page> FileSystem<P> for RamDisk<P> {
    fn type_name(&self) -> &str {
        "tmpfs"
    }

    fn root(&self) -> Reply<'_, Arc<dyn Inode<P>>> {
        Reply::done(self.root.clone())
    }

    fn statistics(&self) -> Reply<'_, Statistics> {
        let (pages, inodes) = (&self.shared.pages, &self.shared.inodes);
        let pages_free = pages.limit().saturating_sub(pages.used());
        Reply::done(Statistics {
            magic: TMPFS_MAGIC,
            block_size: PAGE_SIZE as u32,
            blocks: pages.limit(),
            blocks_free: pages_free,
            blocks_available: pages_free,
            inodes: inodes.limit(),
            inodes_free: inodes.limit().saturating_sub(inodes.used()),
            name_max: crate::NAME_MAX as u32,
            id: 0,
        })
    }

    fn sync(&self) -> Reply<'_, ()> {
        Reply::done(())
    }
}
