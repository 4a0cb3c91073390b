//! Passes the linker script for the bare-metal image.

fn main() {
    println!("cargo:rerun-if-changed=link/image.ld");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "none" {
        // Relative to the workspace, in which cargo starts the compiler: an absolute path would not survive a move of the checkout.
        println!("cargo:rustc-link-arg-bins=-Tlibos-posix/link/image.ld");
        println!("cargo:rustc-link-arg-bins=--no-pie");
        println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
    }
}
