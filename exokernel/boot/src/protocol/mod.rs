//! The Limine boot protocol, base revision 4, from the loader's side.
//!
//! [`requests`] finds what the kernel asks for, [`responses`] answers it. Both work on slices: the
//! kernel's image and an [`arena::Arena`] that becomes bootloader-reclaimable memory.

pub mod arena;
pub mod requests;
pub mod responses;

/// The base revision spoken here.
pub const BASE_REVISION: u64 = 4;

/// Where the direct map of physical memory starts.
pub const HHDM: u64 = 0xffff_8000_0000_0000;

/// Bytes of stack that the protocol promises at least.
pub const MINIMUM_STACK: u64 = 64 << 10;
