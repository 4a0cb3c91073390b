//! All CPUs are there, wait, and go where they are sent.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use limine::mp::{Cpu, ResponseFlags};
use limine::response::MpResponse;

use super::{kind_at, machine, say};

static ARRIVED: AtomicU32 = AtomicU32::new(0);
static STACKS: AtomicU64 = AtomicU64::new(0);

pub(super) fn check(mp: &MpResponse, hhdm: u64) {
    let cpus = mp.cpus();
    let x2apic = mp.flags().contains(ResponseFlags::X2APIC);
    assert_eq!(machine::is_x2apic(), x2apic);
    assert_eq!(mp.bsp_lapic_id(), machine::apic_id());
    for (index, cpu) in cpus.iter().enumerate() {
        assert!(cpus[..index].iter().all(|other| other.lapic_id != cpu.lapic_id));
        if cpu.lapic_id == mp.bsp_lapic_id() {
            continue;
        }
        // Bit 1 carries x2APIC mode to the CPU.
        cpu.extra.store(0x5e50 | u64::from(x2apic), Ordering::Relaxed);
        let before = ARRIVED.load(Ordering::Acquire);
        cpu.goto_address.write(arrive);
        wait_for(before + 1);
        let stack = STACKS.load(Ordering::Acquire);
        assert_eq!((stack - 8) % 16, 0, "as after a call");
        assert_eq!(kind_at(stack - hhdm), "loader");
        assert_eq!(kind_at(stack + 7 - hhdm - (256 << 10)), "loader");
    }
    say!("cpus {} x2apic {x2apic}", cpus.len());
}

fn wait_for(count: u32) {
    for _ in 0..1_000_000_000u64 {
        if ARRIVED.load(Ordering::Acquire) == count {
            return;
        }
        core::hint::spin_loop();
    }
    panic!("a CPU did not arrive");
}

/// Union of the registers in RSI, stack pointer in RDX.
#[unsafe(naked)]
unsafe extern "C" fn arrive(_: &Cpu) -> ! {
    naked_asm!(
        "or rsi, rax; or rsi, rbx; or rsi, rcx; or rsi, rdx; or rsi, rbp; or rsi, r8; or rsi, r9",
        "or rsi, r10; or rsi, r11; or rsi, r12; or rsi, r13; or rsi, r14; or rsi, r15",
        "or rsi, [rsp]",
        "mov rdx, rsp",
        "jmp {landed}",
        landed = sym landed,
    )
}

extern "sysv64" fn landed(cpu: &Cpu, registers: u64, stack: u64) -> ! {
    assert_eq!(registers, 0, "a register was not zero on another CPU");
    machine::check_state();
    assert_eq!(cpu.lapic_id, machine::apic_id());
    assert_eq!(cpu.extra.load(Ordering::Relaxed), 0x5e50 | u64::from(machine::is_x2apic()));
    STACKS.store(stack, Ordering::Release);
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    loop {
        core::hint::spin_loop();
    }
}
