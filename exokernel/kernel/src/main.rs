//! The exokernel: it protects page frames, CPU cores and disk blocks, and does nothing else.
//!
//! All state is one `kernel::Kernel` under one lock, held from entry to exit; interrupts are off meanwhile. Modules, from low
//! to high: `debug`, `object`, `capability`, `memory`, `cpu`, `ipc`, `disk`, `interrupt`, `kernel`, `syscall`, `boot`.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod capability;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod debug;
#[cfg(target_os = "none")]
mod disk;
#[cfg(target_os = "none")]
mod domain;
#[cfg(target_os = "none")]
mod interrupt;
#[cfg(target_os = "none")]
mod ipc;
#[cfg(target_os = "none")]
mod kernel;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod object;
#[cfg(target_os = "none")]
mod syscall;

#[cfg(target_os = "none")]
serix_hal::entry_point!(boot::main);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("serix-kernel: build it for x86_64-unknown-none and boot it with `cargo xtask run`");
    std::process::exit(125);
}
