//! Link arguments of the bare-metal programs: each is a libOS image.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    // Relative to the workspace, in which cargo starts the compiler: an absolute path would not survive a move of the checkout.
    println!("cargo::rustc-link-arg-bins=-Texokernel/tests/link/session.ld");
    println!("cargo::rustc-link-arg-bins=--build-id=none");
    // The target links position-independent executables; these run where they are linked, and
    // nobody applies their relocations.
    println!("cargo::rustc-link-arg-bins=--no-pie");
}
