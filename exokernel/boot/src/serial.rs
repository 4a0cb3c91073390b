//! COM1 and the way out of QEMU: how the loader says why it stopped.
//!
//! The loader is silent when all goes well; the kernel owns the log.

use core::fmt::{self, Write};

use crate::cpu::{inb, outb};

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
const DEBUG_EXIT: u16 = 0xf4;
/// What `isa-debug-exit` is told when the loader refuses: QEMU exits with twice that plus one.
const REFUSED: u8 = 0x12;

/// The first serial port, 115200 8N1.
pub struct Serial;

impl Serial {
    /// Sets the port up.
    #[must_use]
    pub fn new() -> Serial {
        let set_up = [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xc7), (4, 3)];
        for (register, value) in set_up {
            // SAFETY: COM1's registers: a UART does not reach memory. Without one, nothing happens.
            unsafe { outb(COM1 + register, value) };
        }
        Serial
    }
}

impl Default for Serial {
    fn default() -> Self {
        Serial::new()
    }
}

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // A port that never gets ready loses bytes; the loader goes on.
            for _ in 0..100_000 {
                // SAFETY: Reading the line status has no effect that matters here.
                if unsafe { inb(LINE_STATUS) } & TRANSMITTER_EMPTY != 0 {
                    break;
                }
            }
            // SAFETY: As in `new`.
            unsafe { outb(COM1, byte) };
        }
        Ok(())
    }
}

/// Says `loader: ` and `message` on COM1.
pub fn say(message: impl fmt::Display) {
    // Writing to a serial port cannot fail.
    let _ = writeln!(Serial::new(), "loader: {message}\r");
}

/// Ends QEMU, some time soon, if it has a debug exit.
pub fn end_qemu() {
    // SAFETY: Port 0xf4 is QEMU's debug exit where it is configured, and unused otherwise.
    unsafe { outb(DEBUG_EXIT, REFUSED) };
}

/// Says why nothing is started and ends QEMU, or this CPU where there is no QEMU.
pub fn refuse(message: impl fmt::Display) -> ! {
    say(message);
    end_qemu();
    // QEMU ends from another thread: this one may run on for a while.
    loop {
        core::hint::spin_loop();
    }
}
