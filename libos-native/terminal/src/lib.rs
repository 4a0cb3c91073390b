//! The line discipline of a terminal: lines, echo, erasing, signals, flow, and what output becomes.
//!
//! Owns the bytes on their way in both directions, and the settings that say what becomes of them. It waits for
//! nobody and knows no processes: whoever owns a [`Discipline`] passes bytes in, takes bytes out, sends the signals
//! that it asks for and wakes who waits. Behaviour is that of Linux's N_TTY, against which `tests/linux.rs` compares it
//! over real pseudo-terminals.
//!
//! Invariant: neither direction holds more than [`INPUT_MAX`] or [`OUTPUT_MAX`] bytes, whatever is passed in.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod classes;
mod discipline;
mod echo;
mod erase;
mod input;
mod output;
mod queue;
mod settings;
#[cfg(test)]
mod tests;

pub use discipline::{Discipline, PacketEvents, Signals};
pub use settings::{CC_COUNT, DISABLED, Settings, TERMIOS_SIZE, TERMIOS2_SIZE};

/// Most bytes of input that wait to be read, as on Linux.
pub const INPUT_MAX: usize = 4096;
/// Most bytes of output that wait for the other side.
pub const OUTPUT_MAX: usize = 16 * 1024;
