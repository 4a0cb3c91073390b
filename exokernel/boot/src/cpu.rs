//! The instructions that Rust has no words for: ports, model-specific registers, CPUID, APIC.
//!
//! Only to be used at privilege level 0, before the kernel runs, with interrupts off.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __get_cpuid_max};

const EFER: u32 = 0xc000_0080;
const EFER_NXE: u64 = 1 << 11;
const PAT: u32 = 0x277;
/// WB, WT, UC-, UC, WP, WC, UC-, UC: what the boot protocol sets for entries 0 to 5.
pub const PAT_LAYOUT: u64 = 0x0007_0105_0007_0406;
const APIC_BASE: u32 = 0x1b;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const X2APIC_ID: u32 = 0x802;
const X2APIC_ICR: u32 = 0x830;
const CR0_WP: u64 = 1 << 16;
const CR4_PGE: u64 = 1 << 7;
const CR4_LA57: u64 = 1 << 12;

/// Reads an I/O port.
///
/// # Safety
/// Reading `port` must have no effect that breaks memory safety, as with all devices used here.
#[must_use]
pub unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: 1. The loader runs at privilege level 0. 2. The caller vouches for the port.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}

/// Writes an I/O port.
///
/// # Safety
/// The device behind `port` must not be told to write to memory that is in use.
pub unsafe fn outb(port: u16, value: u8) {
    // SAFETY: 1. The loader runs at privilege level 0. 2. The caller vouches for the port.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Reads four bytes of an I/O port.
///
/// # Safety
/// As [`inb`].
#[must_use]
pub unsafe fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as in `inb`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)) };
    value
}

/// Writes two bytes to an I/O port.
///
/// # Safety
/// As [`outb`].
pub unsafe fn outw(port: u16, value: u16) {
    // SAFETY: as in `outb`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) };
}

/// Writes four bytes to an I/O port.
///
/// # Safety
/// As [`outb`].
pub unsafe fn outl(port: u16, value: u32) {
    // SAFETY: as in `outb`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)) };
}

/// Reads a model-specific register.
///
/// # Safety
/// The CPU must have the register.
#[must_use]
pub unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: 1. Privilege level 0. 2. The caller vouches that the register exists.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(low) | u64::from(high) << 32
}

/// Writes a model-specific register.
///
/// # Safety
/// The CPU must have the register, and the value must keep what running code relies on.
pub unsafe fn write_msr(register: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: 1. Privilege level 0. 2. The caller vouches for register and value.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high, options(nostack));
    }
}

/// Whether CPUID offers x2APIC mode.
#[must_use]
pub fn has_x2apic() -> bool {
    __cpuid(1).ecx & 1 << 21 != 0
}

fn extended_features() -> u32 {
    match __get_cpuid_max(0x8000_0000).0 {
        0x8000_0001.. => __cpuid(0x8000_0001).edx,
        _ => 0,
    }
}

/// Whether page tables may hold 1 GiB pages.
#[must_use]
pub fn has_gigabyte_pages() -> bool {
    extended_features() & 1 << 26 != 0
}

/// Whether page tables may forbid execution.
#[must_use]
pub fn has_no_execute() -> bool {
    extended_features() & 1 << 20 != 0
}

/// Whether five levels of paging are on. They cannot be left without leaving long mode.
#[must_use]
pub fn runs_five_levels() -> bool {
    cr4() & CR4_LA57 != 0
}

fn cr4() -> u64 {
    let value;
    // SAFETY: Reading CR4 at privilege level 0 has no effect.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack)) };
    value
}

/// Puts this CPU's control registers into the state that the protocol promises: NX (if there is
/// one), write protection for privilege level 0, the PAT, no global TLB entries.
///
/// # Safety
/// The present page tables must use no memory types but write-back, and the running code must
/// write to no read-only page.
pub unsafe fn set_protocol_state() {
    // SAFETY: 1. Every x86-64 CPU has EFER and PAT. 2. Entry 0 of the PAT stays write-back. 3.
    // Clearing PGE only flushes. 4. The caller vouches for write protection.
    unsafe {
        if has_no_execute() {
            write_msr(EFER, read_msr(EFER) | EFER_NXE);
        }
        write_msr(PAT, PAT_LAYOUT);
        let cr0: u64;
        asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack));
        asm!("mov cr0, {}", in(reg) cr0 | CR0_WP, options(nostack));
        asm!("mov cr4, {}", in(reg) cr4() & !CR4_PGE, options(nostack));
    }
}

/// Waits about `microseconds`: an access to port 0x80 takes about one on real machines.
pub fn delay(microseconds: u32) {
    for _ in 0..microseconds {
        // SAFETY: Port 0x80 shows diagnostic codes; reading it does nothing.
        let _ = unsafe { inb(0x80) };
    }
}

/// This CPU's local APIC.
#[derive(Debug, Clone, Copy)]
pub enum Apic {
    /// Registers in memory, at this address.
    Memory(u64),
    /// x2APIC: model-specific registers.
    Registers,
}

impl Apic {
    /// The APIC in the mode it is in.
    ///
    /// # Safety
    /// The APIC's page, if it is in xAPIC mode, must be identity mapped.
    #[must_use]
    pub unsafe fn current() -> Apic {
        // SAFETY: Every x86-64 CPU has IA32_APIC_BASE.
        let base = unsafe { read_msr(APIC_BASE) };
        match base & APIC_BASE_X2APIC {
            0 => Apic::Memory(base & 0x000f_ffff_ffff_f000),
            _ => Apic::Registers,
        }
    }

    /// Switches this CPU's APIC to x2APIC mode, if it is not in it.
    ///
    /// # Safety
    /// [`has_x2apic`] must be true, and the APIC enabled.
    pub unsafe fn enable_x2apic() {
        // SAFETY: 1. The register exists. 2. The caller vouches that the bit may be set.
        unsafe { write_msr(APIC_BASE, read_msr(APIC_BASE) | APIC_BASE_X2APIC) };
    }

    /// This CPU's id.
    #[must_use]
    pub fn id(self) -> u32 {
        match self {
            // SAFETY: 1. `current` found the APIC in this mode. 2. Its page is identity mapped.
            // 3. Offset 0x20 is the id register, readable at any time.
            Apic::Memory(base) => unsafe {
                (base as *const u32).byte_add(0x20).read_volatile() >> 24
            },
            // SAFETY: The register exists in x2APIC mode.
            Apic::Registers => (unsafe { read_msr(X2APIC_ID) }) as u32,
        }
    }

    /// Sends an inter-processor interrupt; `command` is the low half of the ICR.
    ///
    /// # Safety
    /// The receiver must be a CPU that may be given this command now.
    pub unsafe fn send(self, apic_id: u32, command: u32) {
        match self {
            Apic::Memory(base) => {
                let low = (base + 0x300) as *mut u32;
                let high = (base + 0x310) as *mut u32;
                // SAFETY: 1. As in `id`. 2. 0x300 and 0x310 are the ICR. 3. The caller vouches
                // for the command.
                unsafe {
                    high.write_volatile(apic_id << 24);
                    low.write_volatile(command);
                    // Bit 12 is set until the interrupt is accepted by the bus.
                    for _ in 0..1000 {
                        if low.read_volatile() & 1 << 12 == 0 {
                            break;
                        }
                        delay(1);
                    }
                }
            }
            // SAFETY: 1. The register exists in x2APIC mode. 2. The caller vouches for the command.
            // The fences make earlier stores visible first: x2APIC writes do not wait for them
            // (Intel SDM volume 3, section 11.12.3).
            Apic::Registers => unsafe {
                asm!("mfence", "lfence", options(nostack));
                write_msr(X2APIC_ICR, u64::from(apic_id) << 32 | u64::from(command));
            },
        }
    }
}

/// Masks the legacy interrupt controllers and every input of the I/O APICs at these addresses, so
/// that no interrupt is pending that the kernel did not ask for.
///
/// # Safety
/// The addresses must be I/O APICs and identity mapped.
pub unsafe fn mask_interrupts(io_apics: &[u64]) {
    // SAFETY: 1. 0x21 and 0xa1 are the mask registers of the two 8259s; nothing else is there. 2.
    // The caller vouches for the I/O APICs: index at 0, data at 0x10, entry n at 0x10 + 2n.
    unsafe {
        outb(0x21, 0xff);
        outb(0xa1, 0xff);
        for &base in io_apics {
            let index = base as *mut u32;
            let data = (base + 0x10) as *mut u32;
            index.write_volatile(1);
            let last = data.read_volatile() >> 16 & 0xff;
            for entry in 0..=last {
                index.write_volatile(0x10 + 2 * entry);
                data.write_volatile(data.read_volatile() | 1 << 16);
            }
        }
    }
}

/// The CMOS clock's register number `register`.
#[must_use]
pub fn cmos(register: u8) -> u8 {
    // SAFETY: Ports 0x70 and 0x71 are the CMOS clock; only its registers are read. Bit 7 of the
    // index keeps NMIs off while it is set, so it is left clear.
    unsafe {
        outb(0x70, register & 0x7f);
        inb(0x71)
    }
}
