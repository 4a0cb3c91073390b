//! The POSIX libOS: unmodified Linux x86-64 programs as a library over the exokernel.
//!
//! One instance of this library is one session, shared by all its processes; a Linux system call is a
//! function call into it. The folders are its parts: `session` starts it, `memory` has frames and
//! address spaces, `process` and `signal` what their names say, `sched` decides who runs, `file`, `fs` and
//! `io` are descriptors, mounts and devices, `syscall` decodes registers. `raw` alone has unsafe code.
//!
//! Invariant: libOS code runs with upcalls disabled and so is never preempted by itself; a spin lock is
//! never held across a block (docs/decisions/0005-session-memory.md).
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod errno;
pub mod file;
pub mod fs;
pub mod io;
pub mod memory;
pub mod patch;
pub mod process;
pub mod raw;
pub mod sched;
pub mod session;
pub mod signal;
pub mod syscall;
pub mod terminal;

pub use errno::{Errno, Result};
