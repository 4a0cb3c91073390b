//! The root file system on a disk of the session.
use super::Disk;
use crate::file::Page;
use alloc::sync::Arc;
use serix_chroma::{FileSystem, VfsResult};

/// Mounts a disk.
///
/// # Errors
/// Those of the file system.
pub(super) async fn mount(disk: &Disk) -> VfsResult<Arc<dyn FileSystem<Page>>> {
    crate::fs::mount_disk(disk, disk.writable).await
}
