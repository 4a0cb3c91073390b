//! Removing names, and inodes with their last name.
use super::{check_directory, check_name};
use crate::directory::Located;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::layout::inode::{FileKind, Inode};
use crate::map::STEP_CREDITS;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use serix_block::BlockDevice;

/// Blocks that removing a name, and a small inode with it, may change.
pub(super) const REMOVE_CREDITS: usize = 2 * STEP_CREDITS + 16;

impl<D: BlockDevice> Ext4<D> {
    /// Removes the name of something that is no directory. The inode goes with its last name,
    /// or when it is released for the last time.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, `ReadOnly`, `Io`.
    pub async fn unlink(&self, directory: u32, name: &[u8]) -> Result<()> {
        self.remove_name(directory, name, false).await
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `NotEmpty`, `ReadOnly`, `Io`.
    pub async fn rmdir(&self, directory: u32, name: &[u8]) -> Result<()> {
        self.remove_name(directory, name, true).await
    }

    async fn remove_name(&self, directory: u32, name: &[u8], is_directory: bool) -> Result<()> {
        check_name(name)?;
        self.check_writable()?;
        let parent = self.node(directory).await?;
        let mut parent_body = parent.body.write().await;
        check_directory(&parent_body)?;
        let entry = self.find_entry(&parent_body, name).await?.ok_or(Error::NotFound)?;
        let node = self.child(directory, &entry).await?;
        let mut body = node.body.write().await;
        self.check_removable(&body, is_directory).await?;
        let handle = self.begin(REMOVE_CREDITS).await?;
        let outcome = async {
            self.remove_entry(&handle, &parent_body, &entry);
            if is_directory {
                parent_body.links = uncount(parent_body.links);
            }
            self.stamp_directory(&handle, &parent, &mut parent_body).await?;
            self.drop_link(&handle, &node, &mut body).await
        }
        .await;
        let is_gone = handle.finish(outcome)?;
        drop(parent_body);
        drop(body);
        if is_gone { Ok(()) } else { self.reap_node(&node).await }
    }

    /// The node that an entry names; a directory never names itself.
    pub(super) async fn child(&self, directory: u32, entry: &Located) -> Result<Arc<Node>> {
        if entry.inode == directory {
            return Err(Error::corrupt_inode("directory names itself", directory));
        }
        match self.node(self.check_named(entry.inode)?).await {
            Err(Error::Stale) => {
                Err(Error::corrupt_inode("entry names an unused inode", entry.inode))
            }
            other => other,
        }
    }

    /// Fails if an inode is of the wrong kind, or a directory with entries.
    pub(super) async fn check_removable(&self, body: &Inode, is_directory: bool) -> Result<()> {
        match (body.is(FileKind::Directory), is_directory) {
            (true, false) => Err(Error::IsDirectory),
            (false, true) => Err(Error::NotDirectory),
            (true, true) if !self.is_empty(body).await? => Err(Error::NotEmpty),
            _ => Ok(()),
        }
    }

    /// Takes a name off an inode; without names it is deleted or becomes an orphan. Answers
    /// whether nothing is left to do.
    pub(super) async fn drop_link(
        &self,
        handle: &Handle<'_, D>,
        node: &Arc<Node>,
        body: &mut Inode,
    ) -> Result<bool> {
        let is_directory = body.is(FileKind::Directory);
        body.links = if is_directory { 0 } else { body.links.saturating_sub(1) };
        body.changed = self.now();
        node.note_change(handle.transaction(), true);
        if body.links > 0 {
            self.store(handle, body).await?;
            return Ok(true);
        }
        // Its blocks and its number go in the same transaction, if that has room.
        if node.opens.load(Ordering::Acquire) == 0 && self.is_simply_mapped(body) {
            self.release_reservation(node, 0);
            return self.delete_step(handle, body).await;
        }
        self.add_orphan(handle, body.number).await?;
        self.store(handle, body).await?;
        Ok(node.opens.load(Ordering::Acquire) > 0)
    }
}

/// The links of a directory after one in it is gone; 1 stands for "many" and stays.
pub(super) fn uncount(links: u16) -> u16 {
    if links > 2 { links - 1 } else { links }
}
