//! Why a boot ended: every refusal of this loader, with the line that COM1 shows for it.

use alloc::string::String;
use core::fmt;

/// A reason not to start the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The firmware handed over something that this loader cannot work with.
    Firmware(&'static str),
    /// There is no file that could be the kernel.
    NoKernel,
    /// `limine.conf` names a file that is not there.
    MissingFile(String),
    /// `limine.conf` is not understood: line number (from 1) and what was expected.
    Config(usize, &'static str),
    /// The kernel is not an ELF file that can be loaded.
    Elf(&'static str),
    /// The kernel's requests cannot be answered.
    Protocol(&'static str),
    /// The kernel asks for a base revision below the one spoken here.
    BaseRevision(u64),
    /// No free physical memory: bytes wanted and for what.
    OutOfMemory(u64, &'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Firmware(what) => write!(f, "firmware: {what}"),
            Error::NoKernel => write!(f, "no kernel: no boot module was given"),
            Error::MissingFile(path) => write!(f, "limine.conf names {path}, which is missing"),
            Error::Config(line, what) => write!(f, "limine.conf line {line}: {what}"),
            Error::Elf(what) => write!(f, "kernel: {what}"),
            Error::Protocol(what) => write!(f, "kernel: Limine requests: {what}"),
            Error::BaseRevision(got) => {
                write!(f, "kernel: asks for Limine base revision {got}, 4 or newer is needed")
            }
            Error::OutOfMemory(bytes, what) => write!(f, "no {bytes} bytes of memory for {what}"),
        }
    }
}
