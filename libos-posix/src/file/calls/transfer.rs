//! Calls that move bytes: reads, writes, seeks, and copies from file to file.
use crate::file::user_buffer::{TRANSFER_MAX, UserBuffers};
use crate::file::{Description, Object, block_on, current};
use crate::memory::{FramePage, UserAddress};
use crate::{Errno, Result};
use linux_raw_sys::general::{
    O_ACCMODE, O_APPEND, O_RDONLY, O_WRONLY, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};
use serix_chroma::{Destination, Extent, PAGE_SIZE, Page, Seek, Source};

/// `preadv2` and `pwritev2`: at the position.
const AT_POSITION: i64 = -1;

/// `read`.
pub fn read(descriptor: i32, buffer: UserAddress, len: usize) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    file.read(&mut UserBuffers::one(buffer, len)).map(|count| count as i64)
}

/// `write`.
pub fn write(descriptor: i32, buffer: UserAddress, len: usize) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
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

fn offset_from(offset: i64) -> Result<u64> {
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
    let file = file.file(Errno::ESPIPE)?;
    let extent_from = || u64::try_from(offset).map_err(|_| Errno::ENXIO);
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

/// One page between two files.
struct Bounce<'a> {
    page: &'a FramePage,
    start: usize,
    end: usize,
}

impl Destination<FramePage> for Bounce<'_> {
    fn remaining(&self) -> usize {
        PAGE_SIZE - self.end
    }
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.page.write(self.end, bytes);
        self.end += bytes.len();
        bytes.len()
    }
    fn put_page(&mut self, page: &FramePage, offset: usize, len: usize) -> usize {
        let mut piece = [0; 256];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(piece.len());
            page.read(offset + done, &mut piece[..part]);
            done += self.put(&piece[..part]);
        }
        done
    }
}

impl Source<FramePage> for Bounce<'_> {
    fn remaining(&self) -> usize {
        self.end - self.start
    }
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        self.page.read(self.start, bytes);
        self.start += bytes.len();
        bytes.len()
    }
    fn take_page(&mut self, page: &FramePage, offset: usize, len: usize) -> usize {
        let mut piece = [0; 256];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(piece.len());
            self.take(&mut piece[..part]);
            page.write(offset + done, &piece[..part]);
            done += part;
        }
        done
    }
}

/// Copies up to `len` bytes; offsets that are given move instead of the files' positions.
fn copy(
    from: &Description,
    to: &Description,
    from_offset: &mut Option<u64>,
    to_offset: &mut Option<u64>,
    len: usize,
) -> Result<usize> {
    let page = FramePage::allocate().ok_or(Errno::ENOMEM)?;
    let mut done = 0;
    while done < len.min(TRANSFER_MAX) {
        let piece = (len - done).min(PAGE_SIZE);
        // The end of the page is where reading stops, so short pieces lie there.
        let start = PAGE_SIZE - piece;
        let mut bounce = Bounce { page: &page, start, end: start };
        let outcome = from.read_into(*from_offset, &mut bounce).and_then(|read| {
            let mut written = 0;
            while written < read {
                let at = to_offset.map(|at| at + written as u64);
                written += to.write_from(at, &mut bounce)?;
            }
            Ok(read)
        });
        let count = match outcome {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        done += count;
        for offset in [&mut *from_offset, &mut *to_offset] {
            *offset = offset.map(|at| at + count as u64);
        }
        if count < piece {
            break;
        }
    }
    Ok(done)
}

fn load_offset(address: UserAddress) -> Result<Option<u64>> {
    match address.optional() {
        None => Ok(None),
        Some(address) => offset_from(address.read()?).map(Some),
    }
}

fn store_offset(address: UserAddress, offset: Option<u64>) -> Result<()> {
    match (address.optional(), offset) {
        (Some(address), Some(offset)) => address.write(&offset),
        _ => Ok(()),
    }
}

/// `sendfile`.
pub fn sendfile(to: i32, from: i32, offset: UserAddress, count: usize) -> Result<i64> {
    let mut from_offset = load_offset(offset)?;
    let (to, from) = (current::descriptor(to)?, current::descriptor(from)?);
    if from.flags() & O_ACCMODE == O_WRONLY || to.flags() & O_ACCMODE == O_RDONLY {
        return Err(Errno::EBADF);
    }
    let is_plain = matches!(from.object(), Object::File(_));
    if !is_plain || to.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let done = copy(&from, &to, &mut from_offset, &mut None, count)?;
    store_offset(offset, from_offset)?;
    Ok(done as i64)
}

/// `copy_file_range`.
pub fn copy_file_range(
    from: i32,
    from_offset: UserAddress,
    to: i32,
    to_offset: UserAddress,
    len: usize,
    flags: u32,
) -> Result<i64> {
    let (from, to) = (current::descriptor(from)?, current::descriptor(to)?);
    let (mut from_at, mut to_at) = (load_offset(from_offset)?, load_offset(to_offset)?);
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    for file in [&from, &to] {
        let node = file.file(Errno::EINVAL)?.node();
        match node.mapping() {
            Ok(_) if file.file(Errno::EINVAL)?.direct().is_none() => {}
            Err(error) if node.is_directory() => return Err(error.into()),
            _ => return Err(Errno::EINVAL),
        }
    }
    if from.flags() & O_ACCMODE == O_WRONLY || to.flags() & O_ACCMODE == O_RDONLY {
        return Err(Errno::EBADF);
    }
    if to.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let done = copy(&from, &to, &mut from_at, &mut to_at, len)?;
    store_offset(from_offset, from_at)?;
    store_offset(to_offset, to_at)?;
    Ok(done as i64)
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
