//! The machine under the test kernel: COM1, the way out, registers, page tables.

use core::arch::asm;
use core::fmt;

pub(super) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: COM1's data register; the loader set the port up or QEMU needs no set-up.
            unsafe {
                asm!("out dx, al", in("dx") 0x3f8u16, in("al") byte, options(nomem, nostack))
            };
        }
        Ok(())
    }
}

pub(super) fn exit(value: u8) -> ! {
    // SAFETY: QEMU's debug exit.
    unsafe { asm!("out dx, al", in("dx") 0xf4u16, in("al") value, options(nomem, nostack)) };
    loop {
        core::hint::spin_loop();
    }
}

pub(super) fn halt() -> ! {
    loop {
        // SAFETY: Interrupts are off: this CPU sleeps for good, and costs its host nothing.
        unsafe { asm!("hlt", options(nomem, nostack)) };
    }
}

pub(super) fn undefined_instruction() -> ! {
    // SAFETY: Ends in the handler that the loader set up.
    unsafe { asm!("ud2", options(noreturn)) }
}

fn msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: Callers name registers that every x86-64 CPU has.
    unsafe { asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high) };
    u64::from(low) | u64::from(high) << 32
}

/// What the protocol promises of control registers, flags, selectors and the PAT.
pub(super) fn check_state() {
    let (cr0, cr4, flags, cs, ss): (u64, u64, u64, u16, u16);
    // SAFETY: Reads only; the pushed flags are popped at once.
    unsafe {
        asm!("mov {}, cr0", out(reg) cr0);
        asm!("mov {}, cr4", out(reg) cr4);
        asm!("pushfq", "pop {}", out(reg) flags);
        asm!("mov {:x}, cs", out(reg) cs);
        asm!("mov {:x}, ss", out(reg) ss);
    }
    assert_eq!(cr0 & 0x8001_0001, 0x8001_0001, "PG, WP, PE");
    assert_eq!(cr0 & 0x6000_0000, 0, "caches are on");
    assert_eq!(cr4 & (1 << 5 | 1 << 12), 1 << 5, "PAE, four levels");
    assert_eq!(flags & (1 << 9 | 1 << 10), 0, "IF and DF clear");
    assert_eq!((cs, ss), (0x28, 0x30));
    assert_eq!(msr(0xc000_0080) & 0xd00, 0xd00, "LME, LMA, NXE");
    assert_eq!(msr(0x277) & 0xffff_ffff_ffff, 0x0105_0007_0406, "PAT");
}

/// A mapped byte.
pub(super) struct Mapped {
    pub(super) physical: u64,
    pub(super) writable: bool,
    pub(super) executable: bool,
}

/// Walks the present page tables, read through the direct map.
pub(super) fn walk(address: u64) -> Option<Mapped> {
    const HHDM: u64 = 0xffff_8000_0000_0000;
    let mut table: u64;
    // SAFETY: Reading CR3 has no effect.
    unsafe { asm!("mov {}, cr3", out(reg) table) };
    let (mut writable, mut executable) = (true, true);
    for level in (0..4).rev() {
        let shift = 12 + 9 * level;
        let slot = HHDM + (table & 0x000f_ffff_ffff_f000) + (address >> shift & 511) * 8;
        // SAFETY: Page tables are loader memory, which the direct map holds.
        let entry = unsafe { *(slot as *const u64) };
        if entry & 1 == 0 {
            return None;
        }
        writable &= entry & 2 != 0;
        executable &= entry >> 63 == 0;
        if level == 0 || entry & 0x80 != 0 {
            let mask = (1u64 << shift) - 1;
            let base = entry & 0x000f_ffff_ffff_f000 & !mask;
            return Some(Mapped { physical: base | address & mask, writable, executable });
        }
        table = entry;
    }
    None
}

/// This CPU's APIC id, by CPUID so that the APIC's mode does not matter.
pub(super) fn apic_id() -> u32 {
    use core::arch::x86_64::{__cpuid, __cpuid_count, __get_cpuid_max};
    if __get_cpuid_max(0).0 >= 11 && __cpuid_count(11, 0).ebx & 0xffff != 0 {
        return __cpuid_count(11, 0).edx;
    }
    __cpuid(1).ebx >> 24
}

/// Whether this CPU's APIC is in x2APIC mode.
pub(super) fn is_x2apic() -> bool {
    msr(0x1b) & 1 << 10 != 0
}
