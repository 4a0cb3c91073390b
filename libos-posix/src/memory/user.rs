//! Program memory as handlers see it: addresses to check, values, strings.
use crate::raw::plain::{self, Plain};
use crate::raw::user;
use crate::{Errno, Result};
use alloc::vec::Vec;
use serix_chroma::{ArgumentMemory, VfsError, VfsResult};

/// Longest path, with its NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;

/// An address that a program named: an allegation until a copy proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UserAddress(pub u64);

impl UserAddress {
    /// Whether it is the null pointer, which many calls take for "none".
    #[inline]
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// `Some` unless null.
    #[inline]
    #[must_use]
    pub const fn optional(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }

    /// The address `bytes` further on, wrapping as pointers do: the copy will refuse it.
    #[inline]
    #[must_use]
    pub const fn add(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Loads a value.
    ///
    /// # Errors
    /// `EFAULT`.
    #[inline]
    pub fn read<T: Plain>(self) -> Result<T> {
        let mut value = plain::zeroed();
        self.read_bytes(plain::bytes_of_mut(&mut value))?;
        Ok(value)
    }

    /// Stores a value; structures were made by [`plain::zeroed`], so that padding carries nothing.
    ///
    /// # Errors
    /// `EFAULT`.
    #[inline]
    pub fn write<T: Plain>(self, value: &T) -> Result<()> {
        self.write_bytes(plain::bytes_of(value))
    }

    /// Loads bytes.
    ///
    /// # Errors
    /// `EFAULT` if not all could be loaded.
    #[inline]
    pub fn read_bytes(self, into: &mut [u8]) -> Result<()> {
        if user::load(self.0, into) == into.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// `EFAULT` if not all could be stored.
    #[inline]
    pub fn write_bytes(self, from: &[u8]) -> Result<()> {
        if user::store(self.0, from) == from.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Zeroes bytes.
    ///
    /// # Errors
    /// `EFAULT` if not all could be stored.
    pub fn zero(self, len: usize) -> Result<()> {
        if user::zero(self.0, len) == len { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Loads `count` values.
    ///
    /// # Errors
    /// `EFAULT`. The caller has bounded `count`.
    pub fn read_vec<T: Plain>(self, count: usize) -> Result<Vec<T>> {
        let size = size_of::<T>() as u64;
        (0..count as u64).map(|index| self.add(index * size).read()).collect()
    }

    /// Loads a string up to its NUL, which is left out.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG` if there is no NUL among the first `max` bytes.
    pub fn read_string(self, max: usize) -> Result<Vec<u8>> {
        let mut string = Vec::new();
        let mut chunk = [0; 256];
        while string.len() < max {
            let at = self.add(string.len() as u64);
            // Not across a page more than the string itself goes.
            let room = 4096 - (at.0 & 4095) as usize;
            let part = room.min(chunk.len()).min(max - string.len());
            let loaded = user::load(at.0, &mut chunk[..part]);
            if let Some(end) = chunk[..loaded].iter().position(|byte| *byte == 0) {
                string.extend_from_slice(&chunk[..end]);
                return Ok(string);
            }
            if loaded < part {
                return Err(Errno::EFAULT);
            }
            string.extend_from_slice(&chunk[..part]);
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Loads a path.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`.
    pub fn read_path(self) -> Result<Vec<u8>> {
        self.read_string(PATH_MAX)
    }
}

/// Program memory for device control requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgramMemory;

impl ArgumentMemory for ProgramMemory {
    fn load(&mut self, address: u64, into: &mut [u8]) -> VfsResult<()> {
        UserAddress(address).read_bytes(into).map_err(|_| VfsError::Fault)
    }
    fn store(&mut self, address: u64, from: &[u8]) -> VfsResult<()> {
        UserAddress(address).write_bytes(from).map_err(|_| VfsError::Fault)
    }
}
