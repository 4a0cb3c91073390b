//! The other end of a read or write: a program's memory, seen through the libOS.
//!
//! Only the libOS knows how to touch program memory and survive the fault, so data moves by calls
//! to these traits. Each is a cursor over the caller's buffers (one, or the list of a `readv`).
//! They are called without any spin lock held, so they may fault, wait and take locks.
use crate::{VfsError, VfsResult};

/// Receives what is read.
pub trait Destination<P>: Send {
    /// Bytes that still fit.
    fn remaining(&self) -> usize;

    /// Takes `bytes`, and tells how many could be stored; fewer than given means a fault.
    fn put(&mut self, bytes: &[u8]) -> usize;

    /// Takes `len` bytes at `offset` of `page`, as [`Self::put`].
    fn put_page(&mut self, page: &P, offset: usize, len: usize) -> usize;

    /// Takes `len` zeroes, as [`Self::put`].
    fn put_zeroes(&mut self, mut len: usize) -> usize {
        let (zeroes, mut done) = ([0; 64], 0);
        while len > 0 {
            let part = len.min(zeroes.len());
            let stored = self.put(&zeroes[..part]);
            done += stored;
            len -= part;
            if stored < part {
                break;
            }
        }
        done
    }
}

/// Gives what is written.
pub trait Source<P>: Send {
    /// Bytes that are still to come.
    fn remaining(&self) -> usize;

    /// Fills `bytes`, and tells how many could be loaded; fewer than asked means a fault.
    fn take(&mut self, bytes: &mut [u8]) -> usize;

    /// Fills `len` bytes at `offset` of `page`, as [`Self::take`].
    fn take_page(&mut self, page: &P, offset: usize, len: usize) -> usize;
}

/// The memory that the argument of a device control request points to.
pub trait ArgumentMemory: Send {
    /// Loads `into.len()` bytes at `address`.
    ///
    /// # Errors
    /// `Fault` if not all could be loaded.
    fn load(&mut self, address: u64, into: &mut [u8]) -> VfsResult<()>;

    /// Stores `from` at `address`.
    ///
    /// # Errors
    /// `Fault` if not all could be stored.
    fn store(&mut self, address: u64, from: &[u8]) -> VfsResult<()>;
}

bitflags::bitflags! {
    /// Readiness of a file, with the values of POSIX `poll` on Linux.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u32 {
        /// Reading would not wait.
        const IN = 0x001;
        /// Urgent data.
        const PRIORITY = 0x002;
        /// Writing would not wait.
        const OUT = 0x004;
        /// An error waits.
        const ERROR = 0x008;
        /// The other end is gone.
        const HANG_UP = 0x010;
        /// The other end will write no more.
        const READ_HANG_UP = 0x2000;
    }
}

impl<P: crate::Page> Destination<P> for &mut [u8] {
    fn remaining(&self) -> usize {
        self.len()
    }
    fn put(&mut self, bytes: &[u8]) -> usize {
        let (head, tail) = core::mem::take(self).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        *self = tail;
        bytes.len()
    }
    fn put_page(&mut self, page: &P, offset: usize, len: usize) -> usize {
        let (head, tail) = core::mem::take(self).split_at_mut(len);
        page.read(offset, head);
        *self = tail;
        len
    }
}

impl<P: crate::Page> Source<P> for &[u8] {
    fn remaining(&self) -> usize {
        self.len()
    }
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let (head, tail) = self.split_at(bytes.len());
        bytes.copy_from_slice(head);
        *self = tail;
        bytes.len()
    }
    fn take_page(&mut self, page: &P, offset: usize, len: usize) -> usize {
        let (head, tail) = self.split_at(len);
        page.write(offset, head);
        *self = tail;
        len
    }
}

/// What a transfer of `done` bytes of `wanted` means when memory stopped it.
pub(crate) fn transferred(done: usize, wanted: usize) -> VfsResult<usize> {
    if done == 0 && wanted > 0 { Err(VfsError::Fault) } else { Ok(done) }
}
