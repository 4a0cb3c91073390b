//! Hands the linker the kernel's memory layout.
use std::env;

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo:rustc-link-arg-bins=-T{here}/kernel.ld");
        println!("cargo:rustc-link-arg-bins=--no-pie");
    }
}
