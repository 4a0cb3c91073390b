//! What to map, and what to put on the stack, to run an ELF64 x86-64 program.
//!
//! The loader only thinks: it looks at bytes that the libOS read and answers a [`Plan`], which the
//! libOS carries out. Files are hostile; no byte of them leads to a panic, an overflow or work that
//! is not bounded by a constant. (Crate `xmas-elf` slices and asserts without checks of its own, so
//! the two structures that matter are read here.)
//!
//! Steps: [`identify`] the first [`HEAD_BYTES`] bytes; for a script start again with its
//! interpreter; for an ELF file read the program headers that [`ElfHeader`] names and make a
//! [`Plan`]; if that names an interpreter, do the same for it; build a [`stack`].
#![no_std]
extern crate alloc;

mod bytes;
mod header;
mod plan;
mod script;
pub mod stack;

pub use header::{ElfHeader, FileKind};
pub use plan::{Limits, PageMapping, Plan, Segment, interpreter_path};
pub use script::Script;

/// How much of a file's start [`identify`] should get; less if the file is shorter.
pub const HEAD_BYTES: usize = 256;
/// Scripts whose interpreters are scripts, in one start of a program.
pub const SCRIPTS_MAX: usize = 5;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 4096;

/// Why a file cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// No known format, or one for another machine (ENOEXEC).
    NotExecutable,
    /// An ELF file whose headers contradict each other or the file's size (ENOEXEC).
    Malformed(&'static str),
    /// The program does not fit the address space or its limit (ENOMEM).
    TooLarge,
    /// Arguments and environment exceed the limit (E2BIG).
    ArgumentsTooLong,
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotExecutable => f.write_str("not an executable format"),
            Self::Malformed(what) => write!(f, "malformed ELF file: {what}"),
            Self::TooLarge => f.write_str("the program does not fit the address space"),
            Self::ArgumentsTooLong => f.write_str("arguments and environment are too long"),
        }
    }
}

impl core::error::Error for LoadError {}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format<'a> {
    /// A script: run its interpreter.
    Script(Script<'a>),
    /// An ELF file for this machine.
    Elf(ElfHeader),
}

/// Tells what a file is by its first bytes.
///
/// # Errors
/// `NotExecutable` or `Malformed`.
pub fn identify(head: &[u8]) -> Result<Format<'_>, LoadError> {
    if head.starts_with(b"#!") {
        return Script::parse(head).map(Format::Script);
    }
    ElfHeader::parse(head).map(Format::Elf)
}
