//! Ring-3 programs that use and attack the kernel's ABI, and what they share.
//!
//! Each program is the libOS of a session of its own: `init` starts it as it starts any libOS. It prints
//! `PASS name` or `FAIL name: why` lines to the kernel log (and `BENCH name min median p99 rounds` where it measures) and ends
//! with the number of failures as its status.
//!
//! Invariant: the programs are safe Rust. What a hostile call may do to their own memory is refused by
//! [`raw::call`], which is the only way to the kernel.
#![no_std]

pub mod arena;
#[path = "../../sys/src/attenuate.rs"]
pub mod attenuate;
pub mod check;
pub mod child;
pub mod histograms;
pub mod log;
pub mod partner;
pub mod random;
pub mod raw;
pub mod ring;
pub mod run;
pub mod session;
pub mod uses;

pub use check::{Check, Failure};
pub use random::Random;
pub use run::{Test, run};
pub use session::Session;
