//! Calls that copy from file to file: `sendfile`, `copy_file_range`.
use super::transfer::offset_from;
use crate::file::description::File;
use crate::file::user_buffer::TRANSFER_MAX;
use crate::file::{Description, Object, block_on, current, wait};
use crate::memory::{FramePage, UserAddress};
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::{O_ACCMODE, O_APPEND, O_RDONLY, O_WRONLY};
use serix_chroma::{Destination, PAGE_SIZE, Page, Seek, Source};

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

/// A place in a file: an offset of the program's, or the file's own position.
struct Place {
    address: UserAddress,
    at: u64,
}

impl Place {
    fn load(address: UserAddress, file: &File) -> Result<Self> {
        let at = match address.optional() {
            None => file.position(),
            Some(address) => offset_from(address.read()?)?,
        };
        Ok(Self { address, at })
    }

    /// Leaves where the copy ended where it came from.
    fn store(&self, file: &File) -> Result<()> {
        match self.address.optional() {
            Some(address) => address.write(&self.at),
            None => block_on(file.seek(Seek::Start(self.at))).map(drop),
        }
    }
}

/// Copies up to `len` bytes, from a file to what `write` writes. Only what was written counts as read.
fn copy(
    from: &File,
    place: &mut Place,
    len: usize,
    mut write: impl FnMut(&mut Bounce<'_>) -> Result<usize>,
) -> Result<usize> {
    let page = FramePage::allocate().ok_or(Errno::ENOMEM)?;
    let (mut done, len) = (0, len.min(TRANSFER_MAX));
    while done < len {
        let piece = (len - done).min(PAGE_SIZE);
        // The end of the page is where reading stops, so short pieces lie there.
        let start = PAGE_SIZE - piece;
        let mut bounce = Bounce { page: &page, start, end: start };
        let outcome = wait(from.pread(place.at, &mut bounce)).and_then(|read| {
            let end = done + read;
            while done < end {
                let count = write(&mut bounce)?;
                done += count;
                place.at += count as u64;
            }
            Ok(read)
        });
        match outcome {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

fn check_access(from: &Description, to: &Description) -> Result<()> {
    match from.flags() & O_ACCMODE == O_WRONLY || to.flags() & O_ACCMODE == O_RDONLY {
        true => Err(Errno::EBADF),
        false => Ok(()),
    }
}

/// `sendfile`.
pub fn sendfile(to: i32, from: i32, offset: UserAddress, count: usize) -> Result<i64> {
    let (to, from) = (current::descriptor(to)?, current::descriptor(from)?);
    check_access(&from, &to)?;
    let Object::File(input) = from.object() else { return Err(Errno::EINVAL) };
    if input.node().is_directory() || to.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let mut place = Place::load(offset, input)?;
    let done = copy(input, &mut place, count, |bounce| to.write_from(None, bounce))?;
    place.store(input)?;
    Ok(done as i64)
}

/// A file whose contents are pages, which `copy_file_range` asks for.
fn plain_file(description: &Description) -> Result<&Arc<File>> {
    let file = description.file(Errno::EINVAL)?;
    match file.node().mapping() {
        Err(_) if file.node().is_directory() => Err(Errno::EISDIR),
        Ok(_) if file.direct().is_none() => Ok(file),
        _ => Err(Errno::EINVAL),
    }
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
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let (input, output) = (plain_file(&from)?, plain_file(&to)?);
    check_access(&from, &to)?;
    if to.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let mut place = Place::load(from_offset, input)?;
    let mut target = Place::load(to_offset, output)?;
    let end = |at: u64| at.saturating_add(len as u64);
    let overlaps = place.at < end(target.at) && target.at < end(place.at);
    if Arc::ptr_eq(input.node(), output.node()) && overlaps {
        return Err(Errno::EINVAL);
    }
    let done = copy(input, &mut place, len, |bounce| {
        let count = to.write_from(Some(target.at), bounce)?;
        target.at += count as u64;
        Ok(count)
    })?;
    place.store(input)?;
    target.store(output)?;
    Ok(done as i64)
}
