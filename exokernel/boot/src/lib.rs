//! The loader's core: everything between "the firmware gave us memory and files" and "the
//! kernel runs".
//!
//! It answers the [Limine boot protocol](protocol), base revision 4, so that one kernel boots from
//! this loader and from Limine itself. The front ends (`src/multiboot`, `src/uefi`) only collect
//! the machine's memory map and the files named in `limine.conf`; [`boot::start`] does the rest.
//!
//! Pure parts ([`config`], [`memory`], [`elf`], [`image`], [`paging`], [`protocol`], [`acpi`],
//! [`clock`]) work on slices and are tested on the host. Hardware is touched in [`cpu`],
//! [`serial`], [`smp`], [`faults`] and
//! [`boot`] only.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code)]

extern crate alloc;

pub mod acpi;
pub mod boot;
pub mod clock;
pub mod config;
pub mod cpu;
pub mod elf;
pub mod error;
pub mod faults;
pub mod image;
pub mod memory;
pub mod paging;
pub mod protocol;
pub mod serial;
pub mod smp;
