//! Memory that the compiler cannot see: what the kernel mapped, the window in which frames are filled, pages for
//! devices, and the address spaces of sessions. The only unsafe code of this crate.
//!
//! Invariant: of init's own address space, this module alone changes anything, and only in the ranges
//! below, which the image (linked at 0x400000) and the kernel's start pages are outside of.
#![allow(unsafe_code)]

mod info;
mod io;
mod space;
mod window;

pub use info::{KernelInfo, map_clock, now_ns};
pub use io::{IoMemory, IoPage};
pub use space::{Space, fund};
pub use window::Window;

/// Where [`Window`] maps.
const WINDOW_ADDRESS: u64 = 0x10_0000_0000;
/// Where [`IoMemory`] maps.
const IO_ADDRESS: u64 = 0x11_0000_0000;
