//! The loader in QEMU, from each front end: what the test kernel sees, and what is refused.

mod multiboot;
mod support;
mod uefi;
