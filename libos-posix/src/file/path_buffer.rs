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

/// A string of the program, copied in once. Short ones need no allocation.
pub struct PathBuffer {
    short: [u8; PIECE],
    long: Vec<u8>,
    len: usize,
}

impl PathBuffer {
    /// The path at `address`.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`.
    pub fn load(address: UserAddress) -> Result<Self> {
        Self::load_string(address, PATH_MAX, Errno::ENAMETOOLONG)
    }

    /// The string at `address`, of at most `limit` bytes with its NUL.
    ///
    /// # Errors
    /// `EFAULT`, and `too_long`.
    pub fn load_string(address: UserAddress, limit: usize, too_long: Errno) -> Result<Self> {
        let mut path = Self { short: [0; PIECE], long: Vec::new(), len: 0 };
        loop {
            let at = address.add(path.len as u64).0;
            // Pieces end at page boundaries, so that no page behind the string is touched.
            let piece = &mut path.short[..PIECE.min(PAGE_SIZE - at as usize % PAGE_SIZE)];
            let loaded = user::load(at, piece);
            let (piece, is_end) = match piece[..loaded].iter().position(|&byte| byte == 0) {
                Some(end) => (&piece[..end], true),
                None if loaded < piece.len() => return Err(Errno::EFAULT),
                None => (&*piece, false),
            };
            path.len += piece.len();
            if path.len >= limit {
                return Err(too_long);
            }
            if is_end && path.long.is_empty() {
                return Ok(path);
            }
            path.long.extend_from_slice(piece);
            if is_end {
                return Ok(path);
            }
        }
    }
}

impl Deref for PathBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.len] } else { &self.long }
    }
}
