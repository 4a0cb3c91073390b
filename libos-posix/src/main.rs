//! The image of the POSIX libOS; everything is in the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
use serix_libos_posix as _;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("serix-libos-posix runs on the exokernel only: cargo xtask run");
    std::process::exit(125);
}
