//! A queue of bytes that grows with its need up to a limit.
use alloc::vec::Vec;
use serix_chroma::{Destination, Source, VfsError, VfsResult};

/// Bytes of the first allocation.
const SMALLEST: usize = 4096;

/// The bytes of a pipe. Capacity is zero or a power of two from [`SMALLEST`] on.
#[derive(Debug, Default)]
pub(super) struct ByteRing {
    bytes: Vec<u8>,
    head: usize,
    len: usize,
}

impl ByteRing {
    /// An empty queue without memory.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), head: 0, len: 0 }
    }

    /// Bytes in the queue.
    #[must_use]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends up to `len` bytes of `from`; answers how many it gave.
    ///
    /// # Errors
    /// `NoMemory` if there is no room for all and none can be had.
    pub(super) fn fill<P, S: Source<P> + ?Sized>(
        &mut self,
        from: &mut S,
        len: usize,
    ) -> VfsResult<usize> {
        self.reserve(self.len + len)?;
        let mut done = 0;
        while done < len {
            let start = (self.head + self.len) & (self.bytes.len() - 1);
            let end = (start + len - done).min(self.bytes.len());
            let taken = from.take(&mut self.bytes[start..end]);
            self.len += taken;
            done += taken;
            if taken < end - start {
                break;
            }
        }
        Ok(done)
    }

    /// Moves up to `len` bytes to `into`; answers how many it took.
    pub(super) fn drain<P, D: Destination<P> + ?Sized>(
        &mut self,
        into: &mut D,
        len: usize,
    ) -> usize {
        let (mut done, len) = (0, len.min(self.len));
        while done < len {
            let end = (self.head + len - done).min(self.bytes.len());
            let wanted = end - self.head;
            let put = into.put(&self.bytes[self.head..end]);
            self.head = (self.head + put) & (self.bytes.len() - 1);
            self.len -= put;
            done += put;
            if put < wanted {
                break;
            }
        }
        done
    }

    /// Takes `count` bytes, of which there are as many, into the low bytes of a word.
    #[inline]
    pub(super) fn pop_few(&mut self, count: usize) -> (u64, usize) {
        let mask = self.bytes.len().wrapping_sub(1);
        let mut word = 0;
        for index in 0..count {
            let byte = self.bytes.get((self.head + index) & mask).copied().unwrap_or_default();
            word |= u64::from(byte) << (8 * index);
        }
        self.head = (self.head + count) & mask;
        self.len -= count;
        (word, count)
    }

    /// Takes the last [`Self::pop_few`] back. Only without memory for it are the bytes lost.
    pub(super) fn unpop_few(&mut self, word: u64, count: usize) {
        if self.reserve(self.len + count).is_err() {
            return;
        }
        let mask = self.bytes.len() - 1;
        self.head = self.head.wrapping_sub(count) & mask;
        self.len += count;
        for index in 0..count {
            self.bytes[(self.head + index) & mask] = (word >> (8 * index)) as u8;
        }
    }

    /// Appends the `count` low bytes of a word; false if memory would have to be had for it.
    #[inline]
    pub(super) fn push_few(&mut self, word: u64, count: usize) -> bool {
        if self.len + count > self.bytes.len() {
            return false;
        }
        let mask = self.bytes.len().wrapping_sub(1);
        for index in 0..count {
            let at = (self.head + self.len + index) & mask;
            if let Some(byte) = self.bytes.get_mut(at) {
                *byte = (word >> (8 * index)) as u8;
            }
        }
        self.len += count;
        true
    }

    /// Makes room for `wanted` bytes in all.
    fn reserve(&mut self, wanted: usize) -> VfsResult<()> {
        if wanted <= self.bytes.len() {
            return Ok(());
        }
        let capacity = wanted.next_power_of_two().max(SMALLEST);
        let mut grown = Vec::new();
        grown.try_reserve_exact(capacity).map_err(|_| VfsError::NoMemory)?;
        let first = self.len.min(self.bytes.len() - self.head);
        grown.extend_from_slice(&self.bytes[self.head..self.head + first]);
        grown.extend_from_slice(&self.bytes[..self.len - first]);
        grown.resize(capacity, 0);
        (self.bytes, self.head) = (grown, 0);
        Ok(())
    }
}
