//! Transfer rings from the user's side: disk blocks and streams as futures.
//!
//! Owns the submission side of one ring page ([`Ring`]), the waiting line in front of it, and who is
//! woken by which completion. It knows no scheduler: whoever waits for the ring's event calls
//! [`Ring::process`] afterwards. It may use `serix-abi`, `serix-block` and the one system call that
//! tells the kernel of new submissions ([`Doorbell`]).
//!
//! Invariant: what a transfer reads or writes lives until the kernel has completed it, even if nobody
//! waits for the result any more.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod extent;
pub mod raw;
mod ring;
mod runs;
mod stream;
#[cfg(test)]
mod tests;
mod wait;

pub use extent::BlockExtent;
pub use ring::{Doorbell, Ring, Transfer};
pub use stream::{StreamReader, StreamWriter};
pub use wait::block_on;

use serix_abi::ring::status;
use serix_block::Page;

/// Where the frame of a page is, in the words of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameAddress {
    /// Slot of the frames in the binding table.
    pub slot: u32,
    /// Which of them.
    pub unit: u32,
}

/// Memory that devices reach: pages, and the frames they are.
pub trait FrameMemory: Send + Sync + 'static {
    /// A handle to one page.
    type Page: Page;

    /// A zeroed page, or `None` when memory is short.
    fn allocate_page(&self) -> Option<Self::Page>;

    /// The frame of a page of this memory.
    fn locate(&self, page: &Self::Page) -> FrameAddress;
}

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// The device reported an error or was reset.
    Io,
    /// The kernel found the submission malformed or out of range.
    BadArgument,
    /// A slot is empty, stale, of another kind, or lacks a right.
    Denied,
    /// No page could be had for the transfer.
    NoMemory,
}

impl TransferError {
    /// The failure that a completion's status tells; `None` for success.
    const fn from_status(value: u32) -> Option<Self> {
        match value {
            status::OK => None,
            status::BAD_ARGUMENT => Some(Self::BadArgument),
            status::DENIED => Some(Self::Denied),
            _ => Some(Self::Io),
        }
    }
}

impl core::fmt::Display for TransferError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Io => "device error",
            Self::BadArgument => "malformed or out of range",
            Self::Denied => "not allowed",
            Self::NoMemory => "out of memory",
        })
    }
}

impl core::error::Error for TransferError {}
