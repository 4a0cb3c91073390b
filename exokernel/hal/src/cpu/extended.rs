//! Extended state: x87, SSE, AVX.
use super::context::XsaveArea;
use core::arch::asm;

/// Saves the extended state of this core (XSAVE, Intel SDM vol. 1, 13.7).
pub(crate) fn save(area: &mut XsaveArea) {
    // SAFETY: the area is 64-byte aligned and as large as CPUID leaf 0xD says for XCR0 (checked at boot).
    unsafe {
        asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack, preserves_flags));
    }
}

/// Restores what [`save`] saved.
pub(crate) fn restore(area: &XsaveArea) {
    // SAFETY: as for `save`; the area is kernel memory and was written by XSAVE or is `INITIAL`, so it is valid.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack, preserves_flags));
    }
}

/// An area with an empty header: restoring it puts every component in its initial state.
static INITIAL: XsaveArea = XsaveArea::initial();

/// Puts the extended state of this core in its initial state.
pub(crate) fn initialise() {
    restore(&INITIAL);
}
