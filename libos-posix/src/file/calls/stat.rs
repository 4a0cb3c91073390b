//! Calls that tell about files: `stat` in its forms, `statfs`, directories.
use super::path::{device_to, resolve, resolve_at};
use crate::file::description::Description;
use crate::file::path_buffer::PathBuffer;
use crate::file::{Object, block_on, current, wait};
use crate::fs::{Location, vfs};
use crate::memory::UserAddress;
use crate::raw::plain;
use crate::{Errno, Result};
use alloc::vec::Vec;
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
    STATX__RESERVED, STATX_BASIC_STATS, STATX_BTIME, stat, statfs as statfs_layout,
    statx as statx_layout, statx_timestamp,
};
use serix_chroma::{
    Context, DeviceNumber, DirectoryEntry, DirectorySink, FileKind, Metadata, MountFlags,
    ResolveFlags, Statistics, Timestamp,
};

/// Device number of pipes and the like, which are on no mount.
const ANONYMOUS_DEVICE: u64 = 0xE;
/// Largest buffer that `getdents64` fills at once.
const DIRECTORY_BUFFER_MAX: usize = 64 * 1024;
/// Bytes of a `struct linux_dirent64` before the name.
const ENTRY_HEADER: usize = 19;

/// What there is to tell of a file, and of the device that it is on.
struct Status {
    metadata: Metadata,
    device: u64,
    mount: u64,
}

impl Status {
    fn of_place(place: &Location) -> Result<Self> {
        let metadata = wait(vfs().status(place))?;
        let device = place.node.volume().id();
        Ok(Self { metadata, device, mount: place.mount.id() })
    }

    /// Of what a path leads to, if that has no place in the tree, too.
    fn of_path(path: &[u8]) -> Result<Self> {
        match resolve(AT_FDCWD, path, ResolveFlags::empty()) {
            Ok(place) => Self::of_place(&place),
            Err(Errno::ENOENT) => {
                let named = super::open::nameless(path).ok_or(Errno::ENOENT)?;
                Ok(Self::of_anonymous(&named))
            }
            Err(error) => Err(error),
        }
    }

    fn of_description(file: &Description) -> Result<Self> {
        if let Object::File(open) = file.object()
            && let Some(direct) = open.direct().filter(|_| open.node().kind() == FileKind::Regular)
        {
            // A generated file knows its size once it is open.
            let metadata = wait(direct.metadata())?;
            let place = open.location();
            let device = place.node.volume().id();
            return Ok(Self { metadata, device, mount: place.mount.id() });
        }
        match file.location() {
            Some(place) => Self::of_place(place),
            None => Ok(Self::of_anonymous(file)),
        }
    }

    /// Pipes and the like have no inode; their address tells them apart.
    fn of_anonymous(file: &Description) -> Self {
        let (kind, ino) = match file.object() {
            Object::Pipe(pipe, _) => (FileKind::Fifo, alloc::sync::Arc::as_ptr(pipe) as u64 >> 4),
            _ => (FileKind::Regular, core::ptr::from_ref(file) as u64 >> 4),
        };
        let metadata = Metadata::unstored(ino & 0xFFFF_FFFF, kind, 0o600);
        Self { metadata, device: ANONYMOUS_DEVICE, mount: 0 }
    }

    fn to_stat(&self) -> stat {
        let mut stat = plain::zeroed();
        fill_stat(&mut stat, &self.metadata, self.device);
        stat
    }

    fn to_statx(&self) -> statx_layout {
        let metadata = &self.metadata;
        let mut statx: statx_layout = plain::zeroed();
        statx.stx_mask = STATX_BASIC_STATS;
        statx.stx_blksize = metadata.block_size;
        statx.stx_nlink = metadata.links;
        statx.stx_uid = metadata.uid;
        statx.stx_gid = metadata.gid;
        statx.stx_mode = (metadata.kind.mode_bits() | metadata.mode) as u16;
        statx.stx_ino = metadata.ino;
        statx.stx_size = metadata.size;
        statx.stx_blocks = metadata.blocks;
        statx.stx_atime = timestamp(metadata.accessed);
        statx.stx_mtime = timestamp(metadata.modified);
        statx.stx_ctime = timestamp(metadata.changed);
        if let Some(created) = metadata.created {
            statx.stx_mask |= STATX_BTIME;
            statx.stx_btime = timestamp(created);
        }
        (statx.stx_rdev_major, statx.stx_rdev_minor) =
            (metadata.device.major, metadata.device.minor);
        let DeviceNumber { major, minor } = super::path::device_from(self.device);
        (statx.stx_dev_major, statx.stx_dev_minor) = (major, minor);
        statx.stx_mnt_id = self.mount;
        statx
    }
}

/// Fills in what was zeroed.
#[inline]
fn fill_stat(stat: &mut stat, metadata: &Metadata, device: u64) {
    stat.st_dev = device;
    stat.st_ino = metadata.ino;
    stat.st_nlink = metadata.links.into();
    stat.st_mode = metadata.kind.mode_bits() | metadata.mode;
    stat.st_uid = metadata.uid;
    stat.st_gid = metadata.gid;
    stat.st_rdev = device_to(metadata.device);
    stat.st_size = metadata.size as i64;
    stat.st_blksize = metadata.block_size.into();
    stat.st_blocks = metadata.blocks as i64;
    (stat.st_atime, stat.st_atime_nsec) = halves(metadata.accessed);
    (stat.st_mtime, stat.st_mtime_nsec) = halves(metadata.modified);
    (stat.st_ctime, stat.st_ctime_nsec) = halves(metadata.changed);
}

/// Stores the status of what a path leads to if names and metadata are in memory, without taking hold of either; `None` if
/// they are not, or there is no such name.
#[inline(always)]
fn store_known(path: &[u8], flags: ResolveFlags, into: UserAddress) -> Option<Result<i64>> {
    let (mut found, mut is_found): (stat, _) = (plain::zeroed(), false);
    let credentials = current::credentials();
    current::with_places(|fs| {
        let context = Context { root: &fs.root, base: &fs.working, credentials: &credentials };
        vfs().look_cached(&context, path, flags, |_, node| {
            node.look(|metadata| {
                fill_stat(&mut found, metadata, node.volume().id());
                is_found = true;
            })
        })
    });
    is_found.then(|| into.write(&found).map(|()| 0))
}

/// Seconds and nanoseconds; times before 1970 are the same bits.
fn halves(time: Timestamp) -> (u64, u64) {
    (time.seconds as u64, time.nanoseconds.into())
}

fn timestamp(time: Timestamp) -> statx_timestamp {
    statx_timestamp { tv_sec: time.seconds, tv_nsec: time.nanoseconds, __reserved: 0 }
}

/// `stat`.
pub fn stat(path: UserAddress, into: UserAddress) -> Result<i64> {
    let mut room = PathBuffer::new();
    let path = room.fill(path)?;
    match store_known(path, ResolveFlags::empty(), into) {
        Some(answer) => answer,
        None => store_stat(&Status::of_path(path)?, into),
    }
}

/// `lstat`.
pub fn lstat(path: UserAddress, into: UserAddress) -> Result<i64> {
    let mut room = PathBuffer::new();
    let path = room.fill(path)?;
    match store_known(path, ResolveFlags::NO_FOLLOW, into) {
        Some(answer) => answer,
        None => {
            let place = resolve(AT_FDCWD, path, ResolveFlags::NO_FOLLOW)?;
            store_stat(&Status::of_place(&place)?, into)
        }
    }
}

/// `fstat`.
pub fn fstat(descriptor: i32, into: UserAddress) -> Result<i64> {
    let file = current::any_descriptor(descriptor)?;
    store_stat(&Status::of_description(&file)?, into)
}

fn store_stat(status: &Status, into: UserAddress) -> Result<i64> {
    into.write(&status.to_stat())?;
    Ok(0)
}

/// The file that a descriptor, a path and flags name: the descriptor's own with `AT_EMPTY_PATH`.
fn status_at(descriptor: i32, path: UserAddress, flags: u32) -> Result<Status> {
    if flags & AT_EMPTY_PATH != 0 && descriptor != AT_FDCWD {
        let is_empty = path.is_null() || path.read::<u8>()? == 0;
        if is_empty {
            return Status::of_description(&*current::any_descriptor(descriptor)?);
        }
    }
    if descriptor == AT_FDCWD && flags & !AT_NO_AUTOMOUNT == 0 {
        return Status::of_path(&PathBuffer::load(path)?);
    }
    let no_follow = flags & AT_SYMLINK_NOFOLLOW != 0;
    Status::of_place(&resolve_at(descriptor, path, flags, no_follow)?)
}

/// `newfstatat`.
pub fn newfstatat(
    descriptor: i32,
    path: UserAddress,
    into: UserAddress,
    flags: u32,
) -> Result<i64> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    if descriptor == AT_FDCWD && flags & AT_EMPTY_PATH == 0 {
        return if flags & AT_SYMLINK_NOFOLLOW == 0 { stat(path, into) } else { lstat(path, into) };
    }
    store_stat(&status_at(descriptor, path, flags)?, into)
}

/// `statx`.
pub fn statx(
    descriptor: i32,
    path: UserAddress,
    flags: u32,
    mask: u32,
    into: UserAddress,
) -> Result<i64> {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    let both_syncs = flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE;
    if mask & STATX__RESERVED != 0 || flags & !known != 0 || both_syncs {
        return Err(Errno::EINVAL);
    }
    into.write(&status_at(descriptor, path, flags & !AT_STATX_SYNC_TYPE)?.to_statx())?;
    Ok(0)
}

/// `statfs`.
pub fn statfs(path: UserAddress, into: UserAddress) -> Result<i64> {
    let place = resolve(AT_FDCWD, &PathBuffer::load(path)?, ResolveFlags::empty())?;
    store_statfs(&place, into)
}

/// `fstatfs`.
pub fn fstatfs(descriptor: i32, into: UserAddress) -> Result<i64> {
    let file = current::any_descriptor(descriptor)?;
    match file.location() {
        Some(place) => store_statfs(place, into),
        None => store_statfs_of(
            &Statistics {
                magic: PIPEFS_MAGIC,
                block_size: 4096,
                name_max: 255,
                ..Statistics::default()
            },
            0,
            into,
        ),
    }
}

/// The number by which programs know the file system of pipes.
const PIPEFS_MAGIC: u64 = 0x5049_5045;
/// Flags of a mount as `statfs` tells them.
const ST_RDONLY: u32 = 1;
const ST_NOSUID: u32 = 2;
const ST_NODEV: u32 = 4;
const ST_NOEXEC: u32 = 8;
/// Set when the others are meant at all.
const ST_VALID: u32 = 0x20;
const ST_RELATIME: u32 = 0x1000;

fn store_statfs(place: &Location, into: UserAddress) -> Result<i64> {
    let statistics = wait(vfs().statistics(place))?;
    store_statfs_of(&statistics, mount_flags(place), into)
}

fn mount_flags(place: &Location) -> u32 {
    let (flags, mut linux) = (place.mount.flags(), ST_VALID | ST_RELATIME);
    if place.mount.check_writable().is_err() {
        linux |= ST_RDONLY;
    }
    for (flag, bit) in [
        (MountFlags::NO_SUID, ST_NOSUID),
        (MountFlags::NO_DEVICES, ST_NODEV),
        (MountFlags::NO_EXECUTE, ST_NOEXEC),
    ] {
        linux |= if flags.contains(flag) { bit } else { 0 };
    }
    linux
}

fn store_statfs_of(statistics: &Statistics, flags: u32, into: UserAddress) -> Result<i64> {
    let mut out: statfs_layout = plain::zeroed();
    out.f_type = statistics.magic as i64;
    out.f_bsize = statistics.block_size.into();
    out.f_frsize = statistics.block_size.into();
    out.f_blocks = statistics.blocks as i64;
    out.f_bfree = statistics.blocks_free as i64;
    out.f_bavail = statistics.blocks_available as i64;
    out.f_files = statistics.inodes as i64;
    out.f_ffree = statistics.inodes_free as i64;
    out.f_fsid.val = [statistics.id as i32, (statistics.id >> 32) as i32];
    out.f_namelen = statistics.name_max.into();
    out.f_flags = flags.into();
    into.write(&out)?;
    Ok(0)
}

/// Entries as `getdents64` stores them.
struct EntryBuffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl DirectorySink for EntryBuffer {
    fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool {
        let length = (ENTRY_HEADER + entry.name.len() + 1).next_multiple_of(8);
        if self.bytes.len() + length > self.limit {
            return false;
        }
        let end = self.bytes.len() + length;
        self.bytes.extend_from_slice(&entry.ino.to_le_bytes());
        self.bytes.extend_from_slice(&entry.next.to_le_bytes());
        self.bytes.extend_from_slice(&(length as u16).to_le_bytes());
        self.bytes.push((entry.kind.mode_bits() >> 12) as u8);
        self.bytes.extend_from_slice(entry.name);
        self.bytes.resize(end, 0);
        true
    }
}

/// `getdents64`.
pub fn getdents64(descriptor: i32, into: UserAddress, len: u32) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    let limit = (len as usize).min(DIRECTORY_BUFFER_MAX);
    let mut buffer = EntryBuffer { bytes: Vec::new(), limit };
    let file = file.file(Errno::ENOTDIR)?;
    if !file.node().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    block_on(file.read_directory(&mut buffer))?.ok_or(Errno::EINVAL)?;
    into.write_bytes(&buffer.bytes)?;
    Ok(buffer.bytes.len() as i64)
}
