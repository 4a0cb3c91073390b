//! A path or name from program memory.
use crate::memory::UserAddress;
use crate::raw::user;
use crate::{Errno, Result};
use alloc::vec::Vec;
use core::ops::Deref;
use serix_block::PAGE_SIZE;

/// Bytes of a path with its NUL (Linux `PATH_MAX`).
const PATH_MAX: usize = 4096;
/// What is loaded at a time: most paths are shorter.
const PIECE: usize = 64;

/// The same in words.
const WORDS: usize = PIECE / 8;

/// A string of the program, copied in once. Short ones need no allocation.
pub struct PathBuffer {
    short: [[u8; 8]; WORDS],
    long: Vec<u8>,
    len: usize,
}

impl PathBuffer {
    /// Room for a string.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self { short: [[0; 8]; WORDS], long: Vec::new(), len: 0 }
    }

    /// The path at `address`.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`.
    pub fn load(address: UserAddress) -> Result<Self> {
        Self::load_string(address, PATH_MAX, Errno::ENAMETOOLONG)
    }

    /// The path at `address`, in the room of `self`: for calls that must be short.
    ///
    /// # Errors
    /// As `load`.
    #[inline(always)]
    pub fn fill(&mut self, address: UserAddress) -> Result<&[u8]> {
        match user::load_string(address.0, &mut self.short) {
            Some(len) => Ok(&self.short.as_flattened()[..len]),
            None => {
                self.load_pieces(address, PATH_MAX, Errno::ENAMETOOLONG)?;
                Ok(self)
            }
        }
    }

    /// The string at `address`, of at most `limit` bytes with its NUL.
    ///
    /// # Errors
    /// `EFAULT`, and `too_long`.
    pub fn load_string(address: UserAddress, limit: usize, too_long: Errno) -> Result<Self> {
        let mut path = Self::new();
        match user::load_string(address.0, &mut path.short) {
            Some(len) if len < limit => path.len = len,
            Some(_) => return Err(too_long),
            None => path.load_pieces(address, limit, too_long)?,
        }
        Ok(path)
    }

    #[cold]
    fn load_pieces(&mut self, address: UserAddress, limit: usize, too_long: Errno) -> Result<()> {
        loop {
            let at = address.add(self.len as u64).0;
            // Pieces end at page boundaries, so that no page behind the string is touched.
            let room = PIECE.min(PAGE_SIZE - at as usize % PAGE_SIZE);
            let piece = &mut self.short.as_flattened_mut()[..room];
            let loaded = user::load(at, piece);
            let (piece, is_end) = match piece[..loaded].iter().position(|&byte| byte == 0) {
                Some(end) => (&piece[..end], true),
                None if loaded < piece.len() => return Err(Errno::EFAULT),
                None => (&*piece, false),
            };
            self.len += piece.len();
            if self.len >= limit {
                return Err(too_long);
            }
            if is_end && self.long.is_empty() {
                return Ok(());
            }
            self.long.extend_from_slice(piece);
            if is_end {
                return Ok(());
            }
        }
    }
}

impl Default for PathBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for PathBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        if self.long.is_empty() { &self.short.as_flattened()[..self.len] } else { &self.long }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Stands for program memory: statics of a test program lie below the end of it.
    static LONG: [u8; 300] = {
        let mut bytes = [b'x'; 300];
        bytes[299] = 0;
        bytes
    };

    fn at(bytes: &'static [u8]) -> UserAddress {
        UserAddress(bytes.as_ptr() as u64)
    }

    #[test]
    fn strings_of_every_length_are_whole() {
        for start in 0..300 {
            let path = PathBuffer::load(at(&LONG[start..])).unwrap();
            assert_eq!(*path, vec![b'x'; 299 - start], "from {start}");
            let mut room = PathBuffer::new();
            assert_eq!(room.fill(at(&LONG[start..])).unwrap(), &*path, "from {start}");
        }
    }

    #[test]
    fn limits_count_the_nul() {
        let load = |limit| PathBuffer::load_string(at(&LONG[290..]), limit, Errno::ERANGE);
        assert_eq!(load(10).map(|path| path.len()), Ok(9));
        assert_eq!(load(9).err(), Some(Errno::ERANGE));
        assert_eq!(PathBuffer::load(UserAddress(u64::MAX)).err(), Some(Errno::EFAULT));
    }
}
