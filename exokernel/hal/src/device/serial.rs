//! The kernel log: COM1 (16550), output only.
use super::port;

const BASE: u16 = 0x3F8;

/// Sets 115200 8N1, FIFOs on, no interrupts.
pub fn init() {
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
        // SAFETY: COM1's registers; nobody else uses them.
        unsafe { port::write8(BASE + register, value) };
    }
}

/// Writes bytes, waiting for room; gives up on a byte after a while, so that a missing port hangs nothing.
pub fn write(bytes: &[u8]) {
    for &byte in bytes {
        for _ in 0..100_000 {
            // SAFETY: line status register.
            if unsafe { port::read8(BASE + 5) } & 0x20 != 0 {
                break;
            }
        }
        // SAFETY: data register.
        unsafe { port::write8(BASE, byte) };
    }
}
