//! The loader: one program per front end, nothing on the host.
#![cfg_attr(any(target_os = "none", target_os = "uefi"), no_std, no_main)]
#![allow(unsafe_code)]

#[cfg(any(target_os = "none", target_os = "uefi"))]
extern crate alloc;

#[cfg(any(target_os = "none", target_os = "uefi"))]
mod heap;
#[cfg(target_os = "none")]
mod multiboot;
#[cfg(target_os = "uefi")]
mod uefi;

#[cfg(any(target_os = "none", target_os = "uefi"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    serix_boot::serial::refuse(info)
}

#[cfg(not(any(target_os = "none", target_os = "uefi")))]
fn main() {
    println!(
        "serix-boot is a boot loader: build it with --target x86_64-unknown-none (multiboot, for \
         qemu -kernel) or x86_64-unknown-uefi"
    );
}
