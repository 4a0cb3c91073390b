//! Calls that make objects without a name: pipes, event counters, files in memory.
use crate::file::event::EventCounter;
use crate::file::path_buffer::PathBuffer;
use crate::file::pipe::{End, Pipe};
use crate::file::table::Entry;
use crate::file::{Description, Object, block_on, current};
use crate::fs;
use crate::memory::UserAddress;
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC,
    MFD_NOEXEC_SEAL, O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDWR, O_WRONLY,
};

/// Longest name of a file in memory, with its NUL.
const MEMORY_NAME_MAX: usize = 250;

/// `pipe2`.
pub fn pipe2(into: UserAddress, flags: u32) -> Result<i64> {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    // Packets are not what any of our users wants of a pipe.
    if flags & O_DIRECT != 0 {
        return Err(Errno::EINVAL);
    }
    let pipe = Arc::new(Pipe::new());
    pipe.open(End::Both);
    let status = flags & O_NONBLOCK;
    let close_on_exec = flags & O_CLOEXEC != 0;
    let end = |end, flags| Entry {
        description: Description::new(Object::Pipe(pipe.clone(), end), flags),
        close_on_exec,
    };
    let (read, write) = (end(End::Read, status), end(End::Write, status | O_WRONLY));
    let reading = current::install(read, 0)?;
    let writing = current::install(write, 0).inspect_err(|_| take_back(reading))?;
    into.write(&[reading, writing]).inspect_err(|_| {
        take_back(reading);
        take_back(writing);
    })?;
    Ok(0)
}

fn take_back(number: i32) {
    let _removed = current::with_descriptors(|table| table.remove(number));
}

/// `pipe`.
pub fn pipe(into: UserAddress) -> Result<i64> {
    pipe2(into, 0)
}

/// `eventfd2`.
pub fn eventfd2(initial: u32, flags: u32) -> Result<i64> {
    if flags & !(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let counter = EventCounter::new(initial.into(), flags & EFD_SEMAPHORE != 0);
    let description = Description::new(Object::Event(counter), O_RDWR | flags & O_NONBLOCK);
    let entry = Entry { description, close_on_exec: flags & EFD_CLOEXEC != 0 };
    current::install(entry, 0).map(i64::from)
}

/// `eventfd`.
pub fn eventfd(initial: u32) -> Result<i64> {
    eventfd2(initial, 0)
}

/// `memfd_create`: a file without a name on a RAM disk that is mounted nowhere.
pub fn memfd_create(name: UserAddress, flags: u32) -> Result<i64> {
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC | MFD_NOEXEC_SEAL) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = PathBuffer::load_string(name, MEMORY_NAME_MAX, Errno::EINVAL)?;
    current::check_vacant()?;
    let file = block_on(fs::memory_file(&name))?;
    let description = Description::new(Object::File(file), O_RDWR);
    let entry = Entry { description, close_on_exec: flags & MFD_CLOEXEC != 0 };
    current::install(entry, 0).map(i64::from)
}
