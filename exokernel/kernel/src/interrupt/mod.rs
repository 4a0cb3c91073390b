//! Traps of ring 3: faults go up, interrupts are taken.
mod line;

pub(crate) use line::{Line, route};

use crate::debug::log_line;
use crate::kernel::{Kernel, lock, run};
use serix_abi::start::EndReason;
use serix_hal::cpu::apic::{
    self, DEVICE_VECTOR, LINE_VECTOR, LINES, SHOOTDOWN_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR,
};
use serix_hal::cpu::trap::waited_ticks;
use serix_hal::cpu::{Context, registers, tlb};
use serix_hal::memory::info::count_fault;

const PAGE_FAULT: u64 = 14;
const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const MACHINE_CHECK: u64 = 18;
const EXCEPTIONS: u64 = 32;

/// A trap of user code. A fault that the dispatcher takes needs no lock and no scheduling.
pub(crate) extern "sysv64" fn trap(context: &mut Context) {
    let vector = context.registers.vector;
    if vector >= EXCEPTIONS {
        return interrupt(vector as u8);
    }
    match vector {
        NMI => return,
        DOUBLE_FAULT | MACHINE_CHECK => panic!("exception {vector} while ring 3 ran"),
        _ => {}
    }
    let address = if vector == PAGE_FAULT { registers::fault_address() } else { 0 };
    if !context.deliver_fault(vector, context.registers.error_code, address) {
        fatal(context);
    }
    count_fault();
}

/// A foreign call of a dispatcher that takes none.
pub(crate) extern "sysv64" fn no_foreign(context: &mut Context) -> ! {
    let mut kernel = lock();
    log_line!("a foreign call without an entry for it, at {:#x}", context.registers.rip);
    kernel.end_running(EndReason::Fault, 0);
    run(kernel)
}

/// A fault that nobody takes ends the domain.
#[cold]
fn fatal(context: &mut Context) {
    let mut kernel = lock();
    let registers = &context.registers;
    log_line!(
        "fault {} that no upcall took: error {:#x}, address {:#x}, rip {:#x}, rsp {:#x}",
        registers.vector,
        registers.error_code,
        registers::fault_address(),
        registers.rip,
        registers.rsp
    );
    log_line!(
        "  rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x} rbp {:#x}",
        registers.rax,
        registers.rbx,
        registers.rcx,
        registers.rdx,
        registers.rsi,
        registers.rdi,
        registers.rbp
    );
    log_line!("  at {:#x}", registers.rip);
    let vector = registers.vector as u32;
    kernel.end_running(EndReason::Fault, vector);
    run(kernel)
}

/// An interrupt of user code: whoever should run now runs.
fn interrupt(vector: u8) {
    if vector == SHOOTDOWN_VECTOR {
        return forget_translations();
    }
    let mut kernel = lock();
    kernel.take_interrupt(vector);
    run(kernel)
}

/// An interrupt while the core idles.
pub(crate) fn idle_interrupt(vector: u8) {
    if vector == SHOOTDOWN_VECTOR {
        return forget_translations();
    }
    lock().take_interrupt(vector);
}

/// Another core asks, which holds the kernel lock and waits for the answer.
fn forget_translations() {
    tlb::serve();
    apic::end_of_interrupt();
}

impl Kernel {
    fn take_interrupt(&mut self, vector: u8) {
        match vector {
            TIMER_VECTOR => {
                self.info.count_timer();
                self.info.count_foreign();
                self.timer_fired();
                self.expire_deadlines();
            }
            DEVICE_VECTOR => {
                self.info.count_device();
                self.complete_transfers();
            }
            vector if (LINE_VECTOR..LINE_VECTOR + LINES as u8).contains(&vector) => {
                self.info.count_device();
                self.line_signals(vector);
            }
            SPURIOUS_VECTOR => return,
            // `RESCHEDULE_VECTOR` asks for nothing but that the core looks who should run.
            _ => {}
        }
        apic::end_of_interrupt();
    }

    /// Ends the domain that runs.
    pub(crate) fn end_running(&mut self, reason: EndReason, status: u32) {
        let running = self.core().running.and_then(|running| self.dispatchers.get(running));
        let Some(domain) = running.map(|dispatcher| dispatcher.domain) else { return };
        if domain == self.first_domain {
            self.power_off(reason, status);
        }
        self.domain_stop(domain, reason, status);
    }

    /// The first domain ended, and with it the machine.
    fn power_off(&mut self, reason: EndReason, status: u32) -> ! {
        if self.options.check {
            let violations = loop {
                if let Ok(violations) = self.ledger_check_step() {
                    break violations;
                }
            };
            log_line!("ledger: {violations} violations");
        }
        self.info.count_foreign();
        let counters = self.info.counters();
        let load = |counter: &core::sync::atomic::AtomicU64| {
            counter.load(core::sync::atomic::Ordering::Relaxed)
        };
        log_line!(
            "counters: {} foreign calls, {} faults, {} switches, {} timer and {} device interrupts, {} halts, {} block and {} stream transfers, {} pages mapped",
            load(&counters.foreign_calls),
            load(&counters.faults),
            load(&counters.switches),
            load(&counters.timer_interrupts),
            load(&counters.device_interrupts),
            load(&counters.halts),
            load(&counters.block_transfers),
            load(&counters.stream_transfers),
            load(&counters.pages_mapped),
        );
        log_line!("first domain ended: {reason:?} {status}");
        log_line!(
            "power off after {} instructions or cycles, and {} of waiting",
            serix_hal::cpu::time::ticks().saturating_sub(waited_ticks()),
            waited_ticks()
        );
        assert!(reason == EndReason::Exit, "the first domain failed: {reason:?} {status}");
        serix_hal::device::exit::exit(serix_hal::device::exit::DONE)
    }
}
