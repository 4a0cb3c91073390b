//! Port input and output.
use core::arch::asm;

/// Reads a byte.
///
/// # Safety
/// Reading the port has no effect that the kernel does not expect.
#[must_use]
pub unsafe fn read8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's promise.
    unsafe { asm!("in al, dx", out("al") value, in("dx") port, options(nostack, preserves_flags)) };
    value
}

/// Writes a byte.
///
/// # Safety
/// As [`read8`], for writing.
pub unsafe fn write8(port: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, al", in("al") value, in("dx") port, options(nostack, preserves_flags)) };
}

/// Reads four bytes.
///
/// # Safety
/// As [`read8`].
#[must_use]
pub unsafe fn read32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("in eax, dx", out("eax") value, in("dx") port, options(nostack, preserves_flags))
    };
    value
}

/// Writes four bytes.
///
/// # Safety
/// As [`write8`].
pub unsafe fn write32(port: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("out dx, eax", in("eax") value, in("dx") port, options(nostack, preserves_flags))
    };
}

/// Reads `words.len()` times two bytes.
///
/// # Safety
/// As [`read8`].
pub unsafe fn read16_all(port: u16, words: &mut [u16]) {
    // SAFETY: the caller's promise; the instruction writes exactly the words.
    unsafe {
        asm!("rep insw", in("dx") port, inout("rdi") words.as_mut_ptr() => _, inout("rcx") words.len() => _, options(nostack, preserves_flags));
    }
}
