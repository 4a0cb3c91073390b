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
