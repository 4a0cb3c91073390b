//! Entry, heap and panic: what the bare machine needs before Rust can run.
//!
//! The kernel enters `_start` with rdi = address of the start information, rsp = top of a stack of 64 KiB, upcalls
//! disabled.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::panic::PanicInfo;
use serix_abi::start::StartInfo;
use serix_init::policy::STATUS_FAILED;
use serix_init::raw::KernelInfo;
use serix_init::{boot, report};
use talc::TalcLock;
use talc::source::Claim;

/// Bytes of heap: a manifest of 64 KiB, its plans, and the largest partition table.
const HEAP_SIZE: usize = 1 << 20;

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, Claim> = TalcLock::new({
    static mut MEMORY: [u8; HEAP_SIZE] = [0; HEAP_SIZE];
    // SAFETY: nothing else names `MEMORY`.
    unsafe { Claim::array(&raw mut MEMORY) }
});

global_asm!(
    ".global _start",
    "_start:",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    start = sym start,
);

extern "C" fn start(info: &'static StartInfo) -> ! {
    // SAFETY: this is the address that the kernel passed in rdi.
    let info = unsafe { KernelInfo::new(info) };
    serix_sys::call::exit(boot::run(&info))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report::log(format_args!("{info}"));
    serix_sys::call::exit(STATUS_FAILED)
}
