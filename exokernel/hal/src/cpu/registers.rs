//! Control and model-specific registers.
use core::arch::asm;

/// Model-specific registers used (Intel SDM vol. 4, AMD APM vol. 2 appendix A).
pub(crate) mod msr {
    pub(crate) const PAT: u32 = 0x277;
    pub(crate) const EFER: u32 = 0xC000_0080;
    pub(crate) const STAR: u32 = 0xC000_0081;
    pub(crate) const LSTAR: u32 = 0xC000_0082;
    pub(crate) const CSTAR: u32 = 0xC000_0083;
    pub(crate) const SFMASK: u32 = 0xC000_0084;
    pub(crate) const GS_BASE: u32 = 0xC000_0101;
    pub(crate) const KERNEL_GS_BASE: u32 = 0xC000_0102;
    pub(crate) const SYSENTER_CS: u32 = 0x174;
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists and the value keeps the kernel's invariants.
pub(crate) unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags));
    }
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists.
pub(crate) unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Loads a top page table.
///
/// # Safety
/// Its kernel half is the kernel's.
#[inline(always)]
pub(crate) unsafe fn write_cr3(physical: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("mov cr3, {}", in(reg) physical, options(nostack, preserves_flags)) };
}

#[inline(always)]
pub(crate) fn read_cr3() -> u64 {
    let value;
    // SAFETY: reading CR3 has no effect.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The address of the last page fault.
#[inline(always)]
#[must_use]
pub fn fault_address() -> u64 {
    let value;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// A random number from the CPU (RDRAND, Intel SDM vol. 1, 7.3.17); `None` if it has none ready after ten tries.
#[must_use]
pub fn random() -> Option<u64> {
    for _ in 0..10 {
        let value: u64;
        let ok: u8;
        // SAFETY: RDRAND is checked at boot; it changes only its destination and flags.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack));
        }
        if ok != 0 {
            return Some(value);
        }
    }
    None
}
