//! Whether and how a `syscall` instruction of a program can become a jump, and the bytes of that.
//!
//! The crate only thinks: it looks at bytes that the libOS read of a program and of its file, and answers what to write
//! where (docs/decisions/0012-call-sites.md). Programs and files are hostile; no byte of them leads to a panic, an overflow, or work
//! that is not bounded by their length. A site that it is not sure of it refuses: the call is then reflected by the kernel, as before.
//!
//! Steps: [`functions::around`] finds the function of a site and the gaps near it in the tables of its file; [`plan()`]
//! decodes the function as it is in memory and chooses a rule; [`Plan::trampoline`] and [`Plan::edits`] make the bytes.
#![no_std]
extern crate alloc;

mod bytes;
pub mod decode;
pub mod functions;
mod site;
mod trampoline;
mod unwind;

pub use site::{Code, FUNCTION_MAX, Plan, Rule, SYSCALL, SYSCALL_LENGTH, plan};
pub use trampoline::{Edit, SLOT_SIZE};

/// Bytes in a page.
pub const PAGE_SIZE: u64 = 4096;

/// Why a site stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The file has no table that names the function, or is no ELF file.
    NoFunction,
    /// The function is longer than is decoded, or has an instruction that is not known.
    Undecodable,
    /// The function's instructions do not meet the site.
    NotThere,
    /// `rt_sigreturn`, or a function of signal frames: its bytes are read.
    SignalReturn,
    /// No instruction to displace right before it, and no padding near.
    NoRoom,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::NoFunction, Self::Undecodable, Self::NotThere, Self::SignalReturn, Self::NoRoom];

    /// In words, for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFunction => "no-function",
            Self::Undecodable => "undecodable",
            Self::NotThere => "not-there",
            Self::SignalReturn => "signal-return",
            Self::NoRoom => "no-room",
        }
    }
}
