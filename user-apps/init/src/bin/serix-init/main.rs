//! The first program on the exokernel.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod raw;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("serix-init is the first program on the Serix exokernel; it does not run here");
    std::process::exit(1);
}
