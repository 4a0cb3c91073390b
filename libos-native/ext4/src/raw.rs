//! The processor's instruction for CRC-32C.
//!
//! It works on general registers, so it is at hand where no vector registers may be touched.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes that are taken in one step.
const STEP: usize = 64;

/// What is known of the processor: 0 nothing yet, 1 no such instruction, 2 it is there.
static KNOWN: AtomicU8 = AtomicU8::new(0);

/// Whether the processor has the instruction.
pub(crate) fn has_crc32c() -> bool {
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let has = look();
            KNOWN.store(if has { 2 } else { 1 }, Ordering::Relaxed);
            has
        }
        known => known == 2,
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn look() -> bool {
    const SSE4_2: u32 = 1 << 20;
    core::arch::x86_64::__cpuid(1).ecx & SSE4_2 != 0
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn look() -> bool {
    false
}

/// CRC-32C of `bytes`, continued from `crc`; only if [`has_crc32c`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    debug_assert!(has_crc32c());
    let (parts, rest) = bytes.as_chunks::<STEP>();
    let (words, rest) = rest.as_chunks::<8>();
    let mut state = u64::from(crc);
    for part in parts {
        // SAFETY: reads the 64 bytes of `part`, and changes the one register it is given. The
        // caller knows that the processor has the instruction.
        unsafe {
            core::arch::asm!(
                "crc32 {state}, qword ptr [{part}]",
                "crc32 {state}, qword ptr [{part} + 8]",
                "crc32 {state}, qword ptr [{part} + 16]",
                "crc32 {state}, qword ptr [{part} + 24]",
                "crc32 {state}, qword ptr [{part} + 32]",
                "crc32 {state}, qword ptr [{part} + 40]",
                "crc32 {state}, qword ptr [{part} + 48]",
                "crc32 {state}, qword ptr [{part} + 56]",
                state = inout(reg) state,
                part = in(reg) part.as_ptr(),
                options(pure, readonly, nostack, preserves_flags),
            );
        }
    }
    for word in words {
        let word = u64::from_le_bytes(*word);
        // SAFETY: changes the one register it is given; the processor has the instruction.
        unsafe {
            core::arch::asm!(
                "crc32 {state}, {word}",
                state = inout(reg) state,
                word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    let mut state = state as u32;
    for byte in rest {
        // SAFETY: as above.
        unsafe {
            core::arch::asm!(
                "crc32 {state:e}, {byte}",
                state = inout(reg) state,
                byte = in(reg_byte) *byte,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    state
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) fn crc32c(_: u32, _: &[u8]) -> u32 {
    unreachable!("asked for only where the processor has the instruction")
}
