//! Hands the linker the kernel's memory layout.
use std::env;

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        // Relative to the workspace, in which cargo starts the compiler: an absolute path would not survive a move of the checkout.
        println!("cargo:rustc-link-arg-bins=-Texokernel/kernel/kernel.ld");
        println!("cargo:rustc-link-arg-bins=--no-pie");
    }
}
