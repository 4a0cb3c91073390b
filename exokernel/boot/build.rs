//! Link arguments of the bare-metal programs of this package: each needs a layout of its own.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    // Relative to the workspace, in which cargo starts the compiler: an absolute path would not survive a move of the checkout.
    let script = |bin: &str, file: &str| {
        println!("cargo::rustc-link-arg-bin={bin}=-Texokernel/boot/link/{file}");
        println!("cargo::rustc-link-arg-bin={bin}=--build-id=none");
    };
    script("serix-boot", "multiboot.ld");
    // The target links position-independent executables; this one runs where it is linked, and
    // nobody applies its relocations.
    println!("cargo::rustc-link-arg-bin=serix-boot=--no-pie");
    if env::var_os("CARGO_FEATURE_TEST_KERNEL").is_some() {
        script("boot-test-kernel", "test-kernel.ld");
        println!("cargo::rustc-link-arg-bin=boot-test-kernel=--no-pie");
        script("boot-test-kernel-pie", "test-kernel-pie.ld");
    }
}
