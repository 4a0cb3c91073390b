//! Calls that ask for access and change modes, owners, times and sizes.
use super::path::{resolve, resolve_at};
use crate::file::path_buffer::PathBuffer;
use crate::file::{Description, block_on, current};
use crate::fs::vfs;
use crate::memory::UserAddress;
use crate::{Errno, Result};
use linux_raw_sys::general::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, UTIME_NOW, UTIME_OMIT,
};
use serix_chroma::{Access, Location, ResolveFlags, SetTime, Timestamp};

type Place = Location<crate::file::Page>;

const NANOSECONDS: i64 = 1_000_000_000;

/// The file behind a descriptor, where the call is about files only.
pub(crate) fn place_of(file: &Description) -> Result<Place> {
    file.location().cloned().ok_or(Errno::EINVAL)
}

/// `faccessat2`.
pub fn faccessat2(descriptor: i32, path: UserAddress, mode: u32, flags: u32) -> Result<i64> {
    let known = AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    if mode & !7 != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let place = resolve_at(descriptor, path, flags, flags & AT_SYMLINK_NOFOLLOW != 0)?;
    let credentials = match flags & AT_EACCESS {
        0 => current::real_credentials(),
        _ => current::credentials(),
    };
    vfs().access(&place, &credentials, Access::from_bits_truncate(mode))?;
    Ok(0)
}

/// `faccessat`.
pub fn faccessat(descriptor: i32, path: UserAddress, mode: u32) -> Result<i64> {
    faccessat2(descriptor, path, mode, 0)
}

/// `access`.
pub fn access(path: UserAddress, mode: u32) -> Result<i64> {
    faccessat2(AT_FDCWD, path, mode, 0)
}

fn set_mode(place: &Place, mode: u32) -> Result<i64> {
    block_on(vfs().set_mode(place, &current::credentials(), mode & 0o7777))?;
    Ok(0)
}

/// `fchmodat2`.
pub fn fchmodat2(descriptor: i32, path: UserAddress, mode: u32, flags: u32) -> Result<i64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let no_follow = flags & AT_SYMLINK_NOFOLLOW != 0;
    set_mode(&resolve_at(descriptor, path, flags, no_follow)?, mode)
}

/// `fchmodat`.
pub fn fchmodat(descriptor: i32, path: UserAddress, mode: u32) -> Result<i64> {
    fchmodat2(descriptor, path, mode, 0)
}

/// `chmod`.
pub fn chmod(path: UserAddress, mode: u32) -> Result<i64> {
    fchmodat2(AT_FDCWD, path, mode, 0)
}

/// `fchmod`.
pub fn fchmod(descriptor: i32, mode: u32) -> Result<i64> {
    set_mode(&place_of(&*current::descriptor(descriptor)?)?, mode)
}

fn set_owner(place: &Place, uid: u32, gid: u32) -> Result<i64> {
    let given = |id: u32| (id != u32::MAX).then_some(id);
    block_on(vfs().set_owner(place, &current::credentials(), given(uid), given(gid)))?;
    Ok(0)
}

/// `fchownat`.
pub fn fchownat(descriptor: i32, path: UserAddress, uid: u32, gid: u32, flags: u32) -> Result<i64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let no_follow = flags & AT_SYMLINK_NOFOLLOW != 0;
    set_owner(&resolve_at(descriptor, path, flags, no_follow)?, uid, gid)
}

/// `chown`.
pub fn chown(path: UserAddress, uid: u32, gid: u32) -> Result<i64> {
    fchownat(AT_FDCWD, path, uid, gid, 0)
}

/// `lchown`.
pub fn lchown(path: UserAddress, uid: u32, gid: u32) -> Result<i64> {
    fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW)
}

/// `fchown`.
pub fn fchown(descriptor: i32, uid: u32, gid: u32) -> Result<i64> {
    set_owner(&place_of(&*current::descriptor(descriptor)?)?, uid, gid)
}

/// Loads `N` words.
pub(crate) fn load_words<const N: usize>(address: UserAddress) -> Result<[i64; N]> {
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        *word = address.add(8 * index as u64).read()?;
    }
    Ok(words)
}

fn time_from(seconds: i64, nanoseconds: i64) -> Result<SetTime> {
    match nanoseconds {
        n if n == i64::from(UTIME_NOW) => Ok(SetTime::Now),
        n if n == i64::from(UTIME_OMIT) => Ok(SetTime::Keep),
        n if (0..NANOSECONDS).contains(&n) => {
            Ok(SetTime::At(Timestamp { seconds, nanoseconds: n as u32 }))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn set_times(place: &Place, times: [SetTime; 2]) -> Result<i64> {
    let [accessed, modified] = times;
    block_on(vfs().set_times(place, &current::credentials(), accessed, modified))?;
    Ok(0)
}

/// `utimensat`.
pub fn utimensat(
    descriptor: i32,
    path: UserAddress,
    times: UserAddress,
    flags: u32,
) -> Result<i64> {
    let times = match times.optional() {
        None => [SetTime::Now, SetTime::Now],
        Some(times) => {
            let [s0, n0, s1, n1] = load_words(times)?;
            [time_from(s0, n0)?, time_from(s1, n1)?]
        }
    };
    if matches!(times, [SetTime::Keep, SetTime::Keep]) {
        return Ok(0);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    // A null path is the descriptor's file: what `futimens` is made of.
    if path.is_null() && descriptor != AT_FDCWD {
        return set_times(&place_of(&*current::descriptor(descriptor)?)?, times);
    }
    let no_follow = flags & AT_SYMLINK_NOFOLLOW != 0;
    set_times(&resolve_at(descriptor, path, flags, no_follow)?, times)
}

/// `futimesat`: two `struct timeval`.
pub fn futimesat(descriptor: i32, path: UserAddress, times: UserAddress) -> Result<i64> {
    let times = match times.optional() {
        None => [SetTime::Now, SetTime::Now],
        Some(times) => {
            let [s0, u0, s1, u1] = load_words(times)?;
            let valid = |us: i64| (0..1_000_000).contains(&us);
            if !valid(u0) || !valid(u1) {
                return Err(Errno::EINVAL);
            }
            [time_from(s0, u0 * 1000)?, time_from(s1, u1 * 1000)?]
        }
    };
    if path.is_null() && descriptor != AT_FDCWD {
        return set_times(&place_of(&*current::descriptor(descriptor)?)?, times);
    }
    set_times(&resolve_at(descriptor, path, 0, false)?, times)
}

/// `utimes`.
pub fn utimes(path: UserAddress, times: UserAddress) -> Result<i64> {
    futimesat(AT_FDCWD, path, times)
}

/// `utime`: whole seconds.
pub fn utime(path: UserAddress, times: UserAddress) -> Result<i64> {
    let times = match times.optional() {
        None => [SetTime::Now, SetTime::Now],
        Some(times) => {
            let [accessed, modified] = load_words(times)?;
            [time_from(accessed, 0)?, time_from(modified, 0)?]
        }
    };
    set_times(&resolve_at(AT_FDCWD, path, 0, false)?, times)
}

pub(crate) fn checked_size(size: i64) -> Result<u64> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size > current::file_size_limit() {
        current::file_size_exceeded();
        return Err(Errno::EFBIG);
    }
    Ok(size)
}

/// `truncate`.
pub fn truncate(path: UserAddress, size: i64) -> Result<i64> {
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    let place = resolve(AT_FDCWD, &PathBuffer::load(path)?, ResolveFlags::empty())?;
    let size = checked_size(size)?;
    block_on(vfs().truncate(&place, &current::credentials(), size))?;
    Ok(0)
}
