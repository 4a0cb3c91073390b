//! What the CPU must have, may have, and has switched on.
use super::registers::{msr, read_msr, write_msr};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use raw_cpuid::CpuId;

static SMAP: AtomicBool = AtomicBool::new(false);
static XCR0: AtomicU32 = AtomicU32::new(0);
static XSAVE_SIZE: AtomicU32 = AtomicU32::new(0);

/// Extended state the kernel switches: x87, SSE, AVX, AVX-512. (AMX is left off: its tiles need 8 KiB a
/// dispatcher. PKRU joins with protection keys.)
const SWITCHED: u64 = 0b1110_0111;

/// Whether supervisor-mode access prevention is on.
#[inline(always)]
#[must_use]
pub fn smap() -> bool {
    SMAP.load(Ordering::Relaxed)
}

/// XCR0: the extended state that programs may use.
#[must_use]
pub fn xcr0() -> u32 {
    XCR0.load(Ordering::Relaxed)
}

/// Bytes that XSAVE stores for it.
#[must_use]
pub fn xsave_size() -> u32 {
    XSAVE_SIZE.load(Ordering::Relaxed)
}

/// Names the first feature that the kernel needs and this CPU lacks.
///
/// # Errors
/// The feature's name.
pub fn check() -> Result<(), &'static str> {
    let id = CpuId::new();
    let basic = id.get_feature_info().ok_or("CPUID leaf 1")?;
    let extended = id.get_extended_feature_info().ok_or("CPUID leaf 7")?;
    let processor =
        id.get_extended_processor_and_feature_identifiers().ok_or("CPUID leaf 0x80000001")?;
    for (present, name) in [
        (processor.has_execute_disable(), "NX"),
        (processor.has_syscall_sysret(), "SYSCALL"),
        (extended.has_smep(), "SMEP"),
        (extended.has_fsgsbase(), "FSGSBASE"),
        (basic.has_xsave(), "XSAVE"),
        (basic.has_rdrand(), "RDRAND"),
        (basic.has_tsc(), "TSC"),
        (basic.has_apic(), "APIC"),
    ] {
        if !present {
            return Err(name);
        }
    }
    Ok(())
}

/// Switches on what the kernel uses on this core.
pub(crate) fn enable() {
    let extended = CpuId::new().get_extended_feature_info();
    let has = |test: fn(&raw_cpuid::ExtendedFeatures) -> bool| extended.as_ref().is_some_and(test);
    // CR4: PAE, PGE, MCE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE, SMEP (Intel SDM vol. 3A, 2.5).
    let mut cr4: u64 = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 16 | 1 << 18 | 1 << 20;
    if has(raw_cpuid::ExtendedFeatures::has_umip) {
        cr4 |= 1 << 11;
    }
    if has(raw_cpuid::ExtendedFeatures::has_smap) {
        cr4 |= 1 << 21;
        SMAP.store(true, Ordering::Relaxed);
    }
    // CR0: PE, MP, NE, WP, AM, PG; EM and TS clear.
    let cr0: u64 = 1 | 1 << 1 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31;
    // SAFETY: paging, long mode and the features were checked; none of these bits takes away what runs now.
    unsafe {
        asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags));
        asm!("mov cr0, {}", in(reg) cr0, options(nostack, preserves_flags));
        // SCE and NXE besides what the loader set.
        write_msr(msr::EFER, read_msr(msr::EFER) | 1 | 1 << 11);
        // Entry 6 of the page attribute table is write combining; no mapping uses it yet.
        write_msr(msr::PAT, read_msr(msr::PAT) & !(0xFF << 48) | 1 << 48);
    }
    enable_extended_state();
}

fn enable_extended_state() {
    let id = CpuId::new();
    let supported = core::arch::x86_64::__cpuid_count(0xD, 0);
    let mask = (u64::from(supported.edx) << 32 | u64::from(supported.eax)) & SWITCHED;
    // SAFETY: CR4.OSXSAVE is set; the mask holds x87 and only supported bits.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") mask as u32, in("edx") (mask >> 32) as u32, options(nostack, preserves_flags));
    }
    let size = id
        .get_extended_state_info()
        .map_or(512 + 64, |info| info.xsave_area_size_enabled_features());
    assert!(
        size as usize <= super::context::XSAVE_ROOM,
        "extended state larger than a dispatcher's room"
    );
    XCR0.store(mask as u32, Ordering::Relaxed);
    XSAVE_SIZE.store(size, Ordering::Relaxed);
}
