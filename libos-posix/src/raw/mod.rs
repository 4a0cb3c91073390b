//! All unsafe code of the libOS: entries, context switch, program memory, frames, heap, window.
//!
//! What the rest gets is safe because of three facts. 1. Addresses below [`PROGRAM_END`] are never memory
//! of Rust objects, so mapping, unmapping and writing there cannot break one; every function that takes a
//! program address checks it against that bound. 2. Frames are reached through the frame map only, by
//! copying, and a frame's memory is never borrowed. 3. Session code runs on one core at a time and switches only
//! in `context`.
#![allow(unsafe_code)]

pub mod context;
pub mod display;
pub mod entry;
pub mod frame_map;
pub mod heap;
pub mod kernel;
pub mod local;
pub mod plain;
pub mod sites;
pub mod start;
pub mod user;
pub mod vdso;
pub mod window;

#[cfg(target_os = "none")]
mod panic;

/// End of what a program may have mapped: slots 0 to 251.
pub const PROGRAM_END: u64 = serix_session::DISPATCHER_ADDRESS;
/// First address a program may have mapped.
pub const PROGRAM_START: u64 = serix_sys::abi::layout::USER_START;
/// Where the heap of the libOS grows up from.
pub const HEAP_ADDRESS: u64 = serix_session::IMAGE_ADDRESS + 0x10_0000_0000;
/// Where libOS stacks are.
pub const STACKS_ADDRESS: u64 = serix_session::IMAGE_ADDRESS + 0x20_0000_0000;

/// Where the framebuffer is, if the session has one.
pub const DISPLAY_ADDRESS: u64 = serix_session::IMAGE_ADDRESS + 0x30_0000_0000;

/// The frame pointer of the code that asks.
#[cfg(target_os = "none")]
#[inline(always)]
fn frame_pointer() -> u64 {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags))
    };
    frame
}

/// Touches an address of the libOS where nothing is ever mapped: what a bug would do, for tests of its report.
#[inline(never)]
pub(crate) fn fault_on_purpose() {
    // SAFETY: below the first stack lies the unused end of the heap's area; the read faults, and the session ends.
    unsafe { core::ptr::read_volatile((STACKS_ADDRESS - 8) as *const u64) };
}

/// Calls `tell` with the return addresses of libOS code, from the frame pointer `frame` outwards.
pub(crate) fn backtrace(mut frame: u64, mut tell: impl FnMut(u64)) {
    const DEPTH: usize = 24;
    let stacks = STACKS_ADDRESS..DISPLAY_ADDRESS;
    for _ in 0..DEPTH {
        if !stacks.contains(&frame) || !frame.is_multiple_of(8) {
            return;
        }
        // SAFETY: within the stack area; a hole in it would fault again, which ends the report and not more: the
        // session is ending.
        let [next, address] = unsafe { (frame as *const [u64; 2]).read() };
        tell(address);
        if next <= frame {
            return;
        }
        frame = next;
    }
}
