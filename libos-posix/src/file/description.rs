//! Open file descriptions: what `dup` and `fork` share.
use super::epoll::Epoll;
use super::event::EventCounter;
use super::pipe::{End, FEW, Pipe};
use super::user_buffer::UserBuffers;
use super::{Page, current, wait, wait_interruptibly};
use crate::fs::Location;
use crate::memory::UserAddress;
use crate::raw::user;
use crate::sched;
use crate::terminal::{Side, Terminal};
use crate::{Errno, Result};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;
use linux_raw_sys::general::{O_ACCMODE, O_APPEND, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use serix_chroma::{
    Destination, DeviceNumber, Events, FileKind, OpenFlags, Source, VfsError, VfsResult,
};

/// A file of the tree of names.
pub type File = serix_chroma::File<Page>;

/// What a description is a description of.
pub enum Object {
    /// A file, directory or device.
    File(Arc<File>),
    /// An end of a pipe.
    Pipe(Arc<Pipe>, End),
    /// An event counter.
    Event(EventCounter),
    /// Interest in other descriptions.
    Epoll(Epoll),
    /// A side of a terminal.
    Terminal(Arc<Terminal>, Side),
}

/// An open file description.
pub struct Description {
    object: Object,
    /// Status flags and access mode with the values of `open`.
    flags: AtomicU32,
    /// Where a FIFO or terminal was found; files know it themselves.
    place: Option<Location>,
    /// It takes what is written without looking at it.
    is_sink: bool,
}

/// The number of `/dev/null`.
const NULL_DEVICE: DeviceNumber = DeviceNumber { major: 1, minor: 3 };

/// Whether a file is `/dev/null`, open for writing.
fn is_sink(object: &Object, flags: u32) -> bool {
    let Object::File(file) = object else { return false };
    let is_null = file.node().kind() == FileKind::CharDevice && file.node().device() == NULL_DEVICE;
    is_null && file.direct().is_some() && matches!(flags & O_ACCMODE, O_WRONLY | O_RDWR)
}

impl Description {
    /// A description with these flags of `open`. The end of a pipe is open already.
    #[must_use]
    pub fn new(object: Object, flags: u32) -> Arc<Self> {
        let is_sink = is_sink(&object, flags);
        Arc::new(Self { object, flags: AtomicU32::new(flags), place: None, is_sink })
    }

    /// An end of the FIFO at a place.
    #[must_use]
    pub fn of_fifo(pipe: Arc<Pipe>, end: End, place: Location, flags: u32) -> Arc<Self> {
        let object = Object::Pipe(pipe, end);
        let flags = AtomicU32::new(flags);
        Arc::new(Self { object, flags, place: Some(place), is_sink: false })
    }

    /// A side of the terminal at a place, which is open already.
    #[must_use]
    pub fn of_terminal(
        terminal: Arc<Terminal>,
        side: Side,
        place: Location,
        flags: u32,
    ) -> Arc<Self> {
        let object = Object::Terminal(terminal, side);
        let flags = AtomicU32::new(flags);
        Arc::new(Self { object, flags, place: Some(place), is_sink: false })
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        Self::new(Object::Event(EventCounter::new(0, false)), 0)
    }

    /// Whether it takes what is written without looking at it.
    #[inline]
    #[must_use]
    pub fn is_sink(&self) -> bool {
        self.is_sink
    }

    /// The object.
    #[inline]
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The file, if it is one.
    ///
    /// # Errors
    /// `other` for everything else.
    #[inline]
    pub fn file(&self, other: Errno) -> Result<&Arc<File>> {
        match &self.object {
            Object::File(file) => Ok(file),
            _ => Err(other),
        }
    }

    /// Where it was found, if it has a name.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        match &self.object {
            Object::File(file) => Some(file.location()),
            _ => self.place.as_ref(),
        }
    }

    /// Access mode and status flags.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets those of the status flags in `changeable` to what `flags` has.
    pub fn set_flags(&self, changeable: u32, flags: u32) {
        let flags = self.flags() & !changeable | flags & changeable;
        self.flags.store(flags, Ordering::Relaxed);
        if let Object::File(file) = &self.object {
            let mut chroma = OpenFlags::empty();
            chroma.set(OpenFlags::APPEND, flags & O_APPEND != 0);
            chroma.set(OpenFlags::NON_BLOCKING, flags & O_NONBLOCK != 0);
            file.set_flags(chroma);
        }
    }

    #[inline]
    fn is_non_blocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// Which of `interest`, and of errors and hang-up, hold. A waker is woken when that may have changed.
    pub fn poll(&self, interest: Events, waker: Option<&Waker>) -> Events {
        match &self.object {
            Object::File(file) => file.poll(interest, waker),
            Object::Pipe(pipe, end) => pipe.poll(*end, interest, waker),
            Object::Event(counter) => counter.poll(interest, waker),
            Object::Epoll(epoll) => epoll.poll(interest, waker),
            Object::Terminal(terminal, side) => terminal.poll(*side, interest, waker),
        }
    }

    /// Attempts something until it does not have to wait for one of `interest`, or may not wait.
    fn attempt<T>(&self, interest: Events, mut what: impl FnMut() -> VfsResult<T>) -> Result<T> {
        loop {
            match what() {
                Err(VfsError::WouldBlock) if !self.is_non_blocking() => {}
                outcome => return outcome.map_err(Errno::from),
            }
            sched::wait_interruptible(|waker| {
                (!self.poll(interest, Some(waker)).is_empty()).then_some(())
            })?;
        }
    }

    /// The read of a few bytes that are there already: how many were moved. `None` for all that takes longer.
    #[inline]
    pub fn read_few(&self, buffer: UserAddress, len: usize) -> Option<usize> {
        let Object::Pipe(pipe, End::Read) = &self.object else { return None };
        if len > FEW {
            return None;
        }
        let (bytes, count) = pipe.take_few(len)?;
        if user::store(buffer.0, &bytes.to_le_bytes()[..count]) < count {
            pipe.return_few(bytes, count);
            return None;
        }
        Some(count)
    }

    /// Waits until [`Self::read_few`] may have something to read; false if that is not what the read waits for.
    ///
    /// # Errors
    /// `RESTART` if a signal came.
    pub fn wait_for_few(&self, len: usize) -> Result<bool> {
        let Object::Pipe(pipe, End::Read) = &self.object else { return Ok(false) };
        if len == 0 || len > FEW || self.is_non_blocking() || !pipe.is_waiting() {
            return Ok(false);
        }
        sched::wait_interruptible(|waker| pipe.await_bytes(waker).then_some(()))?;
        Ok(true)
    }

    /// The write of a few bytes for which there is room, as [`Self::read_few`].
    #[inline]
    pub fn write_few(&self, buffer: UserAddress, len: usize) -> Option<usize> {
        let Object::Pipe(pipe, End::Write) = &self.object else { return None };
        if len > FEW || len == 0 {
            return None;
        }
        let mut bytes = [0; FEW];
        let is_loaded = user::load(buffer.0, &mut bytes[..len]) == len;
        (is_loaded && pipe.put_few(u64::from_le_bytes(bytes), len)).then_some(len)
    }

    /// Reads at the position.
    ///
    /// # Errors
    /// As `read`.
    pub fn read(&self, into: &mut UserBuffers) -> Result<usize> {
        match &self.object {
            Object::File(file) if file.direct().is_some() => wait_interruptibly(file.read(into)),
            Object::File(file) => wait(file.read(into)),
            Object::Pipe(pipe, End::Read | End::Both) => {
                self.attempt(Events::IN, || pipe.try_read(into))
            }
            Object::Pipe(..) => Err(Errno::EBADF),
            Object::Event(counter) => self.read_counter(counter, into),
            Object::Epoll(_) => Err(Errno::EINVAL),
            Object::Terminal(..) if self.flags() & O_ACCMODE == O_WRONLY => Err(Errno::EBADF),
            Object::Terminal(terminal, Side::Program) => {
                terminal.read(into, self.is_non_blocking())
            }
            Object::Terminal(terminal, Side::Master) => {
                terminal.read_master(into, self.is_non_blocking())
            }
        }
    }

    fn read_counter(&self, counter: &EventCounter, into: &mut UserBuffers) -> Result<usize> {
        if Destination::remaining(into) < 8 {
            return Err(Errno::EINVAL);
        }
        let value = self.attempt(Events::IN, || counter.try_take())?;
        if into.put(&value.to_ne_bytes()) < 8 { Err(Errno::EFAULT) } else { Ok(8) }
    }

    /// Reads at an offset.
    ///
    /// # Errors
    /// As `pread64`.
    #[inline]
    pub fn read_at(&self, offset: u64, into: &mut UserBuffers) -> Result<usize> {
        match &self.object {
            Object::File(file) => match file.pread_now(offset, into) {
                Some(count) => count.map_err(Errno::from),
                None => wait(file.pread(offset, into)),
            },
            _ => Err(Errno::ESPIPE),
        }
    }

    /// Writes at the position.
    ///
    /// # Errors
    /// As `write`.
    pub fn write(&self, from: &mut UserBuffers) -> Result<usize> {
        match &self.object {
            Object::File(file) if file.direct().is_some() => wait_interruptibly(file.write(from)),
            // Nothing to write moves no position, not even to the end.
            Object::File(file) if Source::remaining(from) == 0 => {
                let is_open_for_it = file.flags().contains(OpenFlags::WRITE);
                if is_open_for_it { Ok(0) } else { Err(Errno::EBADF) }
            }
            Object::File(file) => {
                limit_size(file, None, from)?;
                wait(file.write(from))
            }
            Object::Pipe(pipe, End::Write | End::Both) => self.write_pipe(pipe, from),
            Object::Pipe(..) => Err(Errno::EBADF),
            Object::Event(counter) => self.write_counter(counter, from),
            Object::Epoll(_) => Err(Errno::EINVAL),
            Object::Terminal(terminal, side) => self.write_terminal(terminal, *side, from),
        }
    }

    fn write_terminal(
        &self,
        terminal: &Terminal,
        side: Side,
        from: &mut dyn Source<Page>,
    ) -> Result<usize> {
        match side {
            _ if self.flags() & O_ACCMODE == O_RDONLY => Err(Errno::EBADF),
            Side::Program => terminal.write(from, self.is_non_blocking()),
            Side::Master => terminal.write_master(from, self.is_non_blocking()),
        }
    }

    /// Writes everything, in as many pieces as the pipe's room makes of it.
    fn write_pipe(&self, pipe: &Pipe, from: &mut UserBuffers) -> Result<usize> {
        let mut done = 0;
        loop {
            match self.attempt(Events::OUT, || pipe.try_write(from)) {
                Ok(count) => done += count,
                Err(error) => {
                    if error == Errno::EPIPE {
                        current::broken_pipe();
                    }
                    return if done > 0 { Ok(done) } else { Err(error) };
                }
            }
            if Source::remaining(from) == 0 {
                return Ok(done);
            }
        }
    }

    fn write_counter(&self, counter: &EventCounter, from: &mut UserBuffers) -> Result<usize> {
        if Source::remaining(from) < 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        if from.take(&mut bytes) < 8 {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_ne_bytes(bytes);
        self.attempt(Events::OUT, || counter.try_add(value)).map(|()| 8)
    }

    /// Writes at an offset.
    ///
    /// # Errors
    /// As `pwrite64`.
    #[inline]
    pub fn write_at(&self, offset: u64, from: &mut UserBuffers) -> Result<usize> {
        match &self.object {
            Object::File(file) => {
                limit_size(file, Some(offset), from)?;
                match file.pwrite_now(offset, from) {
                    Some(count) => count.map_err(Errno::from),
                    None => wait(file.pwrite(offset, from)),
                }
            }
            _ => Err(Errno::ESPIPE),
        }
    }
}

impl Description {
    /// Writes from libOS memory, at an offset or the position.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_from(&self, offset: Option<u64>, from: &mut dyn Source<Page>) -> Result<usize> {
        match (&self.object, offset) {
            (Object::File(file), Some(offset)) => wait(file.pwrite(offset, from)),
            (Object::File(file), None) if file.direct().is_some() => {
                wait_interruptibly(file.write(from))
            }
            (Object::File(file), None) => wait(file.write(from)),
            (Object::Pipe(pipe, End::Write | End::Both), None) => {
                self.attempt(Events::OUT, || pipe.try_write(from)).inspect_err(|error| {
                    if *error == Errno::EPIPE {
                        current::broken_pipe();
                    }
                })
            }
            (Object::Terminal(terminal, side), None) => self.write_terminal(terminal, *side, from),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Cuts a write where the process's file size limit is, or refuses it.
#[inline]
fn limit_size(file: &File, offset: Option<u64>, from: &mut UserBuffers) -> Result<()> {
    let limit = current::file_size_limit();
    if limit == u64::MAX || file.node().kind() != FileKind::Regular {
        return Ok(());
    }
    let at = match offset {
        _ if file.flags().contains(OpenFlags::APPEND) => file.node().mapping()?.size(),
        Some(offset) => offset,
        None => file.position(),
    };
    if at >= limit && Source::remaining(from) > 0 {
        current::file_size_exceeded();
        return Err(Errno::EFBIG);
    }
    from.limit(usize::try_from(limit.saturating_sub(at)).unwrap_or(usize::MAX));
    Ok(())
}

impl Drop for Description {
    fn drop(&mut self) {
        super::lock::ended(self);
        if let Object::Pipe(pipe, end) = &self.object {
            pipe.close(*end);
        }
        if let Object::Terminal(terminal, side) = &self.object {
            terminal.close(*side);
        }
    }
}
