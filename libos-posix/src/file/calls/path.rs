//! Calls that make, remove and rename entries, and those about the working directory.
use crate::file::current;
use crate::file::path_buffer::PathBuffer;
use crate::file::{block_on, wait};
use crate::fs::{At, vfs};
use crate::memory::UserAddress;
use crate::{Errno, Result};
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE, RENAME_NOREPLACE,
};
use serix_chroma::{
    Access, Context, DeviceNumber, FileKind, Location, RenameFlags, Reply, ResolveFlags,
};

type Place = Location<crate::file::Page>;

/// The place that a path names, from the directory of a descriptor on.
pub(crate) fn resolve(descriptor: i32, path: &[u8], flags: ResolveFlags) -> Result<Place> {
    let is_from_here = descriptor == AT_FDCWD || path.first() == Some(&b'/');
    if is_from_here && let Some(known) = resolve_known(path, flags) {
        return known;
    }
    let at = At::new(descriptor, path)?;
    wait(vfs().resolve(at.context(), path, flags))
}

/// The place that a path names, if the name cache knows the way: then nothing waits, and the places that the
/// process starts from need not be held.
fn resolve_known(path: &[u8], flags: ResolveFlags) -> Option<Result<Place>> {
    let credentials = current::credentials();
    current::with_places(|fs| {
        let context = Context { root: &fs.root, base: &fs.working, credentials: &credentials };
        match vfs().resolve(context, path, flags) {
            Reply::Ready(answer) => Some(answer.map_err(Errno::from)),
            _ => None,
        }
    })
}

/// The place that a call with `AT_` flags names.
pub(crate) fn resolve_at(
    descriptor: i32,
    path: UserAddress,
    flags: u32,
    no_follow: bool,
) -> Result<Place> {
    let mut resolve_flags = ResolveFlags::empty();
    resolve_flags.set(ResolveFlags::NO_FOLLOW, no_follow);
    if flags & AT_EMPTY_PATH == 0 {
        return resolve(descriptor, PathBuffer::new().fill(path)?, resolve_flags);
    }
    // With the flag, a null pointer is the empty path, too.
    let path = if path.is_null() { None } else { Some(PathBuffer::load(path)?) };
    match path.as_deref() {
        None | Some(b"") if descriptor != AT_FDCWD => {
            let file = current::any_descriptor(descriptor)?;
            file.location().cloned().ok_or(Errno::EBADF)
        }
        path => resolve(descriptor, path.unwrap_or(b""), resolve_flags | ResolveFlags::EMPTY_PATH),
    }
}

/// A device number as user space packs it.
pub(crate) fn device_from(number: u64) -> DeviceNumber {
    let major = (number >> 8 & 0xFFF) | (number >> 32 & 0xFFFF_F000);
    let minor = (number & 0xFF) | (number >> 12 & 0xFFFF_FF00);
    DeviceNumber { major: major as u32, minor: minor as u32 }
}

/// A device number as user space packs it.
#[inline]
pub(crate) fn device_to(device: DeviceNumber) -> u64 {
    if device == DeviceNumber::default() {
        return 0;
    }
    let (major, minor) = (u64::from(device.major), u64::from(device.minor));
    (major & 0xFFF) << 8 | (major & !0xFFF) << 32 | (minor & 0xFF) | (minor & !0xFF) << 12
}

fn masked(mode: u32) -> u32 {
    mode & !current::with_fs(|fs| fs.mask)
}

/// `mkdirat`.
pub fn mkdirat(descriptor: i32, path: UserAddress, mode: u32) -> Result<i64> {
    let mut room = PathBuffer::new();
    let path = room.fill(path)?;
    let at = At::new(descriptor, path)?;
    // Linux honours the sticky bit, and neither set-id bit.
    let mode = masked(mode & 0o1777);
    block_on(vfs().make_directory(at.context(), path, mode))?;
    Ok(0)
}

/// `mkdir`.
pub fn mkdir(path: UserAddress, mode: u32) -> Result<i64> {
    mkdirat(AT_FDCWD, path, mode)
}

/// `mknodat`.
pub fn mknodat(descriptor: i32, path: UserAddress, mode: u32, device: u64) -> Result<i64> {
    let path = PathBuffer::load(path)?;
    let kind = match mode & 0o170_000 {
        0 => FileKind::Regular,
        _ => FileKind::from_mode(mode).ok_or(Errno::EINVAL)?,
    };
    let at = At::new(descriptor, &path)?;
    match kind {
        FileKind::Directory => return Err(Errno::EPERM),
        FileKind::Symlink => return Err(Errno::EINVAL),
        _ if kind.is_device() && !at.credentials.privileged => return Err(Errno::EPERM),
        _ => {}
    }
    let device = if kind.is_device() { device_from(device) } else { DeviceNumber::default() };
    block_on(vfs().create(at.context(), &path, kind, masked(mode & 0o7777), device))?;
    Ok(0)
}

/// `mknod`.
pub fn mknod(path: UserAddress, mode: u32, device: u64) -> Result<i64> {
    mknodat(AT_FDCWD, path, mode, device)
}

/// `unlinkat`.
pub fn unlinkat(descriptor: i32, path: UserAddress, flags: u32) -> Result<i64> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let mut room = PathBuffer::new();
    let path = room.fill(path)?;
    let at = At::new(descriptor, path)?;
    match flags {
        0 => block_on(vfs().unlink(at.context(), path))?,
        _ => block_on(vfs().remove_directory(at.context(), path))?,
    }
    Ok(0)
}

/// `unlink`.
pub fn unlink(path: UserAddress) -> Result<i64> {
    unlinkat(AT_FDCWD, path, 0)
}

/// `rmdir`.
pub fn rmdir(path: UserAddress) -> Result<i64> {
    unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
}

/// `linkat`.
pub fn linkat(
    from: i32,
    from_path: UserAddress,
    to: i32,
    to_path: UserAddress,
    flags: u32,
) -> Result<i64> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let existing = resolve_at(from, from_path, flags, flags & AT_SYMLINK_FOLLOW == 0)?;
    let path = PathBuffer::load(to_path)?;
    let at = At::new(to, &path)?;
    block_on(vfs().link(&existing, at.context(), &path))?;
    Ok(0)
}

/// `link`.
pub fn link(from: UserAddress, to: UserAddress) -> Result<i64> {
    linkat(AT_FDCWD, from, AT_FDCWD, to, 0)
}

/// `symlinkat`.
pub fn symlinkat(target: UserAddress, descriptor: i32, path: UserAddress) -> Result<i64> {
    let (target, path) = (PathBuffer::load(target)?, PathBuffer::load(path)?);
    let at = At::new(descriptor, &path)?;
    block_on(vfs().symlink(at.context(), &target, &path))?;
    Ok(0)
}

/// `symlink`.
pub fn symlink(target: UserAddress, path: UserAddress) -> Result<i64> {
    symlinkat(target, AT_FDCWD, path)
}

/// `readlinkat`.
pub fn readlinkat(
    descriptor: i32,
    path: UserAddress,
    buffer: UserAddress,
    len: i32,
) -> Result<i64> {
    if len <= 0 {
        return Err(Errno::EINVAL);
    }
    let path = PathBuffer::load(path)?;
    let flags = ResolveFlags::NO_FOLLOW | ResolveFlags::EMPTY_PATH;
    let place = match &*path {
        b"" if descriptor == AT_FDCWD => return Err(Errno::ENOENT),
        path => resolve(descriptor, path, flags)?,
    };
    let target = block_on(vfs().read_link(&place)).map_err(|error| match error {
        Errno::EINVAL if path.is_empty() => Errno::ENOENT,
        error => error,
    })?;
    let target = &target[..target.len().min(len as usize)];
    buffer.write_bytes(target)?;
    Ok(target.len() as i64)
}

/// `readlink`.
pub fn readlink(path: UserAddress, buffer: UserAddress, len: i32) -> Result<i64> {
    readlinkat(AT_FDCWD, path, buffer, len)
}

/// `renameat2`.
pub fn renameat2(
    from: i32,
    from_path: UserAddress,
    to: i32,
    to_path: UserAddress,
    flags: u32,
) -> Result<i64> {
    let how = match flags {
        0 => RenameFlags::empty(),
        RENAME_NOREPLACE => RenameFlags::NO_REPLACE,
        RENAME_EXCHANGE => RenameFlags::EXCHANGE,
        _ => return Err(Errno::EINVAL),
    };
    let (from_path, to_path) = (PathBuffer::load(from_path)?, PathBuffer::load(to_path)?);
    let (from, to) = (At::new(from, &from_path)?, At::new(to, &to_path)?);
    block_on(vfs().rename(from.context(), &from_path, to.context(), &to_path, how))?;
    Ok(0)
}

/// `renameat`.
pub fn renameat(from: i32, from_path: UserAddress, to: i32, to_path: UserAddress) -> Result<i64> {
    renameat2(from, from_path, to, to_path, 0)
}

/// `rename`.
pub fn rename(from: UserAddress, to: UserAddress) -> Result<i64> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, 0)
}

/// `umask`.
pub fn umask(mask: u32) -> Result<i64> {
    Ok(current::with_fs(|fs| core::mem::replace(&mut fs.mask, mask & 0o777)).into())
}

/// `getcwd`.
pub fn getcwd(buffer: UserAddress, len: usize) -> Result<i64> {
    let (root, working) = current::with_fs(|fs| (fs.root.clone(), fs.working.clone()));
    let found = vfs().path_of(&working, &root);
    let mut path = match found {
        Some((_, true)) => return Err(Errno::ENOENT),
        Some((path, false)) => path,
        None => b"(unreachable)/".to_vec(),
    };
    path.push(0);
    if path.len() > len {
        return Err(Errno::ERANGE);
    }
    buffer.write_bytes(&path)?;
    Ok(path.len() as i64)
}

fn check_search(place: &Place) -> Result<()> {
    if !place.node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    Ok(place.node.check(&current::credentials(), Access::EXECUTE)?)
}

/// `chdir`.
pub fn chdir(path: UserAddress) -> Result<i64> {
    let place = resolve(AT_FDCWD, &PathBuffer::load(path)?, ResolveFlags::DIRECTORY)?;
    check_search(&place)?;
    set_working(place)
}

/// `fchdir`.
pub fn fchdir(descriptor: i32) -> Result<i64> {
    let file = current::any_descriptor(descriptor)?;
    let place = file.location().cloned().ok_or(Errno::ENOTDIR)?;
    check_search(&place)?;
    set_working(place)
}

fn set_working(place: Place) -> Result<i64> {
    // The old directory is dropped without the lock.
    let _old = current::with_fs(|fs| core::mem::replace(&mut fs.working, place));
    Ok(0)
}

/// `chroot`.
pub fn chroot(path: UserAddress) -> Result<i64> {
    let place = resolve(AT_FDCWD, &PathBuffer::load(path)?, ResolveFlags::DIRECTORY)?;
    check_search(&place)?;
    if !current::credentials().privileged {
        return Err(Errno::EPERM);
    }
    let _old = current::with_fs(|fs| core::mem::replace(&mut fs.root, place));
    Ok(0)
}
