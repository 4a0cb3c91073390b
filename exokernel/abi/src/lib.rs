//! The kernel ABI: calls, errors, tokens and shared structures, declared once.
//!
//! Kernel, user stubs and the reference page are made from these declarations; nothing is typed
//! twice. This crate depends on nothing and holds no policy. `docs/decisions/0002-kernel-abi.md`
//! has the reasons.
#![no_std]

pub mod call;
pub mod dispatcher;
pub mod error;
pub mod info;
pub mod layout;
pub mod map;
pub mod record;
pub mod ring;
pub mod start;
pub mod token;

pub use call::Call;
pub use error::Error;

/// Bytes in a frame and in a page.
pub const PAGE_SIZE: usize = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// What `rax[63:32]` holds for a native call.
pub const NATIVE_TAG: u32 = 0x5E71;
/// A slot number that names nothing: "none" where a slot is optional.
pub const NO_SLOT: u32 = u32::MAX;
/// A deadline that never comes.
pub const FOREVER: u64 = u64::MAX;
/// Most bytes of one `Write`: the kernel waits for the serial line meanwhile.
pub const WRITE_MAX: usize = 1024;
