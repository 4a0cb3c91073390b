//! Calls that move bytes: reads, writes, seeks, and copies from file to file.
use crate::file::user_buffer::{TRANSFER_MAX, UserBuffers};
use crate::file::{block_on, current};
use crate::memory::UserAddress;
use crate::{Errno, Result};
use linux_raw_sys::general::{SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET};
use serix_chroma::{Extent, Seek};

/// `preadv2` and `pwritev2`: at the position.
const AT_POSITION: i64 = -1;

/// `read`.
pub fn read(descriptor: i32, buffer: UserAddress, len: usize) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    loop {
        if let Some(count) = file.read_few(buffer, len) {
            return Ok(count as i64);
        }
        if !file.wait_for_few(len)? {
            break;
        }
    }
    file.read(&mut UserBuffers::one(buffer, len)).map(|count| count as i64)
}

/// `write`.
pub fn write(descriptor: i32, buffer: UserAddress, len: usize) -> Result<i64> {
    let Some(file) = current::descriptor_unless_sink(descriptor)? else {
        return Ok(len.min(TRANSFER_MAX) as i64);
    };
    if let Some(count) = file.write_few(buffer, len) {
        return Ok(count as i64);
    }
    file.write(&mut UserBuffers::one(buffer, len)).map(|count| count as i64)
}

/// `readv`.
pub fn readv(descriptor: i32, vector: UserAddress, count: usize) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    file.read(&mut UserBuffers::vector(vector, count)?).map(|count| count as i64)
}

/// `writev`.
pub fn writev(descriptor: i32, vector: UserAddress, count: usize) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    file.write(&mut UserBuffers::vector(vector, count)?).map(|count| count as i64)
}

pub(crate) fn offset_from(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// `pread64`.
pub fn pread64(descriptor: i32, buffer: UserAddress, len: usize, offset: i64) -> Result<i64> {
    let offset = offset_from(offset)?;
    let file = current::descriptor(descriptor)?;
    file.read_at(offset, &mut UserBuffers::one(buffer, len)).map(|count| count as i64)
}

/// `pwrite64`.
pub fn pwrite64(descriptor: i32, buffer: UserAddress, len: usize, offset: i64) -> Result<i64> {
    let offset = offset_from(offset)?;
    let file = current::descriptor(descriptor)?;
    file.write_at(offset, &mut UserBuffers::one(buffer, len)).map(|count| count as i64)
}

/// `preadv`. The offset comes in two halves, the lower of which is whole on x86-64.
pub fn preadv(descriptor: i32, vector: UserAddress, count: usize, offset: i64) -> Result<i64> {
    let offset = offset_from(offset)?;
    let file = current::descriptor(descriptor)?;
    file.read_at(offset, &mut UserBuffers::vector(vector, count)?).map(|count| count as i64)
}

/// `pwritev`.
pub fn pwritev(descriptor: i32, vector: UserAddress, count: usize, offset: i64) -> Result<i64> {
    let offset = offset_from(offset)?;
    let file = current::descriptor(descriptor)?;
    file.write_at(offset, &mut UserBuffers::vector(vector, count)?).map(|count| count as i64)
}

/// `preadv2` without flags, which are hints or refused.
pub fn preadv2(
    descriptor: i32,
    vector: UserAddress,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result<i64> {
    match (flags, offset) {
        (0, AT_POSITION) => readv(descriptor, vector, count),
        (0, _) => preadv(descriptor, vector, count, offset),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// `pwritev2`, as [`preadv2`].
pub fn pwritev2(
    descriptor: i32,
    vector: UserAddress,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result<i64> {
    match (flags, offset) {
        (0, AT_POSITION) => writev(descriptor, vector, count),
        (0, _) => pwritev(descriptor, vector, count, offset),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// `lseek`.
pub fn lseek(descriptor: i32, offset: i64, whence: u32) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    if whence > SEEK_HOLE {
        return Err(Errno::EINVAL);
    }
    let file = file.file(Errno::ESPIPE)?;
    let extent_from = || match u64::try_from(offset) {
        _ if file.node().is_directory() => Err(Errno::EINVAL),
        Ok(offset) => Ok(offset),
        Err(_) => Err(Errno::ENXIO),
    };
    let to = match whence {
        SEEK_SET => Seek::Start(offset_from(offset)?),
        SEEK_CUR => Seek::Current(offset),
        SEEK_END => Seek::End(offset),
        SEEK_DATA => Seek::Extent(extent_from()?, Extent::Data),
        SEEK_HOLE => Seek::Extent(extent_from()?, Extent::Hole),
        _ => return Err(Errno::EINVAL),
    };
    block_on(file.seek(to)).map(|position| position as i64)
}

/// `fsync`.
pub fn fsync(descriptor: i32) -> Result<i64> {
    sync(descriptor, false)
}

/// `fdatasync`.
pub fn fdatasync(descriptor: i32) -> Result<i64> {
    sync(descriptor, true)
}

fn sync(descriptor: i32, data_only: bool) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    block_on(file.file(Errno::EINVAL)?.sync(data_only))?;
    Ok(0)
}

/// `splice`: pages do not move between pipes and files here, and callers fall back to reads and writes when a
/// file refuses, which Linux says with this error.
pub fn splice(
    from: i32,
    _from_offset: UserAddress,
    to: i32,
    _to_offset: UserAddress,
    _len: usize,
    _flags: u32,
) -> Result<i64> {
    current::descriptor(from)?;
    current::descriptor(to)?;
    Err(Errno::EINVAL)
}
