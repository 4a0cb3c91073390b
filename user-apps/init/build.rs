//! Link arguments of the bare-metal program.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-arg-bins=-T{folder}/link/init.ld");
    println!("cargo::rustc-link-arg-bins=--build-id=none");
    // The target links position-independent executables; this one runs where it is linked, and
    // nobody applies its relocations.
    println!("cargo::rustc-link-arg-bins=--no-pie");
}
