//! The buffers of a read or write call: program memory as chroma sees it.
use super::Page;
use crate::memory::UserAddress;
use crate::raw::user;
use crate::{Errno, Result};
use alloc::vec;
use alloc::vec::Vec;
use serix_chroma::{Destination, Source};

/// Most bytes that one call moves, as on Linux: the largest `int` in whole pages.
pub const TRANSFER_MAX: usize = 0x7FFF_F000;
/// Most buffers of one call.
pub const BUFFERS_MAX: usize = 1024;
/// Bytes of one `struct iovec`.
const IOVEC_SIZE: usize = 16;

#[derive(Clone, Copy)]
struct Segment {
    address: u64,
    len: usize,
}

/// A cursor over one or several buffers of the program.
pub struct UserBuffers {
    now: Segment,
    /// What follows, last one first.
    then: Vec<Segment>,
    remaining: usize,
}

impl UserBuffers {
    /// One buffer; longer ones are cut at [`TRANSFER_MAX`].
    #[inline]
    #[must_use]
    pub fn one(address: UserAddress, len: usize) -> Self {
        let (address, len) = (address.0, len.min(TRANSFER_MAX));
        Self { now: Segment { address, len }, then: Vec::new(), remaining: len }
    }

    /// The buffers of an array of `count` `struct iovec`.
    ///
    /// # Errors
    /// `EINVAL` if they are too many or too long, `EFAULT`.
    pub fn vector(address: UserAddress, count: usize) -> Result<Self> {
        if count > BUFFERS_MAX {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; count * IOVEC_SIZE];
        address.read_bytes(&mut bytes)?;
        let mut buffers = Self::one(UserAddress(0), 0);
        for entry in bytes.chunks_exact(IOVEC_SIZE) {
            let (address, len) = entry.split_at(8);
            let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
            let len = isize::try_from(word(len)).map_err(|_| Errno::EINVAL)? as usize;
            let len = len.min(TRANSFER_MAX - buffers.remaining);
            buffers.remaining += len;
            buffers.then.push(Segment { address: word(address), len });
        }
        buffers.then.reverse();
        Ok(buffers)
    }

    /// Leaves off what is beyond `len` bytes.
    pub fn limit(&mut self, len: usize) {
        let mut excess = self.remaining.saturating_sub(len);
        self.remaining -= excess;
        for segment in self.then.iter_mut().chain([&mut self.now]) {
            let cut = excess.min(segment.len);
            segment.len -= cut;
            excess -= cut;
        }
    }

    /// Moves up to `wanted` bytes, `each` a piece of one buffer at an offset of the transfer, and tells how many it
    /// moved of it.
    #[inline]
    fn advance(
        &mut self,
        wanted: usize,
        mut each: impl FnMut(u64, usize, usize) -> usize,
    ) -> usize {
        let mut done = 0;
        while done < wanted {
            if self.now.len == 0 {
                let Some(next) = self.then.pop() else { break };
                self.now = next;
                continue;
            }
            let part = self.now.len.min(wanted - done);
            let moved = each(self.now.address, done, part);
            self.now.address += moved as u64;
            self.now.len -= moved;
            done += moved;
            if moved < part {
                break;
            }
        }
        self.remaining -= done;
        done
    }
}

impl Destination<Page> for UserBuffers {
    fn remaining(&self) -> usize {
        self.remaining
    }
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.advance(bytes.len(), |address, at, len| user::store(address, &bytes[at..at + len]))
    }
    fn put_page(&mut self, page: &Page, offset: usize, len: usize) -> usize {
        let frame = page.frame();
        self.advance(len, |address, at, len| user::store_frame(address, frame, offset + at, len))
    }
    fn put_zeroes(&mut self, len: usize) -> usize {
        self.advance(len, |address, _, len| user::zero(address, len))
    }
}

impl Source<Page> for UserBuffers {
    fn remaining(&self) -> usize {
        self.remaining
    }
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        self.advance(bytes.len(), |address, at, len| user::load(address, &mut bytes[at..at + len]))
    }
    fn take_page(&mut self, page: &Page, offset: usize, len: usize) -> usize {
        let frame = page.frame();
        self.advance(len, |address, at, len| user::load_frame(address, frame, offset + at, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    /// Stands for program memory: statics of a test program lie below the end of it.
    static MEMORY: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

    fn address(word: usize) -> UserAddress {
        UserAddress(MEMORY[word].as_ptr() as u64)
    }

    fn vector(parts: &[(u64, usize)]) -> UserAddress {
        for (index, (address, len)) in parts.iter().enumerate() {
            MEMORY[2 * index].store(*address, Ordering::Relaxed);
            MEMORY[2 * index + 1].store(*len as u64, Ordering::Relaxed);
        }
        address(0)
    }

    /// All in one test: they share the memory.
    #[test]
    fn buffers_are_filled_one_after_the_other() {
        let parts = [(address(40).0, 3), (0, 0), (address(50).0 + 1, 9), (address(60).0, 16)];
        let mut buffers = UserBuffers::vector(vector(&parts), parts.len()).unwrap();
        assert_eq!(Destination::remaining(&buffers), 28);
        buffers.limit(22);
        let bytes: Vec<u8> = (1..=22).collect();
        assert_eq!((buffers.put(&bytes[..5]), buffers.put(&bytes[5..])), (5, 17));
        assert_eq!(Destination::remaining(&buffers), 0);
        assert_eq!(buffers.put(b"more"), 0);

        let mut back = UserBuffers::vector(vector(&parts), parts.len()).unwrap();
        let mut got = [0; 28];
        assert_eq!((back.take(&mut got[..11]), back.take(&mut got[11..])), (11, 17));
        assert_eq!(got[..22], bytes);
        assert_eq!(got[22..], [0; 6]);

        // Unreachable memory ends a transfer where it begins.
        let parts = [(address(40).0, 2), (u64::MAX - 7, 4), (address(50).0, 2)];
        let mut broken = UserBuffers::vector(vector(&parts), parts.len()).unwrap();
        assert_eq!(broken.put(&[9; 8]), 2);

        let too_long = vector(&[(0, usize::MAX)]);
        assert_eq!(UserBuffers::vector(too_long, 1).err(), Some(Errno::EINVAL));
        assert_eq!(UserBuffers::vector(address(0), BUFFERS_MAX + 1).err(), Some(Errno::EINVAL));
        assert_eq!(UserBuffers::vector(UserAddress(u64::MAX - 15), 1).err(), Some(Errno::EFAULT));
        let most = UserBuffers::one(address(0), usize::MAX);
        assert_eq!(Source::remaining(&most), TRANSFER_MAX);
    }
}
