//! All CPUs are there, wait, and go where they are sent.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use limine::mp::{Cpu, ResponseFlags};
use limine::response::MpResponse;

use super::{STACK, kind_at, machine, say};

static ARRIVED: AtomicU32 = AtomicU32::new(0);

pub(super) fn check(mp: &MpResponse, hhdm: u64) {
    let cpus = mp.cpus();
    let x2apic = mp.flags().contains(ResponseFlags::X2APIC);
    assert_eq!(machine::is_x2apic(), x2apic);
    assert_eq!(mp.bsp_lapic_id(), machine::apic_id());
    let others = || cpus.iter().filter(|cpu| cpu.lapic_id != mp.bsp_lapic_id());
    assert_eq!(others().count(), cpus.len() - 1, "the boot CPU is listed once");
    for cpu in others() {
        // Bit 0 carries x2APIC mode to the CPU, which answers with its stack pointer.
        cpu.extra.store(0x5e50 | u64::from(x2apic), Ordering::Relaxed);
        cpu.goto_address.write(arrive);
    }
    wait_for(cpus.len() as u32 - 1);
    for (index, cpu) in others().enumerate() {
        let stack = cpu.extra.load(Ordering::Acquire);
        assert_eq!((stack - 8) % 16, 0, "as after a call");
        assert_eq!(kind_at(stack - hhdm), "loader");
        assert_eq!(kind_at(stack + 7 - hhdm - STACK), "loader");
        let distance = |other: &&&Cpu| other.extra.load(Ordering::Acquire).abs_diff(stack);
        assert!(others().take(index).all(|other| distance(&other) >= STACK), "stacks overlap");
        assert!(others().take(index).all(|other| other.lapic_id != cpu.lapic_id));
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
    cpu.extra.store(stack, Ordering::Release);
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    machine::halt()
}
