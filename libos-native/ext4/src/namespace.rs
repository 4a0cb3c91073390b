//! Names: looking up, making and removing inodes and their entries.
//!
//! Inode locks are taken downwards, a directory before what it names; only a rename takes
//! directories sideways, one rename between directories at a time.
mod create;
mod remove;
mod rename;

pub use create::NewInode;
pub use rename::RenameFlags;

use crate::directory::DirectoryEntry;
use crate::error::{Error, Result};
use crate::file::is_fast_link;
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::kind::Kind;
use crate::layout::directory::NAME_MAX;
use crate::layout::inode::{FileKind, Inode, ROOT};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use serix_block::BlockDevice;

/// Links of a directory beyond which they are not counted any more.
const LINK_MAX: u16 = 65_000;

/// Fails for what can be no name of a new entry.
fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    if name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|byte| b"/\0".contains(byte))
    {
        return Err(Error::Invalid);
    }
    Ok(())
}

/// Fails for what is no directory, or one that is removed.
fn check_directory(body: &Inode) -> Result<()> {
    match body.kind() {
        Some(FileKind::Directory) if body.links == 0 => Err(Error::NotFound),
        Some(FileKind::Directory) => Ok(()),
        _ => Err(Error::NotDirectory),
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// The root directory's inode number.
    #[must_use]
    pub fn root(&self) -> u32 {
        ROOT
    }

    /// The inode that a name in a directory names.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `NameTooLong`, `Io`, `Corrupt`.
    pub async fn lookup(&self, directory: u32, name: &[u8]) -> Result<u32> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let node = self.node(directory).await?;
        let body = node.body.read().await;
        check_directory(&body)?;
        match self.find_entry(&body, name).await? {
            Some(entry) => self.check_named(entry.inode),
            None => Err(Error::NotFound),
        }
    }

    /// Fails for an inode that no entry may name: the journal's and its like.
    fn check_named(&self, number: u32) -> Result<u32> {
        let is_reserved = number < self.rules.superblock.first_inode && number != ROOT;
        if is_reserved {
            Err(Error::corrupt_inode("reserved inode with a name", number))
        } else {
            Ok(number)
        }
    }

    /// Some entries of a directory from `cookie` on, 0 being the start, without `.` and `..`; none
    /// at the end. What is neither made nor removed meanwhile is listed exactly once.
    ///
    /// # Errors
    /// `NotDirectory`, `Io`, `Corrupt`.
    pub async fn read_dir(&self, directory: u32, cookie: u64) -> Result<Vec<DirectoryEntry>> {
        let node = self.node(directory).await?;
        let body = node.body.read().await;
        if !body.is(FileKind::Directory) {
            return Err(Error::NotDirectory);
        }
        let mut cookie = cookie;
        while let Some(batch) = self.list(&body, cookie).await? {
            if !batch.entries.is_empty() {
                return Ok(batch.entries);
            }
            cookie = batch.next;
        }
        Ok(Vec::new())
    }

    /// The directory that `..` names.
    ///
    /// # Errors
    /// `NotDirectory`, `Io`, `Corrupt`.
    pub async fn parent(&self, directory: u32) -> Result<u32> {
        let node = self.node(directory).await?;
        let body = node.body.read().await;
        check_directory(&body)?;
        self.parent_of(&body).await
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Invalid` for what is no link.
    pub async fn readlink(&self, number: u32) -> Result<Vec<u8>> {
        let node = self.node(number).await?;
        let body = node.body.read().await;
        if !body.is(FileKind::Symlink) {
            return Err(Error::Invalid);
        }
        let len = body.size as usize;
        if is_fast_link(&body) {
            return Ok(body.map.0[..len].to_vec());
        }
        let block = self.map_block(&body, 0).await?;
        let buffer = self.buffer(block, Kind::Plain).await?;
        Ok(buffer.read(|bytes| bytes[..len].to_vec()))
    }

    /// Keeps an inode while it is in use, even without names. Each call wants a [`Self::release`].
    ///
    /// # Errors
    /// `Stale` if it is gone already.
    pub async fn open(&self, number: u32) -> Result<()> {
        let node = self.any_node(number).await?;
        let body = node.body.read().await;
        if body.links == 0 && node.opens.load(Ordering::Acquire) == 0 {
            return Err(Error::Stale);
        }
        node.opens.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Ends one use of an inode; at the last one an inode without names is deleted.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `ReadOnly` from deleting; the inode then stays an orphan, which a later
    /// mount deletes.
    pub async fn release(&self, number: u32) -> Result<()> {
        let Some(node) = self.nodes.find(number) else { return Err(Error::Stale) };
        if self.release_node(&node) { self.reap_node(&node).await } else { Ok(()) }
    }

    /// The part of a release that does not wait: whether it was the last.
    pub(crate) fn release_node(&self, node: &Node) -> bool {
        let last = node.opens.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.release_reservation(node, 0);
        }
        last
    }

    /// Deletes an inode if it has neither names nor users.
    pub(crate) async fn reap_node(&self, node: &Arc<Node>) -> Result<()> {
        let mut body = node.body.write().await;
        let unused = body.links == 0 && node.opens.load(Ordering::Acquire) == 0;
        let known = self.nodes.find(node.number).is_some_and(|known| Arc::ptr_eq(&known, node));
        if unused && known { self.delete(node, &mut body).await } else { Ok(()) }
    }
}
