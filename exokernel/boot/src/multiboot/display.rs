//! A framebuffer where the BIOS leaves none: the Bochs display, which QEMU's standard VGA is (its `docs/specs/standard-vga`).

use serix_boot::cpu::{inl, outl, outw};
use serix_boot::protocol::responses::Framebuffer;

/// Vendor and device number on PCI.
const BOCHS_DISPLAY: u32 = 0x1111_1234;
const WIDTH: u16 = 1024;
const HEIGHT: u16 = 768;
/// Registers of the display: number and value, in the order in which they are set. Switched off, the mode, and on with a linear
/// framebuffer.
const MODE: [(u16, u16); 6] = [(4, 0), (1, WIDTH), (2, HEIGHT), (3, 32), (6, WIDTH), (4, 0x41)];

/// Sets a mode, if such a display is on the first PCI bus.
pub(super) fn set_up() -> Option<Framebuffer> {
    let device = (0..32).find(|device| configuration(*device, 0) == BOCHS_DISPLAY)?;
    let bar = configuration(device, 0x10);
    // A memory range below 4 GiB that the BIOS placed.
    if bar & 0b111 != 0 || bar & !0xF == 0 {
        return None;
    }
    for (register, value) in MODE {
        // SAFETY: the display's index and data ports; it draws, and writes to no memory.
        unsafe {
            outw(0x1CE, register);
            outw(0x1CF, value);
        }
    }
    Some(Framebuffer {
        address: (bar & !0xF).into(),
        width: WIDTH.into(),
        height: HEIGHT.into(),
        pitch: u64::from(WIDTH) * 4,
        bits_per_pixel: 32,
        masks: [(8, 16), (8, 8), (8, 0)],
    })
}

/// A word of the configuration space of function 0 of a device on bus 0.
fn configuration(device: u32, register: u32) -> u32 {
    // SAFETY: choosing and reading a configuration register changes nothing.
    unsafe {
        outl(0xCF8, 1 << 31 | device << 11 | register);
        inl(0xCFC)
    }
}
