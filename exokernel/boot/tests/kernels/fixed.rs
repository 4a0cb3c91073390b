//! The test kernel, linked for a fixed address.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(unsafe_code)]

#[cfg(target_os = "none")]
mod checks;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("a test kernel: it runs under serix-boot, see tests/boot.rs");
}
