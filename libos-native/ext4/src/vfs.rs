//! An ext4 file system as chroma wants it.
//!
//! A [`Volume`] hands out inodes that count as open while they live: chroma keeps an inode as long
//! as anything uses it, so what is unlinked stays until its last `Arc` is dropped. A drop cannot
//! wait; it queues the inode for [`FileSystem::reap`].
mod convert;
mod inode;

use crate::error::Result;
use crate::file_system::{Ext4, Options};
use crate::inode::Node;
use alloc::sync::Arc;
use alloc::vec::Vec;
use convert::error;
use core::sync::atomic::Ordering;
use inode::VolumeInode;
use serix_block::BlockDevice;
use serix_chroma::{FileSystem, Inode, Reply, Statistics};
use spin::Mutex;

/// What programs know ext2, ext3 and ext4 by.
const MAGIC: u64 = 0xef53;

/// A mounted file system as one of chroma's.
pub struct Volume<D: BlockDevice>(Arc<Shared<D>>);

/// What a volume and its inodes share.
struct Shared<D: BlockDevice> {
    fs: Arc<Ext4<D>>,
    /// Inodes that were let go of and may have no name.
    dropped: Mutex<Vec<Arc<Node>>>,
}

impl<D: BlockDevice> Volume<D> {
    /// Mounts the file system on a device.
    ///
    /// # Errors
    /// Those of [`Ext4::mount`].
    pub async fn mount(device: D, options: Options) -> Result<Self> {
        Ok(Self::new(Ext4::mount(device, options).await?))
    }

    /// A mounted file system as a volume.
    #[must_use]
    pub fn new(fs: Arc<Ext4<D>>) -> Self {
        Self(Arc::new(Shared { fs, dropped: Mutex::default() }))
    }

    /// The file system itself.
    #[must_use]
    pub fn file_system(&self) -> &Arc<Ext4<D>> {
        &self.0.fs
    }
}

impl<D: BlockDevice> Shared<D> {
    /// The inode of a number, open.
    async fn inode(self: &Arc<Self>, number: u32) -> Result<Arc<dyn Inode<D::Page>>> {
        let node = self.fs.open_node(number).await?;
        let kind = node.body.read().await.kind();
        // Counted from here on, so that it is let go of even if its kind is none.
        let inode = VolumeInode::new(self.clone(), node, kind);
        match kind {
            Some(_) => Ok(Arc::new(inode)),
            None => Err(crate::Error::corrupt_inode("inode mode", number)),
        }
    }

    async fn reap(&self) -> Result<()> {
        loop {
            let Some(node) = self.dropped.lock().pop() else { return Ok(()) };
            self.fs.reap_node(&node).await?;
        }
    }

    /// Lets go of a node.
    fn drop_node(&self, node: &Arc<Node>) {
        if !self.fs.release_node(node) {
            return;
        }
        // Only one that is locked just now, or has no name, needs a further look.
        let named = node.body.try_read().is_some_and(|body| body.links > 0);
        if !named && !self.fs.is_read_only() {
            self.dropped.lock().push(node.clone());
        }
    }
}

impl<D: BlockDevice> FileSystem<D::Page> for Volume<D> {
    fn type_name(&self) -> &str {
        "ext4"
    }

    fn root(&self) -> Reply<'_, Arc<dyn Inode<D::Page>>> {
        Reply::later(async { self.0.inode(self.0.fs.root()).await.map_err(error) })
    }

    fn statistics(&self) -> Reply<'_, Statistics> {
        let found = self.0.fs.statistics();
        Reply::done(Statistics {
            magic: MAGIC,
            block_size: found.block_size,
            blocks: found.blocks,
            blocks_free: found.blocks_free,
            blocks_available: found.blocks_available,
            inodes: found.inodes,
            inodes_free: found.inodes_free,
            name_max: found.name_max,
            id: found.id,
        })
    }

    fn sync(&self) -> Reply<'_, ()> {
        Reply::later(async {
            self.0.reap().await.map_err(error)?;
            self.0.fs.sync().await.map_err(error)
        })
    }

    fn is_read_only(&self) -> bool {
        self.0.fs.is_read_only()
    }

    fn has_unsynced(&self) -> bool {
        let fs = &self.0.fs;
        !fs.is_read_only() && (fs.has_unsynced() || !self.0.dropped.lock().is_empty())
    }

    fn reap(&self) -> Reply<'_, ()> {
        if self.0.dropped.lock().is_empty() {
            return Reply::done(());
        }
        Reply::later(async { self.0.reap().await.map_err(error) })
    }

    fn unmount(&self) -> Reply<'_, ()> {
        Reply::later(async {
            self.0.reap().await.map_err(error)?;
            self.0.fs.shut_down().await.map_err(error)
        })
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// The node of an inode, opened.
    async fn open_node(&self, number: u32) -> Result<Arc<Node>> {
        let node = self.any_node(number).await?;
        let body = node.body.read().await;
        if body.links == 0 && node.opens.load(Ordering::Acquire) == 0 {
            return Err(crate::Error::Stale);
        }
        node.opens.fetch_add(1, Ordering::AcqRel);
        drop(body);
        Ok(node)
    }
}
