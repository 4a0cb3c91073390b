//! Mounting and unmounting.
use super::path::resolve;
use crate::file::path_buffer::PathBuffer;
use crate::file::{Page, block_on, current};
use crate::fs::{self, At, vfs};
use crate::memory::UserAddress;
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID,
    MS_RDONLY, MS_REMOUNT, UMOUNT_NOFOLLOW,
};
use serix_chroma::{FileKind, FileSystem, MountFlags, ResolveFlags};

/// Linux' marker of old programs in the upper half of the flags.
const MAGIC: u64 = 0xC0ED_0000;

fn mount_flags(linux: u32) -> MountFlags {
    let mut flags = MountFlags::empty();
    for (bit, flag) in [
        (MS_RDONLY, MountFlags::READ_ONLY),
        (MS_NOSUID, MountFlags::NO_SUID),
        (MS_NODEV, MountFlags::NO_DEVICES),
        (MS_NOEXEC, MountFlags::NO_EXECUTE),
    ] {
        flags.set(flag, linux & bit != 0);
    }
    flags
}

fn optional_string(address: UserAddress) -> Result<Vec<u8>> {
    match address.optional() {
        Some(address) => Ok(PathBuffer::load_string(address, 4096, Errno::EINVAL)?.to_vec()),
        None => Ok(Vec::new()),
    }
}

/// `mount`.
pub fn mount(
    source: UserAddress,
    target: UserAddress,
    kind: UserAddress,
    flags: u64,
    data: UserAddress,
) -> Result<i64> {
    let flags = if flags & 0xFFFF_0000 == MAGIC { flags & 0xFFFF } else { flags } as u32;
    let (kind, data) = (optional_string(kind)?, optional_string(data)?);
    let target = PathBuffer::load(target)?;
    let source = optional_string(source)?;
    if !current::credentials().privileged {
        return Err(Errno::EPERM);
    }
    let at = At::new(AT_FDCWD, &target)?;
    if flags & MS_REMOUNT != 0 {
        let place = resolve(AT_FDCWD, &target, ResolveFlags::empty())?;
        if !Arc::ptr_eq(&place.node, place.mount.root()) {
            return Err(Errno::EINVAL);
        }
        if flags & MS_RDONLY != 0 {
            block_on(vfs().sync())?;
        }
        place.mount.set_flags(mount_flags(flags));
    } else if flags & MS_BIND != 0 {
        let shown = resolve(AT_FDCWD, &source, ResolveFlags::empty())?;
        block_on(vfs().bind(at.context(), &target, &shown, mount_flags(flags)))?;
    } else if flags & MS_MOVE != 0 {
        return Err(Errno::EINVAL);
    } else {
        let flags = mount_flags(flags);
        let file_system = match &kind[..] {
            b"ext4" => on_disk(&source, flags)?,
            _ => fs::new_file_system(&kind, &data)?,
        };
        block_on(vfs().mount(at.context(), &target, file_system, flags, &source))?;
    }
    Ok(0)
}

/// The file system on the disk that a path names.
fn on_disk(source: &[u8], flags: MountFlags) -> Result<Arc<dyn FileSystem<Page>>> {
    let place = resolve(AT_FDCWD, source, ResolveFlags::empty())?;
    if place.node.kind() != FileKind::BlockDevice {
        return Err(Errno::ENOTBLK);
    }
    let disk = fs::disk_of(place.node.device()).ok_or(Errno::ENXIO)?;
    block_on(fs::mount_disk(disk, !flags.contains(MountFlags::READ_ONLY)))
}

/// `umount2`.
pub fn umount2(target: UserAddress, flags: u32) -> Result<i64> {
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    if !current::credentials().privileged {
        return Err(Errno::EPERM);
    }
    let mut resolve_flags = ResolveFlags::empty();
    resolve_flags.set(ResolveFlags::NO_FOLLOW, flags & UMOUNT_NOFOLLOW != 0);
    let place = resolve(AT_FDCWD, &PathBuffer::load(target)?, resolve_flags)?;
    if !Arc::ptr_eq(&place.node, place.mount.root()) {
        return Err(Errno::EINVAL);
    }
    // The place must not be what keeps the mount busy.
    let mount = place.mount;
    drop(place.node);
    block_on(vfs().unmount(&mount))?;
    Ok(0)
}
