//! The ELF header (System V ABI, "ELF Header"; gABI 4.1).
use crate::LoadError;
use crate::bytes::{u16_at, u32_at, u64_at};
use core::ops::Range;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const VERSION: u8 = 1;
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const MACHINE_X86_64: u16 = 62;
/// Bytes in a program header of class 64.
pub(crate) const PROGRAM_HEADER_BYTES: usize = 56;
/// Most program headers; real programs have about a dozen.
const PROGRAM_HEADERS_MAX: u16 = 256;

/// Whether addresses are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Linked to fixed addresses.
    Fixed,
    /// Runs at any address: a static or dynamic PIE, or an interpreter.
    PositionIndependent,
}

/// What the ELF header of a program for this machine tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfHeader {
    /// Whether addresses are fixed.
    pub kind: FileKind,
    /// Where execution starts, without bias.
    pub entry: u64,
    pub(crate) headers_offset: u64,
    pub(crate) headers_count: u16,
}

impl ElfHeader {
    /// Checks an ELF header.
    ///
    /// # Errors
    /// `NotExecutable` if it is none or for another machine, else `Malformed`.
    pub fn parse(head: &[u8]) -> Result<Self, LoadError> {
        let is_ours = head.starts_with(MAGIC)
            && head.get(4..7) == Some(&[CLASS_64, LITTLE_ENDIAN, VERSION])
            && u16_at(head, 18) == Some(MACHINE_X86_64);
        if !is_ours {
            return Err(LoadError::NotExecutable);
        }
        let kind = match u16_at(head, 16) {
            Some(TYPE_EXECUTABLE) => FileKind::Fixed,
            Some(TYPE_SHARED) => FileKind::PositionIndependent,
            _ => return Err(LoadError::NotExecutable),
        };
        let short = LoadError::Malformed("the header is cut off");
        if u32_at(head, 20).ok_or(short)? != u32::from(VERSION) {
            return Err(LoadError::Malformed("unknown version"));
        }
        if usize::from(u16_at(head, 54).ok_or(short)?) != PROGRAM_HEADER_BYTES {
            return Err(LoadError::Malformed("size of program headers"));
        }
        let headers_count = u16_at(head, 56).ok_or(short)?;
        if !(1..=PROGRAM_HEADERS_MAX).contains(&headers_count) {
            return Err(LoadError::Malformed("number of program headers"));
        }
        let header = Self {
            kind,
            entry: u64_at(head, 24).ok_or(short)?,
            headers_offset: u64_at(head, 32).ok_or(short)?,
            headers_count,
        };
        header.check_headers_end()?;
        Ok(header)
    }

    fn check_headers_end(&self) -> Result<(), LoadError> {
        let end = self.headers_offset.checked_add(self.headers_bytes());
        match end {
            Some(end) if end <= i64::MAX as u64 => Ok(()),
            _ => Err(LoadError::Malformed("offset of program headers")),
        }
    }

    pub(crate) fn headers_bytes(&self) -> u64 {
        u64::from(self.headers_count) * PROGRAM_HEADER_BYTES as u64
    }

    /// Where in the file the program headers are: at most 14 KiB, to be read for
    /// [`crate::Plan::new`].
    #[must_use]
    pub fn program_headers(&self) -> Range<u64> {
        self.headers_offset..self.headers_offset + self.headers_bytes()
    }
}
