//! Extended attributes.
use super::attributes::place_of;
use super::path::resolve;
use crate::file::path_buffer::PathBuffer;
use crate::file::{block_on, current};
use crate::fs::{Location, vfs};
use crate::memory::UserAddress;
use crate::{Errno, Result};
use alloc::vec;
use linux_raw_sys::general::{AT_FDCWD, XATTR_CREATE, XATTR_REPLACE};
use serix_chroma::{ResolveFlags, XattrMode};

/// Longest name with its NUL.
const NAME_MAX: usize = 256;
/// Largest value, and list of names.
const VALUE_MAX: usize = 65536;

fn at_path(path: UserAddress, no_follow: bool) -> Result<Location> {
    let mut flags = ResolveFlags::empty();
    flags.set(ResolveFlags::NO_FOLLOW, no_follow);
    resolve(AT_FDCWD, &PathBuffer::load(path)?, flags)
}

fn at_descriptor(descriptor: i32) -> Result<Location> {
    place_of(&*current::descriptor(descriptor)?).map_err(|_| Errno::EOPNOTSUPP)
}

fn name(address: UserAddress) -> Result<PathBuffer> {
    let name = PathBuffer::load_string(address, NAME_MAX, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

fn set(place: &Location, name: &[u8], value: UserAddress, len: usize, flags: u32) -> Result<i64> {
    let mode = match flags {
        0 => XattrMode::Any,
        XATTR_CREATE => XattrMode::Create,
        XATTR_REPLACE => XattrMode::Replace,
        _ => return Err(Errno::EINVAL),
    };
    if len > VALUE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; len];
    value.read_bytes(&mut bytes)?;
    block_on(vfs().set_xattr(place, &current::credentials(), name, &bytes, mode))?;
    Ok(0)
}

/// Stores an answer, or tells its length if there is no room asked for.
fn answer(bytes: &[u8], into: UserAddress, room: usize) -> Result<i64> {
    if room > 0 {
        if bytes.len() > room {
            return Err(Errno::ERANGE);
        }
        into.write_bytes(bytes)?;
    }
    Ok(bytes.len() as i64)
}

fn get(place: &Location, name: &[u8], into: UserAddress, room: usize) -> Result<i64> {
    let value = block_on(vfs().xattr(place, &current::credentials(), name))?;
    answer(&value, into, room)
}

fn list(place: &Location, into: UserAddress, room: usize) -> Result<i64> {
    answer(&block_on(vfs().xattr_names(place))?, into, room)
}

fn remove(place: &Location, name: &[u8]) -> Result<i64> {
    block_on(vfs().remove_xattr(place, &current::credentials(), name))?;
    Ok(0)
}

macro_rules! by_path {
    ($no_follow:literal, $set:ident, $get:ident, $list:ident, $remove:ident) => {
        #[doc = concat!("`", stringify!($set), "`.")]
        pub fn $set(
            path: UserAddress,
            key: UserAddress,
            value: UserAddress,
            len: usize,
            flags: u32,
        ) -> Result<i64> {
            set(&at_path(path, $no_follow)?, &name(key)?, value, len, flags)
        }
        #[doc = concat!("`", stringify!($get), "`.")]
        pub fn $get(
            path: UserAddress,
            key: UserAddress,
            into: UserAddress,
            room: usize,
        ) -> Result<i64> {
            get(&at_path(path, $no_follow)?, &name(key)?, into, room)
        }
        #[doc = concat!("`", stringify!($list), "`.")]
        pub fn $list(path: UserAddress, into: UserAddress, room: usize) -> Result<i64> {
            list(&at_path(path, $no_follow)?, into, room)
        }
        #[doc = concat!("`", stringify!($remove), "`.")]
        pub fn $remove(path: UserAddress, key: UserAddress) -> Result<i64> {
            remove(&at_path(path, $no_follow)?, &name(key)?)
        }
    };
}

by_path!(false, setxattr, getxattr, listxattr, removexattr);
by_path!(true, lsetxattr, lgetxattr, llistxattr, lremovexattr);

/// `fsetxattr`.
pub fn fsetxattr(
    descriptor: i32,
    key: UserAddress,
    value: UserAddress,
    len: usize,
    flags: u32,
) -> Result<i64> {
    set(&at_descriptor(descriptor)?, &name(key)?, value, len, flags)
}

/// `fgetxattr`.
pub fn fgetxattr(descriptor: i32, key: UserAddress, into: UserAddress, room: usize) -> Result<i64> {
    get(&at_descriptor(descriptor)?, &name(key)?, into, room)
}

/// `flistxattr`.
pub fn flistxattr(descriptor: i32, into: UserAddress, room: usize) -> Result<i64> {
    list(&at_descriptor(descriptor)?, into, room)
}

/// `fremovexattr`.
pub fn fremovexattr(descriptor: i32, key: UserAddress) -> Result<i64> {
    remove(&at_descriptor(descriptor)?, &name(key)?)
}
