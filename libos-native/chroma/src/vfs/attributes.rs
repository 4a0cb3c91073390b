//! Metadata by place: status, permissions, times, size, extended attributes.
use super::{Context, Vfs};
use crate::mount::Location;
use crate::node::Node;
use crate::{
    Access, Credentials, FileKind, Metadata, MetadataChange, Owner, Page, Reply, Statistics,
    Timestamp, VfsError, VfsResult, XattrMode,
};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Set-user-id and set-group-id.
const SET_IDS: u32 = 0o6000;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 65536;

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// Leave it.
    Keep,
    /// The present.
    Now,
    /// This one, which only an owner may say.
    At(Timestamp),
}

/// The mode without the bits that lend somebody's rights, if it has any to lose. A set-group-id
/// bit without group execution means something else and stays.
pub(crate) fn without_set_ids(mode: u32) -> Option<u32> {
    let mut clear = mode & SET_USER_ID;
    if mode & GROUP_EXECUTE != 0 {
        clear |= mode & SET_GROUP_ID;
    }
    (clear != 0).then_some(mode & !clear)
}

impl<P: Page> Node<P> {
    /// Changes metadata other than the size, without asking who wants it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) async fn change(&self, change: MetadataChange) -> VfsResult<()> {
        self.inode().set_metadata(change).await?;
        let owner = self.owner();
        self.set_permissions(
            change.mode.unwrap_or(self.mode()),
            change.uid.unwrap_or(owner.uid),
            change.gid.unwrap_or(owner.gid),
        );
        Ok(())
    }
}

impl<P: Page> Vfs<P> {
    /// All metadata of a place. Ready where the file system has it in memory.
    pub fn status<'a>(&self, at: &'a Location<P>) -> Reply<'a, Metadata> {
        at.node.metadata()
    }

    /// Size and free space of the file system at a place.
    pub fn statistics<'a>(&self, at: &'a Location<P>) -> Reply<'a, Statistics> {
        at.node.volume().file_system().statistics()
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub async fn read_link(&self, at: &Location<P>) -> VfsResult<Vec<u8>> {
        if at.node.kind() != FileKind::Symlink {
            return Err(VfsError::Invalid);
        }
        super::walk::link_target(&at.node).await
    }

    /// Checks what `access` asks.
    ///
    /// # Errors
    /// `Access`, or `ReadOnly` for writing where nothing can be written.
    pub fn access(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        wanted: Access,
    ) -> VfsResult<()> {
        let is_stored = !at.node.kind().is_device()
            && !matches!(at.node.kind(), FileKind::Fifo | FileKind::Socket);
        if wanted.contains(Access::WRITE) && is_stored {
            at.mount.check_writable()?;
        }
        at.node.check(credentials, wanted)
    }

    /// Sets the low 12 mode bits.
    ///
    /// # Errors
    /// `Permission` to all but the owner, `NotSupported` for symbolic links.
    pub async fn set_mode(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        mode: u32,
    ) -> VfsResult<()> {
        at.mount.check_writable()?;
        let owner = at.node.owner();
        if !credentials.owns(owner.uid) {
            return Err(VfsError::Permission);
        }
        if at.node.kind() == FileKind::Symlink {
            return Err(VfsError::NotSupported);
        }
        let mut mode = mode & 0o7777;
        if !credentials.privileged && !credentials.in_group(owner.gid) {
            mode &= !SET_GROUP_ID;
        }
        at.node.change(MetadataChange { mode: Some(mode), ..MetadataChange::default() }).await
    }

    /// Sets owner and group; `None` leaves one. Takes set-user-id and set-group-id bits away.
    ///
    /// # Errors
    /// `Permission`: only the privileged give files away, owners may choose among their groups.
    pub async fn set_owner(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> VfsResult<()> {
        at.mount.check_writable()?;
        let old = at.node.owner();
        let new = Owner { uid: uid.unwrap_or(old.uid), gid: gid.unwrap_or(old.gid) };
        let may_user = uid.is_none() || credentials.uid == old.uid && new.uid == old.uid;
        let may_group = gid.is_none()
            || credentials.uid == old.uid && (new.gid == old.gid || credentials.in_group(new.gid));
        let may = credentials.privileged || may_user && may_group;
        if !may {
            return Err(VfsError::Permission);
        }
        let mode = match at.node.is_directory() {
            true => None,
            false => without_set_ids(at.node.mode()),
        };
        at.node.change(MetadataChange { mode, uid, gid, ..MetadataChange::default() }).await
    }

    /// Sets the times of last read and last write.
    ///
    /// # Errors
    /// `Permission` or `Access`: owners set any time, who may write may set the present.
    pub async fn set_times(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        accessed: SetTime,
        modified: SetTime,
    ) -> VfsResult<()> {
        at.mount.check_writable()?;
        let is_present = matches!((accessed, modified), (SetTime::Now, SetTime::Now));
        if !credentials.owns(at.node.owner().uid) {
            if !is_present {
                return Err(VfsError::Permission);
            }
            at.node.check(credentials, Access::WRITE)?;
        }
        let now = self.core.clock.now();
        let value = |time| match time {
            SetTime::Keep => None,
            SetTime::Now => Some(now),
            SetTime::At(time) => Some(time),
        };
        let change = MetadataChange {
            accessed: value(accessed),
            modified: value(modified),
            changed: Some(now),
            ..MetadataChange::default()
        };
        crate::cache::flush_times(&at.node).await?;
        at.node.change(change).await
    }

    /// Sets the size of a regular file by name.
    ///
    /// # Errors
    /// `IsDirectory`, `Invalid` for other kinds, and those of permission and the file system.
    pub async fn truncate(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        size: u64,
    ) -> VfsResult<()> {
        at.node.mapping()?;
        at.node.check(credentials, Access::WRITE)?;
        at.mount.check_writable()?;
        at.node.resize(size, credentials.privileged).await
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// `NoData`, and those of permission and the file system.
    pub async fn xattr(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        name: &[u8],
    ) -> VfsResult<Vec<u8>> {
        check_xattr(&at.node, credentials, name, Access::READ)?;
        at.node.inode().xattr(name).await
    }

    /// All names of extended attributes, each followed by a NUL.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn xattr_names(&self, at: &Location<P>) -> VfsResult<Vec<u8>> {
        at.node.inode().xattr_names().await
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// As [`XattrMode`] says, `Range` and `TooLong` for names and values out of bounds, and those of
    /// permission and the file system.
    pub async fn set_xattr(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> VfsResult<()> {
        at.mount.check_writable()?;
        check_xattr(&at.node, credentials, name, Access::WRITE)?;
        if value.len() > XATTR_VALUE_MAX {
            return Err(VfsError::NoSpace);
        }
        let _guard = at.node.changing.lock().await;
        at.node.inode().set_xattr(name, value, mode).await
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// `NoData`, and those of permission and the file system.
    pub async fn remove_xattr(
        &self,
        at: &Location<P>,
        credentials: &Credentials,
        name: &[u8],
    ) -> VfsResult<()> {
        at.mount.check_writable()?;
        check_xattr(&at.node, credentials, name, Access::WRITE)?;
        let _guard = at.node.changing.lock().await;
        at.node.inode().remove_xattr(name).await
    }

    /// The context of the privileged user at the root of the tree.
    pub fn root_context<'a>(&'a self, credentials: &'a Credentials) -> Context<'a, P> {
        Context { root: self.root(), base: self.root(), credentials }
    }
}

/// `user.` attributes follow the mode bits of files and directories, `trusted.` ones are for the
/// privileged, and the others are for all to read and for owners to write.
fn check_xattr<P: Page>(
    node: &Arc<Node<P>>,
    credentials: &Credentials,
    name: &[u8],
    wanted: Access,
) -> VfsResult<()> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX {
        return Err(VfsError::Range);
    }
    let is_write = wanted.contains(Access::WRITE);
    if name.starts_with(b"user.") {
        let has_user = matches!(node.kind(), FileKind::Regular | FileKind::Directory);
        if !has_user {
            return Err(if is_write { VfsError::Permission } else { VfsError::NoData });
        }
        return node.check(credentials, wanted);
    }
    if name.starts_with(b"trusted.") && !credentials.privileged {
        return Err(if is_write { VfsError::Permission } else { VfsError::NoData });
    }
    if is_write && !credentials.owns(node.owner().uid) {
        return Err(VfsError::Permission);
    }
    Ok(())
}

/// Whether writing takes away bits of this mode.
pub(crate) fn loses_set_ids(mode: u32) -> bool {
    mode & SET_IDS != 0 && without_set_ids(mode).is_some()
}
