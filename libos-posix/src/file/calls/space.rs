//! Calls about the space that files take and about making them durable.
use super::attributes::checked_size;
use crate::file::{Description, Object, block_on, current};
use crate::fs::vfs;
use crate::{Errno, Result};
use linux_raw_sys::general::{
    FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, O_ACCMODE, O_RDONLY,
    POSIX_FADV_NOREUSE, SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE,
    SYNC_FILE_RANGE_WRITE,
};
use serix_chroma::AllocateMode;

/// Modes of `fallocate` that Linux knows, whether file systems have them or not.
const KNOWN_MODES: u32 = 0x7B;

/// `ftruncate`.
pub fn ftruncate(descriptor: i32, size: i64) -> Result<i64> {
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    let file = current::descriptor(descriptor)?;
    let file = file.file(Errno::EINVAL)?;
    let size = checked_size(size)?;
    block_on(file.truncate(size))?;
    Ok(0)
}

/// `fallocate`.
pub fn fallocate(descriptor: i32, mode: u32, offset: i64, len: i64) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL);
    };
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    const PUNCH: u32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if mode & !KNOWN_MODES != 0 || mode & PUNCH == FALLOC_FL_PUNCH_HOLE {
        return Err(Errno::EOPNOTSUPP);
    }
    if file.flags() & O_ACCMODE == O_RDONLY {
        return Err(Errno::EBADF);
    }
    let is_pipe = matches!(file.object(), Object::Pipe(..));
    let file = file.file(if is_pipe { Errno::ESPIPE } else { Errno::ENODEV })?;
    if file.direct().is_some() {
        return Err(Errno::ENODEV);
    }
    let keep_size = mode & FALLOC_FL_KEEP_SIZE != 0;
    let mode = match mode {
        0 | FALLOC_FL_KEEP_SIZE => AllocateMode::Reserve { keep_size },
        PUNCH => AllocateMode::PunchHole,
        _ if mode & !FALLOC_FL_KEEP_SIZE == FALLOC_FL_ZERO_RANGE => {
            AllocateMode::ZeroRange { keep_size }
        }
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let end = offset.checked_add(len).filter(|&end| end <= i64::MAX as u64);
    let end = end.ok_or(Errno::EFBIG)?;
    if !keep_size {
        checked_size(end as i64)?;
    }
    block_on(file.allocate(mode, offset, len))?;
    Ok(0)
}

/// `sync`. Linux tells nobody of an error here; `syncfs` and `fsync` do.
pub fn sync() -> Result<i64> {
    let _ = block_on(vfs().sync());
    Ok(0)
}

/// `syncfs`.
pub fn syncfs(descriptor: i32) -> Result<i64> {
    current::descriptor(descriptor)?;
    block_on(vfs().sync())?;
    Ok(0)
}

/// `sync_file_range`.
pub fn sync_file_range(descriptor: i32, offset: i64, len: i64, flags: u32) -> Result<i64> {
    let known = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    let file = current::descriptor(descriptor)?;
    let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL);
    };
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let end = if len == 0 { i64::MAX as u64 } else { offset.saturating_add(len) };
    block_on(file.file(Errno::ESPIPE)?.write_back(offset, end))?;
    Ok(0)
}

fn check_readable(file: &Description) -> Result<()> {
    match file.flags() & O_ACCMODE {
        linux_raw_sys::general::O_WRONLY => Err(Errno::EBADF),
        _ => Ok(()),
    }
}

/// `readahead`: sequential reads are read ahead of anyway.
pub fn readahead(descriptor: i32, _offset: i64, _len: usize) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    check_readable(&file)?;
    file.file(Errno::EINVAL)?.node().mapping()?;
    Ok(0)
}

/// `fadvise64`: advice that is checked and not taken.
pub fn fadvise64(descriptor: i32, _offset: i64, len: i64, advice: u32) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    file.file(Errno::ESPIPE)?;
    if len < 0 || advice > POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}
