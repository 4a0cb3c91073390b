//! Pipes: a queue of bytes between two kinds of ends.
//!
//! The state is under a spin lock. The queue itself is taken out of it while bytes move from or to a
//! program, because that copy may fault and wait; `busy` keeps the others away meanwhile.
use super::ring::ByteRing;
use super::waiters::{Waiters, wake};
use core::task::Waker;
use serix_chroma::{Destination, Events, Source, VfsError, VfsResult};
use spin::Mutex;

/// Bytes that are written at once or not at all (POSIX `PIPE_BUF`).
pub const PIPE_BUF: usize = 4096;
/// Bytes that move in a register.
pub const FEW: usize = 8;
/// Bytes in a pipe unless `F_SETPIPE_SZ` changed it.
const DEFAULT_LIMIT: usize = 64 * 1024;
/// Most that `F_SETPIPE_SZ` grants.
const LARGEST_LIMIT: usize = 1024 * 1024;

/// A pipe or FIFO.
pub struct Pipe {
    state: Mutex<State>,
}

struct State {
    queue: ByteRing,
    busy: bool,
    limit: usize,
    readers: u32,
    writers: u32,
    /// Ends ever opened, so that the open of a FIFO knows that a peer came even if it left again.
    readers_ever: u64,
    writers_ever: u64,
    waiters: Waiters,
}

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The reading end.
    Read,
    /// The writing end.
    Write,
    /// Both, which a FIFO can be opened for.
    Both,
}

impl End {
    const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }
    const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipe {
    /// A pipe without ends.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                queue: ByteRing::new(),
                busy: false,
                limit: DEFAULT_LIMIT,
                readers: 0,
                writers: 0,
                readers_ever: 0,
                writers_ever: 0,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Adds an end.
    pub fn open(&self, end: End) {
        let waiters = {
            let mut state = self.state.lock();
            state.readers += u32::from(end.reads());
            state.writers += u32::from(end.writes());
            state.readers_ever += u64::from(end.reads());
            state.writers_ever += u64::from(end.writes());
            state.waiters.take()
        };
        wake(waiters);
    }

    /// Removes an end; the last of a kind is told to the other kind.
    pub fn close(&self, end: End) {
        let waiters = {
            let mut state = self.state.lock();
            state.readers -= u32::from(end.reads());
            state.writers -= u32::from(end.writes());
            if state.readers == 0 && state.writers == 0 && !state.busy {
                state.queue = ByteRing::new();
            }
            state.waiters.take()
        };
        wake(waiters);
    }

    /// How many ends of the other kind were ever opened: a FIFO's open waits for a change.
    #[must_use]
    pub fn peers_ever(&self, end: End) -> u64 {
        let state = self.state.lock();
        if end == End::Read { state.writers_ever } else { state.readers_ever }
    }

    /// Whether an end of the other kind is open.
    #[must_use]
    pub fn has_peer(&self, end: End) -> bool {
        let state = self.state.lock();
        if end == End::Read { state.writers > 0 } else { state.readers > 0 }
    }

    /// Adds a waiter for any change.
    pub fn add_waiter(&self, waker: &Waker) {
        self.state.lock().waiters.add(waker);
    }

    /// Reads what is there, up to the room in `into`; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there yet, `Fault`.
    pub fn try_read<P, D: Destination<P> + ?Sized>(&self, into: &mut D) -> VfsResult<usize> {
        let wanted = into.remaining();
        let mut queue = {
            let mut state = self.state.lock();
            if wanted == 0 {
                return Ok(0);
            }
            if state.busy {
                return Err(VfsError::WouldBlock);
            }
            if state.queue.is_empty() {
                return if state.writers == 0 { Ok(0) } else { Err(VfsError::WouldBlock) };
            }
            state.borrow()
        };
        let done = queue.drain(into, wanted);
        self.give_back(queue);
        if done == 0 { Err(VfsError::Fault) } else { Ok(done) }
    }

    /// Writes what fits; all or nothing up to [`PIPE_BUF`] bytes.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room yet, `BrokenPipe` if nobody can read, `Fault`, `NoMemory`.
    pub fn try_write<P, S: Source<P> + ?Sized>(&self, from: &mut S) -> VfsResult<usize> {
        let wanted = from.remaining();
        let (mut queue, len) = {
            let mut state = self.state.lock();
            if wanted == 0 {
                return Ok(0);
            }
            if state.readers == 0 {
                return Err(VfsError::BrokenPipe);
            }
            let len = state.room().min(wanted);
            if state.busy || len == 0 || (len < wanted && len < PIPE_BUF) {
                return Err(VfsError::WouldBlock);
            }
            (state.borrow(), len)
        };
        let outcome = queue.fill(from, len);
        self.give_back(queue);
        match outcome? {
            0 => Err(VfsError::Fault),
            done => Ok(done),
        }
    }

    /// As [`Self::try_read`] for at most [`FEW`] bytes, which come in the low bytes of a word with their number.
    /// `None` if this is not so simple.
    #[inline]
    pub fn take_few(&self, wanted: usize) -> Option<(u64, usize)> {
        let (taken, waiters) = {
            let mut state = self.state.lock();
            let wanted = wanted.min(state.queue.len()).min(FEW);
            if wanted == 0 {
                return None;
            }
            (state.queue.pop_few(wanted), state.waiters.take())
        };
        wake(waiters);
        Some(taken)
    }

    /// Puts bytes back that could not be stored where they should go.
    pub fn return_few(&self, bytes: u64, count: usize) {
        let waiters = {
            let mut state = self.state.lock();
            state.queue.unpop_few(bytes, count);
            state.waiters.take()
        };
        wake(waiters);
    }

    /// As [`Self::try_write`] for the `count` low bytes of a word; false if this is not so simple.
    #[inline]
    pub fn put_few(&self, bytes: u64, count: usize) -> bool {
        let waiters = {
            let mut state = self.state.lock();
            if state.readers == 0 || state.busy || state.room() < count {
                return false;
            }
            if !state.queue.push_few(bytes, count) {
                return false;
            }
            state.waiters.take()
        };
        wake(waiters);
        true
    }

    fn give_back(&self, queue: ByteRing) {
        let waiters = {
            let mut state = self.state.lock();
            state.queue = queue;
            state.busy = false;
            state.waiters.take()
        };
        wake(waiters);
    }

    /// Which of `interest`, and of errors and hang-up, hold at an end. A waker is woken when that may have changed.
    pub fn poll(&self, end: End, interest: Events, waker: Option<&Waker>) -> Events {
        let mut state = self.state.lock();
        let mut events = Events::empty();
        // While bytes are moved nothing is ready: whoever attempts something would find the queue gone.
        if end.reads() && !state.busy {
            events.set(Events::IN, !state.queue.is_empty());
            events.set(Events::HANG_UP, state.writers == 0);
        }
        if end.writes() && !state.busy {
            events.set(Events::OUT, state.room() >= PIPE_BUF);
            events.set(Events::ERROR, state.readers == 0);
        }
        if let Some(waker) = waker {
            state.waiters.add(waker);
        }
        events & (interest | Events::ERROR | Events::HANG_UP)
    }

    /// Whether a reader of an empty queue has something to wait for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let state = self.state.lock();
        !state.busy && state.queue.is_empty() && state.writers > 0
    }

    /// Whether a reader has no reason to wait; else its waker is woken when something changes.
    pub fn await_bytes(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        let has_reason = state.busy || (state.queue.is_empty() && state.writers > 0);
        if has_reason {
            state.waiters.add(waker);
        }
        !has_reason
    }

    /// Bytes that wait to be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Whether none wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Self::len`], but `None` while bytes are being moved and the number is in doubt.
    #[must_use]
    pub fn settled_len(&self) -> Option<usize> {
        let state = self.state.lock();
        (!state.busy).then(|| state.queue.len())
    }

    /// Most bytes that it holds.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.state.lock().limit
    }

    /// Changes the limit, rounded up to a power of two; answers what it became.
    ///
    /// # Errors
    /// `Permission` above a megabyte, `Busy` if more bytes than that wait.
    pub fn set_limit(&self, bytes: usize) -> VfsResult<usize> {
        if bytes > LARGEST_LIMIT {
            return Err(VfsError::Permission);
        }
        let limit = bytes.next_power_of_two().max(PIPE_BUF);
        let mut state = self.state.lock();
        if state.busy || state.queue.len() > limit {
            return Err(VfsError::Busy);
        }
        state.limit = limit;
        Ok(limit)
    }
}

impl State {
    fn borrow(&mut self) -> ByteRing {
        self.busy = true;
        core::mem::take(&mut self.queue)
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.queue.len())
    }
}
