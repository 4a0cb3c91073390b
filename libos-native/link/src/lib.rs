//! The link protocol: how standard input, output, errors and the exit status travel between a
//! session and the host (decision 0001).
//!
//! Owns the byte layout of frames, the incremental decoder and the accounting of credit. It moves
//! no bytes itself and allocates nothing: both ends feed it what their transport gave them.
//!
//! Invariant: bytes from the other side are an allegation. Whatever they are, the decoder answers
//! with an event or an [`Error`], needs [`CONTROL_MAX`] bytes of memory and never panics.
//!
//! A frame is `kind: u8, stream: u8, reserved: u16, length: u32`, little endian, then `length`
//! bytes of payload.

#![no_std]
#![forbid(unsafe_code)]

mod credit;
mod decode;
mod frame;

pub use credit::{ReceiveCredit, SendCredit};
pub use decode::{Decoder, Event};
pub use frame::{
    Cause, Error, Header, Hello, Kind, Status, Stream, WindowSize, credit, end, resize,
};

/// Version of the protocol, sent in each HELLO.
pub const VERSION: u16 = 1;
/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 8;
/// Most bytes of payload in a DATA frame.
pub const DATA_MAX: usize = 64 * 1024;
/// Most bytes of payload in any other frame; only STATUS comes near it.
pub const CONTROL_MAX: usize = 1024;
/// Most bytes of the message of a STATUS frame.
pub const MESSAGE_MAX: usize = CONTROL_MAX - 5;
/// Bytes, headers of DATA frames included, that may be sent on each stream before any CREDIT comes.
pub const INITIAL_CREDIT: u32 = 128 * 1024;
