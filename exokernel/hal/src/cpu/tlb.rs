//! Translation caches.
use super::registers::{read_cr3, write_cr3};
use core::arch::asm;

/// Forgets one page of the current address space on this core.
#[inline(always)]
pub fn flush_page(address: u64) {
    // SAFETY: INVLPG only forgets a translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Forgets all pages of the user half on this core.
pub fn flush_all() {
    // SAFETY: CR3 is loaded with what it holds.
    unsafe { write_cr3(read_cr3()) };
}
