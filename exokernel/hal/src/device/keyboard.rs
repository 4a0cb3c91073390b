//! The ports of the keyboard controller (Intel 8042), which ring 3 may have: it does no DMA, and the kernel has no use for it.
//!
//! Invariant: no other port is reachable through this module, and no command that resets the machine or changes what its
//! addresses mean.
use super::port;

/// Where bytes of keyboard and mouse come from and go to.
const DATA: u16 = 0x60;
/// Status, and commands.
const COMMAND: u16 = 0x64;
/// The ports.
pub const PORTS: [u16; 2] = [DATA, COMMAND];
/// The ISA's interrupts of keyboard and mouse.
pub const INTERRUPTS: [u8; 2] = [1, 12];

/// Whether the machine has one: nothing there reads as all ones.
#[must_use]
pub fn is_present() -> bool {
    read(COMMAND) != Some(0xFF)
}

/// Reads a port; `None` if it is none of these.
#[must_use]
pub fn read(port: u16) -> Option<u8> {
    // SAFETY: reading takes a byte of keyboard or mouse, which the kernel does not want.
    PORTS.contains(&port).then(|| unsafe { port::read8(port) })
}

/// Writes a port; false if it is none of these, or a command that is not for ring 3. Others pulse the reset line, or switch address
/// line 20 off under the kernel.
pub fn write(port: u16, value: u8) -> bool {
    let harmless = matches!(value, 0x20 | 0x60 | 0xA7..=0xAB | 0xAD | 0xAE | 0xD2..=0xD4);
    let allowed = port == DATA || port == COMMAND && harmless;
    if allowed {
        // SAFETY: keyboard, mouse and controller do what they are told, none of which touches memory or the CPU.
        unsafe { port::write8(port, value) };
    }
    allowed
}
