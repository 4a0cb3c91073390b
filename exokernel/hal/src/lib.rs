//! The kernel's only unsafe code and assembly, behind safe interfaces.
//!
//! Soundness rests on three things that this crate owns: the frame table (which frames ring 3 may
//! map and which the kernel claimed, never both), the kernel half of every address space (built at boot,
//! never changed afterwards but for device pages), and the entry code (which reaches Rust only on a core's own
//! stack with interrupts off). The kernel crate has no unsafe code.
#![no_std]
#![allow(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod boot;
pub mod cpu;
pub mod device;
pub mod memory;

pub use address::{FrameNumber, PhysicalAddress};
