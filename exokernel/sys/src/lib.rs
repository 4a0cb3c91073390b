//! User stubs over the kernel ABI: one function per call, no policy.
//!
//! This is the only crate of user space with system call instructions. Calls that the kernel
//! restarts (`Again`, or a count of what was done) are looped here, so a caller sees them whole.
#![no_std]
#![allow(unsafe_code)]

pub mod attenuate;
pub mod call;
pub mod environment;
pub mod memory;
pub mod raw;
pub mod time;

pub use serix_abi as abi;
pub use serix_abi::Error;

/// A number in the binding table of the calling domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Slot(pub u32);

impl Slot {
    /// No slot, where one is optional.
    pub const NONE: Self = Self(serix_abi::NO_SLOT);
}

/// What every call answers.
pub type Result<T> = core::result::Result<T, Error>;
