//! Making and removing names.
use super::lookup::{EntryChange, mark_deleted};
use super::{Context, ResolveFlags, Vfs};
use crate::mount::Location;
use crate::node::Node;
use crate::path::{NAME_MAX, split_last};
use crate::{
    Access, Credentials, DeviceNumber, FileKind, NewInode, Owner, Page, VfsError, VfsResult,
};
use alloc::sync::Arc;

const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// A last component and the directory it is in.
pub(super) struct Parent<'a, P: Page> {
    pub(super) directory: Location<P>,
    pub(super) name: &'a [u8],
    pub(super) has_slash: bool,
}

impl<P: Page> Parent<'_, P> {
    pub(super) fn node(&self) -> &Arc<Node<P>> {
        &self.directory.node
    }

    /// Whether the last component names something that is there already and stays.
    pub(super) fn is_special(&self) -> bool {
        matches!(self.name, b"" | b"." | b"..")
    }

    /// Checks that entries may be made or removed here.
    pub(super) fn check_change(&self, credentials: &Credentials) -> VfsResult<()> {
        self.directory.mount.check_writable()?;
        self.node().check(credentials, Access::WRITE | Access::EXECUTE)
    }
}

/// What is made.
#[derive(Clone, Copy)]
pub(super) enum New<'a> {
    Inode(FileKind, u32, DeviceNumber),
    Symlink(&'a [u8]),
}

impl New<'_> {
    fn is_directory(&self) -> bool {
        matches!(self, Self::Inode(FileKind::Directory, ..))
    }
}

impl<P: Page> Vfs<P> {
    pub(super) async fn parent<'a>(
        &self,
        context: Context<'_, P>,
        path: &'a [u8],
    ) -> VfsResult<Parent<'a, P>> {
        let last = split_last(path)?;
        let directory = match last.parent {
            b"" => context.base.clone(),
            parent => self.locate(context, parent, ResolveFlags::DIRECTORY).await?,
        };
        if !directory.node.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        directory.node.check(context.credentials, Access::EXECUTE)?;
        if last.name.len() > NAME_MAX {
            return Err(VfsError::NameTooLong);
        }
        Ok(Parent { directory, name: last.name, has_slash: last.has_slash })
    }

    /// Makes a file, directory or special file. `mode` has the umask applied.
    ///
    /// # Errors
    /// `Exists`, and those of resolution, permission and the file system.
    pub async fn create(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        kind: FileKind,
        mode: u32,
        device: DeviceNumber,
    ) -> VfsResult<Location<P>> {
        let parent = self.parent(context, path).await?;
        let new = New::Inode(kind, mode, device);
        self.make(&parent, context.credentials, new).await
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn make_directory(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        mode: u32,
    ) -> VfsResult<Location<P>> {
        let device = DeviceNumber::default();
        self.create(context, path, FileKind::Directory, mode, device).await
    }

    /// Makes a symbolic link to `target`.
    ///
    /// # Errors
    /// As [`Self::create`]; `NotFound` for an empty target.
    pub async fn symlink(
        &self,
        context: Context<'_, P>,
        target: &[u8],
        path: &[u8],
    ) -> VfsResult<Location<P>> {
        crate::path::check(target)?;
        let parent = self.parent(context, path).await?;
        self.make(&parent, context.credentials, New::Symlink(target)).await
    }

    pub(super) async fn make(
        &self,
        parent: &Parent<'_, P>,
        credentials: &Credentials,
        new: New<'_>,
    ) -> VfsResult<Location<P>> {
        if parent.is_special() {
            return Err(VfsError::Exists);
        }
        let directory = parent.node();
        let guard = directory.changing.lock().await;
        if self.child(directory, parent.name).await?.is_some() {
            return Err(VfsError::Exists);
        }
        if parent.has_slash && !new.is_directory() || directory.has_no_name() {
            return Err(VfsError::NotFound);
        }
        parent.check_change(credentials)?;
        let owner = new_owner(directory, credentials);
        let mut change = EntryChange::begin(self, directory, parent.name, &guard);
        let made = match new {
            New::Symlink(target) => directory.inode().symlink(parent.name, target, owner),
            New::Inode(kind, mode, device) => {
                let inherited = directory.mode() & SET_GROUP_ID;
                let mode = mode & 0o7777 | if new.is_directory() { inherited } else { 0 };
                let new = NewInode { kind, mode, owner, device };
                directory.inode().create(parent.name, new)
            }
        };
        let node = directory.volume().node(made.await?).await?;
        change.settle(Some(&node));
        Ok(parent.directory.with_node(node))
    }

    /// Gives `existing`, which is no directory, a further name.
    ///
    /// # Errors
    /// `CrossDevice` if the name is on another mount, `Permission` for a directory, and those of
    /// [`Self::create`].
    pub async fn link(
        &self,
        existing: &Location<P>,
        context: Context<'_, P>,
        path: &[u8],
    ) -> VfsResult<()> {
        let parent = self.parent(context, path).await?;
        if parent.is_special() {
            return Err(VfsError::Exists);
        }
        let directory = parent.node();
        let guard = directory.changing.lock().await;
        if self.child(directory, parent.name).await?.is_some() {
            return Err(VfsError::Exists);
        }
        if parent.has_slash || directory.has_no_name() || existing.node.has_no_name() {
            return Err(VfsError::NotFound);
        }
        if !Arc::ptr_eq(&parent.directory.mount, &existing.mount) {
            return Err(VfsError::CrossDevice);
        }
        parent.check_change(context.credentials)?;
        if existing.node.is_directory() {
            return Err(VfsError::Permission);
        }
        let mut change = EntryChange::begin(self, directory, parent.name, &guard);
        let inode = existing.node.inode();
        directory.inode().link(parent.name, inode).await?;
        existing.node.set_many_names();
        change.settle(Some(&existing.node));
        Ok(())
    }

    /// Removes the name of something that is no directory.
    ///
    /// # Errors
    /// `IsDirectory`, and those of resolution, permission and the file system.
    pub async fn unlink(&self, context: Context<'_, P>, path: &[u8]) -> VfsResult<()> {
        let parent = self.parent(context, path).await?;
        if parent.is_special() {
            return Err(VfsError::IsDirectory);
        }
        let guard = parent.node().changing.lock().await;
        let node = self.removable(&parent, context.credentials).await?;
        if node.is_directory() {
            return Err(VfsError::IsDirectory);
        }
        if parent.has_slash {
            return Err(VfsError::NotDirectory);
        }
        let mut change = EntryChange::begin(self, parent.node(), parent.name, &guard);
        parent.node().inode().unlink(parent.name).await?;
        change.settle(None);
        mark_deleted(&node, parent.node(), parent.name);
        drop((change, guard));
        self.name_removed(node).await
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotDirectory`, `NotEmpty`, `Busy` for a mount point, and those of [`Self::unlink`].
    pub async fn remove_directory(&self, context: Context<'_, P>, path: &[u8]) -> VfsResult<()> {
        let parent = self.parent(context, path).await?;
        match parent.name {
            b"" => return Err(VfsError::Busy),
            b"." => return Err(VfsError::Invalid),
            b".." => return Err(VfsError::NotEmpty),
            _ => {}
        }
        let guard = parent.node().changing.lock().await;
        let node = self.removable(&parent, context.credentials).await?;
        if !node.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        // Nothing is made in it from here on, and afterwards it has no name.
        let _inner = node.changing.lock().await;
        let mut change = EntryChange::begin(self, parent.node(), parent.name, &guard);
        parent.node().inode().rmdir(parent.name).await?;
        change.settle(None);
        node.set_no_name(true);
        mark_deleted(&node, parent.node(), parent.name);
        Ok(())
    }

    /// The node of a name that the caller may remove.
    async fn removable(
        &self,
        parent: &Parent<'_, P>,
        credentials: &Credentials,
    ) -> VfsResult<Arc<Node<P>>> {
        let node = self.child(parent.node(), parent.name).await?;
        let node = node.ok_or(VfsError::NotFound)?;
        parent.check_change(credentials)?;
        check_sticky(parent.node(), &node, credentials)?;
        check_not_mounted(&node)?;
        Ok(node)
    }

    /// After a name of `node` went: if it was the last and nobody has it open, its data goes too.
    pub(super) async fn name_removed(&self, node: Arc<Node<P>>) -> VfsResult<()> {
        let links = node.inode().metadata().await?.links;
        let volume = node.volume().clone();
        if links == 0 {
            node.set_no_name(true);
            node.discard_if_unused();
        }
        drop(node);
        volume.reap().await
    }
}

/// In a sticky directory only owners remove names.
pub(super) fn check_sticky<P: Page>(
    directory: &Node<P>,
    node: &Node<P>,
    credentials: &Credentials,
) -> VfsResult<()> {
    let is_free = directory.mode() & STICKY == 0;
    if is_free || credentials.owns(node.owner().uid) || credentials.owns(directory.owner().uid) {
        Ok(())
    } else {
        Err(VfsError::Permission)
    }
}

pub(super) fn check_not_mounted<P: Page>(node: &Node<P>) -> VfsResult<()> {
    let count = node.mount_count.load(core::sync::atomic::Ordering::Relaxed);
    if count > 0 { Err(VfsError::Busy) } else { Ok(()) }
}

fn new_owner<P: Page>(directory: &Node<P>, credentials: &Credentials) -> Owner {
    let inherits = directory.mode() & SET_GROUP_ID != 0;
    Owner {
        uid: credentials.uid,
        gid: if inherits { directory.owner().gid } else { credentials.gid },
    }
}
