//! Mounting and unmounting.
use super::{Context, ResolveFlags, Vfs};
use crate::mount::{Location, Mount, MountFlags};
use crate::node::{Node, Volume};
use crate::{FileSystem, Page, VfsError, VfsResult};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<P: Page> Volume<P> {
    /// Makes what the file system has so far durable.
    pub(super) async fn sync(&self) -> VfsResult<()> {
        self.reap().await?;
        self.file_system().sync().await
    }

    /// Frees what removed inodes left behind.
    pub(super) async fn reap(&self) -> VfsResult<()> {
        self.file_system().reap().await
    }
}

impl<P: Page> Vfs<P> {
    /// Mounts a file system at a directory.
    ///
    /// # Errors
    /// `Permission` to the unprivileged, `NotDirectory`, and those of resolution.
    pub async fn mount(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        file_system: Arc<dyn FileSystem<P>>,
        flags: MountFlags,
        source: &[u8],
    ) -> VfsResult<Arc<Mount<P>>> {
        let covered = self.mount_point(context, path).await?;
        let volume = Volume::new(file_system, self.core.clone());
        let root = volume.node(volume.file_system().root().await?).await?;
        self.cover(covered, root, flags, source)
    }

    /// Shows the directory `shown` at a second place.
    ///
    /// # Errors
    /// As [`Self::mount`].
    pub async fn bind(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        shown: &Location<P>,
        flags: MountFlags,
    ) -> VfsResult<Arc<Mount<P>>> {
        let covered = self.mount_point(context, path).await?;
        let source = shown.mount.source();
        self.cover(covered, shown.node.clone(), flags, source)
    }

    async fn mount_point(&self, context: Context<'_, P>, path: &[u8]) -> VfsResult<Location<P>> {
        if !context.credentials.privileged {
            return Err(VfsError::Permission);
        }
        self.locate(context, path, ResolveFlags::DIRECTORY).await
    }

    fn cover(
        &self,
        covered: Location<P>,
        root: Arc<Node<P>>,
        flags: MountFlags,
        source: &[u8],
    ) -> VfsResult<Arc<Mount<P>>> {
        if !root.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        let mount = Mount::new(root, flags, Some(covered), source);
        self.tables.write().mounts.add(mount.clone());
        Ok(mount)
    }

    /// Ends a mount; with the last one of a file system that is ended as well.
    ///
    /// # Errors
    /// `Invalid` for the root, `Busy` while a file, a directory or another mount below is in use, and
    /// those of writing back, after which it is still mounted.
    pub async fn unmount(&self, mount: &Arc<Mount<P>>) -> VfsResult<()> {
        if mount.covers().is_none() {
            return Err(VfsError::Invalid);
        }
        self.core.cache.write_back_all().await?;
        mount.volume().sync().await?;
        let is_last = {
            let mut tables = self.tables.write();
            let volume = mount.volume();
            let of_volume = |other: &&Arc<Mount<P>>| Arc::ptr_eq(other.volume(), volume);
            let is_last = tables.mounts.all().iter().filter(of_volume).count() == 1;
            // The table and the caller hold it; anybody beyond them uses it.
            if Arc::strong_count(mount) > 2 {
                return Err(VfsError::Busy);
            }
            tables.mounts.remove(mount);
            if is_last {
                tables.names.remove_if(|node| Arc::ptr_eq(node.volume(), volume));
            }
            is_last
        };
        match is_last {
            true => mount.volume().file_system().unmount().await,
            false => Ok(()),
        }
    }

    /// Writes everything back and ends every file system, for the end of the machine. Nothing may be
    /// used afterwards.
    ///
    /// # Errors
    /// The first error; the others are ended all the same.
    pub async fn shut_down(&self) -> VfsResult<()> {
        let mut result = self.core.cache.write_back_all().await;
        for volume in self.volumes() {
            let reaped = volume.reap().await;
            let ended = volume.file_system().unmount().await;
            result = result.and(reaped).and(ended);
        }
        result
    }

    /// All mounts, oldest first.
    pub fn mounts(&self) -> Vec<Arc<Mount<P>>> {
        self.tables.read().mounts.all().to_vec()
    }

    pub(super) fn volumes(&self) -> Vec<Arc<Volume<P>>> {
        let mut volumes: Vec<Arc<Volume<P>>> = Vec::new();
        for mount in self.mounts() {
            let is_known = volumes.iter().any(|known| Arc::ptr_eq(known, mount.volume()));
            if !is_known {
                volumes.push(mount.volume().clone());
            }
        }
        volumes
    }
}
