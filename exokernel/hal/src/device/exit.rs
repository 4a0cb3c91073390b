//! Ending the machine: QEMU's isa-debug-exit, else a halt.
use super::port;

/// An orderly end.
pub const DONE: u8 = 0x10;
/// A kernel panic.
pub const PANIC: u8 = 0x11;

/// Ends the machine; where no exit device listens, halts for ever.
pub fn exit(code: u8) -> ! {
    // SAFETY: port 0xF4 is the exit device of the machines `xtask` makes; elsewhere nothing is there.
    unsafe { port::write8(0xF4, code) };
    loop {
        // The exit is asynchronous under emulation: wait for it.
        // SAFETY: interrupts are off; the core stops here.
        unsafe { core::arch::asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
