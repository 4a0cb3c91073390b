//! Calls that make and end descriptors: open, close, dup, fcntl.
use crate::file::description::File;
use crate::file::path_buffer::PathBuffer;
use crate::file::pipe::{End, Pipe};
use crate::file::table::Entry;
use crate::file::{Description, Object, current, wait};
use crate::fs::{At, vfs};
use crate::memory::UserAddress;
use crate::sched;
use crate::terminal;
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    AT_FDCWD, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_GETPIPE_SZ, F_SETFD, F_SETFL,
    F_SETPIPE_SZ, FASYNC, FD_CLOEXEC, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECT,
    O_DIRECTORY, O_DSYNC, O_EXCL, O_LARGEFILE, O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH,
    O_RDWR, O_SYNC, O_TMPFILE, O_TRUNC, O_WRONLY, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_how,
};
use serix_chroma::{Context, FileKind, OpenFlags, ResolveFlags};

/// `close_range`: with a table of its own, which every process here has.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
/// `close_range`: mark instead of closing.
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;
/// Flags of `open` that stay with the description.
const STATUS: u32 = O_ACCMODE
    | O_APPEND
    | O_NONBLOCK
    | O_DSYNC
    | O_SYNC
    | O_DIRECT
    | O_LARGEFILE
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_PATH
    | O_NOATIME
    | FASYNC;
/// Flags that `F_SETFL` changes.
const CHANGEABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC;
/// All flags that `open` knows.
const KNOWN: u32 = STATUS | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC | O_TMPFILE;

/// What an open call asks for.
struct Open {
    flags: u32,
    mode: u32,
    resolve: ResolveFlags,
}

impl Open {
    /// With `O_PATH` only these flags count.
    fn new(flags: u32, mode: u32) -> Self {
        let flags = match flags & O_PATH {
            0 => flags,
            _ => flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
        };
        let mask = if flags & O_CREAT == 0 { 0 } else { current::with_places(|fs| fs.mask) };
        Self { flags, mode: mode & 0o7777 & !mask, resolve: ResolveFlags::empty() }
    }

    fn chroma_flags(&self) -> Result<OpenFlags> {
        let mut flags = match self.flags & O_ACCMODE {
            0 => OpenFlags::READ,
            O_WRONLY => OpenFlags::WRITE,
            O_RDWR => OpenFlags::READ | OpenFlags::WRITE,
            // Linux: permissions of both, reads and writes of neither.
            _ => OpenFlags::empty(),
        };
        if self.flags & !(O_ACCMODE | O_CLOEXEC | O_LARGEFILE | O_NOCTTY) == 0 {
            return Ok(flags);
        }
        for (linux, chroma) in [
            (O_CREAT, OpenFlags::CREATE),
            (O_EXCL, OpenFlags::EXCLUSIVE),
            (O_TRUNC, OpenFlags::TRUNCATE),
            (O_APPEND, OpenFlags::APPEND),
            (O_DIRECTORY, OpenFlags::DIRECTORY),
            (O_NOFOLLOW, OpenFlags::NO_FOLLOW),
            (O_NONBLOCK, OpenFlags::NON_BLOCKING),
            (O_DSYNC, OpenFlags::DATA_SYNC),
        ] {
            flags.set(chroma, self.flags & linux != 0);
        }
        flags.set(OpenFlags::SYNC, self.flags & O_SYNC == O_SYNC);
        if self.flags & O_PATH != 0 {
            flags = flags & (OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW) | OpenFlags::PATH;
        }
        if flags.contains(OpenFlags::CREATE | OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        Ok(flags)
    }

    /// Opens what is in the name cache, if it is a file or directory and nothing has to be asked of anybody.
    fn open_known(&self, path: &[u8]) -> Result<Option<Arc<Description>>> {
        const OTHERS: u32 = O_PATH | O_CREAT | O_TRUNC | O_TMPFILE & !O_DIRECTORY;
        if self.flags & OTHERS != 0 || path.starts_with(b"/dev/") || path.starts_with(b"/proc/") {
            return Ok(None);
        }
        let flags = self.chroma_flags()?;
        let credentials = current::credentials();
        let opened = current::with_places(|fs| {
            let at = Context { root: &fs.root, base: &fs.working, credentials: &credentials };
            vfs().open_known(at, path, flags)
        });
        match opened {
            None => Ok(None),
            Some(file) => {
                Ok(Some(Description::new(Object::File(file?), self.flags & STATUS | O_LARGEFILE)))
            }
        }
    }

    fn open(&self, at: Context<'_, crate::file::Page>, path: &[u8]) -> Result<Arc<Description>> {
        let flags = self.chroma_flags()?;
        // What has no place in the tree is found by its descriptor alone.
        if let Some(named) = nameless(path).filter(|_| self.flags & O_PATH == 0) {
            return reopen(&named, self.flags & STATUS);
        }
        let file = wait(vfs().open(at, path, flags, self.resolve, self.mode))?;
        // Every file is opened for large offsets here, and programs see that.
        let large = if self.flags & O_PATH == 0 { O_LARGEFILE } else { 0 };
        let status = self.flags & STATUS | large;
        if file.node().kind() == FileKind::Fifo && self.flags & O_PATH == 0 {
            return open_fifo(&file, status);
        }
        if file.node().kind() == FileKind::CharDevice && self.flags & O_PATH == 0 {
            return open_device(file, self.flags, status);
        }
        Ok(Description::new(Object::File(file), status))
    }
}

/// A device: the libOS's own terminals, or what the file system leads to.
fn open_device(file: Arc<File>, flags: u32, status: u32) -> Result<Arc<Description>> {
    let Some(opened) = terminal::devices::open(file.node().device(), flags) else {
        return Ok(Description::new(Object::File(file), status));
    };
    let (terminal, side) = opened?;
    Ok(Description::of_terminal(terminal, side, file.location().clone(), status))
}

/// The pipe or the like that a path names by a descriptor of this process: `/dev/stdin`, `/proc/self/fd/3`.
pub(crate) fn nameless(path: &[u8]) -> Option<Arc<Description>> {
    let number = match path {
        b"/dev/stdin" => 0,
        b"/dev/stdout" => 1,
        b"/dev/stderr" => 2,
        _ => {
            let name = path.strip_prefix(b"/dev/fd/");
            let name = name.or_else(|| path.strip_prefix(b"/proc/self/fd/"))?;
            core::str::from_utf8(name).ok()?.parse().ok()?
        }
    };
    let description = current::descriptor(number).ok()?;
    description.location().is_none().then_some(description)
}

/// A further description of a pipe that has no name.
fn reopen(description: &Description, status: u32) -> Result<Arc<Description>> {
    let Object::Pipe(pipe, _) = description.object() else { return Err(Errno::ENXIO) };
    let end = end_for(status)?;
    pipe.open(end);
    Ok(Description::new(Object::Pipe(pipe.clone(), end), status))
}

fn end_for(status: u32) -> Result<End> {
    match status & O_ACCMODE {
        0 => Ok(End::Read),
        O_WRONLY => Ok(End::Write),
        O_RDWR => Ok(End::Both),
        _ => Err(Errno::EINVAL),
    }
}

/// Opens an end of a named pipe, and waits for the other.
fn open_fifo(file: &Arc<File>, status: u32) -> Result<Arc<Description>> {
    let attachment = file.node().attachment(|| Arc::new(Pipe::new()));
    let pipe = attachment.clone().downcast::<Pipe>().map_err(|_| Errno::ENXIO)?;
    let end = end_for(status)?;
    let has_peer = pipe.has_peer(end);
    if end == End::Write && status & O_NONBLOCK != 0 && !has_peer {
        return Err(Errno::ENXIO);
    }
    let peers = pipe.peers_ever(end);
    pipe.open(end);
    let place = file.location().clone();
    let description = Description::of_fifo(pipe.clone(), end, place, status);
    if end != End::Both && status & O_NONBLOCK == 0 && !has_peer {
        sched::wait_interruptible(|waker| {
            pipe.add_waiter(waker);
            (pipe.peers_ever(end) != peers).then_some(())
        })?;
    }
    Ok(description)
}

fn install(description: Arc<Description>, flags: u32) -> Result<i64> {
    let entry = Entry { description, close_on_exec: flags & O_CLOEXEC != 0 };
    current::install(entry, 0).map(i64::from)
}

/// `openat`.
pub fn openat(descriptor: i32, path: UserAddress, flags: u32, mode: u32) -> Result<i64> {
    let mut room = PathBuffer::new();
    let path = room.fill(path)?;
    let open = Open::new(flags & KNOWN, mode);
    if (descriptor == AT_FDCWD || path.first() == Some(&b'/'))
        && let Some(description) = open.open_known(path)?
    {
        return install(description, flags);
    }
    let at = At::new(descriptor, path)?;
    if flags & O_TMPFILE == O_TMPFILE {
        return Err(Errno::EOPNOTSUPP);
    }
    // The number comes first, so that nothing is made when there is none.
    current::check_vacant()?;
    install(open.open(at.context(), path)?, flags)
}

/// `open`.
pub fn open(path: UserAddress, flags: u32, mode: u32) -> Result<i64> {
    openat(AT_FDCWD, path, flags, mode)
}

/// `creat`.
pub fn creat(path: UserAddress, mode: u32) -> Result<i64> {
    openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

/// `openat2`.
pub fn openat2(descriptor: i32, path: UserAddress, how: UserAddress, size: usize) -> Result<i64> {
    if size < size_of::<open_how>() {
        return Err(Errno::EINVAL);
    }
    if size > size_of::<open_how>() {
        return Err(Errno::E2BIG);
    }
    let how: open_how = how.read()?;
    let flags = u32::try_from(how.flags).map_err(|_| Errno::EINVAL)?;
    let has_mode = flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE;
    if flags & !KNOWN != 0 || how.mode & !0o7777 != 0 || how.mode != 0 && !has_mode {
        return Err(Errno::EINVAL);
    }
    let mut open = Open::new(flags, how.mode as u32);
    open.resolve = resolve_flags(how.resolve)?;
    let path = PathBuffer::load(path)?;
    let at = At::new(descriptor, &path)?;
    current::check_vacant()?;
    install(open.open(at.context(), &path)?, flags)
}

fn resolve_flags(linux: u64) -> Result<ResolveFlags> {
    let linux = u32::try_from(linux).map_err(|_| Errno::EINVAL)?;
    let mut flags = ResolveFlags::empty();
    for (bit, flag) in [
        (RESOLVE_NO_SYMLINKS, ResolveFlags::NO_SYMLINKS),
        (RESOLVE_NO_MAGICLINKS, ResolveFlags::NO_JUMPS),
        (RESOLVE_BENEATH, ResolveFlags::BENEATH),
        (RESOLVE_NO_XDEV, ResolveFlags::ONE_MOUNT),
    ] {
        flags.set(flag, linux & bit != 0);
    }
    let known = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV;
    match linux & !known {
        0 => Ok(flags),
        RESOLVE_IN_ROOT => Err(Errno::EAGAIN),
        _ => Err(Errno::EINVAL),
    }
}

/// `close`.
pub fn close(descriptor: i32) -> Result<i64> {
    let entry = current::with_descriptors(|table| table.remove(descriptor))?;
    current::closed(&entry);
    Ok(0)
}

/// `close_range`.
pub fn close_range(first: u32, last: u32, flags: u32) -> Result<i64> {
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    let (first, last) = (first as usize, last as usize);
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        current::with_descriptors(|table| table.mark_close_on_exec(first, last));
        return Ok(0);
    }
    let removed = current::with_descriptors(|table| table.remove_where(first, last, |_| true));
    removed.iter().for_each(current::closed);
    Ok(0)
}

/// `dup`.
pub fn dup(descriptor: i32) -> Result<i64> {
    duplicate(descriptor, 0, false)
}

fn duplicate(descriptor: i32, least: usize, close_on_exec: bool) -> Result<i64> {
    let description = current::any_descriptor(descriptor)?;
    current::install(Entry { description, close_on_exec }, least).map(i64::from)
}

/// `dup3`.
pub fn dup3(from: i32, to: i32, flags: u32) -> Result<i64> {
    if flags & !O_CLOEXEC != 0 || from == to {
        return Err(Errno::EINVAL);
    }
    let limit = current::descriptor_limit();
    let number = usize::try_from(to).ok().filter(|&to| to < limit).ok_or(Errno::EBADF)?;
    let old = current::with_descriptors(|table| {
        let description = table.get(from)?;
        let entry = Entry { description, close_on_exec: flags & O_CLOEXEC != 0 };
        Ok::<_, Errno>(table.replace(number, entry))
    })?;
    old.iter().for_each(current::closed);
    Ok(to.into())
}

/// `dup2`.
pub fn dup2(from: i32, to: i32) -> Result<i64> {
    if from == to {
        current::any_descriptor(from)?;
        return Ok(to.into());
    }
    dup3(from, to, 0)
}

/// `fcntl`.
pub fn fcntl(descriptor: i32, command: u32, argument: u64) -> Result<i64> {
    if command == F_SETFD {
        let close = argument & u64::from(FD_CLOEXEC) != 0;
        current::with_descriptors(|table| table.set_close_on_exec(descriptor, close))?;
        return Ok(0);
    }
    let file = current::any_descriptor(descriptor)?;
    let is_about_the_number = matches!(command, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_GETFL);
    if file.flags() & O_PATH != 0 && !is_about_the_number {
        return Err(Errno::EBADF);
    }
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let limit = current::descriptor_limit() as u64;
            if argument >= limit {
                return Err(Errno::EINVAL);
            }
            duplicate(descriptor, argument as usize, command == F_DUPFD_CLOEXEC)
        }
        F_GETFD => current::with_descriptors(|table| {
            Ok(i64::from(table.entry(descriptor)?.close_on_exec) * i64::from(FD_CLOEXEC))
        }),
        F_GETFL => Ok(file.flags().into()),
        F_SETFL => {
            file.set_flags(CHANGEABLE, argument as u32);
            Ok(0)
        }
        F_GETPIPE_SZ | F_SETPIPE_SZ => pipe_size(&file, command, argument),
        _ => super::lock::control(&file, command, UserAddress(argument)),
    }
}

fn pipe_size(file: &Description, command: u32, argument: u64) -> Result<i64> {
    let Object::Pipe(pipe, _) = file.object() else { return Err(Errno::EBADF) };
    match command {
        F_GETPIPE_SZ => Ok(pipe.limit() as i64),
        _ => {
            let size = usize::try_from(argument as i32).map_err(|_| Errno::EINVAL)?;
            Ok(pipe.set_limit(size)? as i64)
        }
    }
}
