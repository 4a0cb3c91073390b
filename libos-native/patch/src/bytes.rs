//! Little-endian integers of byte strings that may end anywhere.

/// Loads integers, or nothing past the end.
pub(crate) trait Bytes {
    /// `count` bytes from `at` on.
    fn part(&self, at: usize, count: usize) -> Option<&[u8]>;

    fn u8(&self, at: usize) -> Option<u8> {
        self.part(at, 1).map(|bytes| bytes[0])
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.part(at, 2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.part(at, 4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn i32(&self, at: usize) -> Option<i32> {
        self.part(at, 4)?.try_into().ok().map(i32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.part(at, 8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

impl Bytes for [u8] {
    fn part(&self, at: usize, count: usize) -> Option<&[u8]> {
        self.get(at..at.checked_add(count)?)
    }
}
