//! Handlers: what the kernel plugs into the entry code.
use super::context::{Context, Registers};
use super::local::offsets;
use super::registers::{msr, write_msr};
use super::time::ticks;
use super::{descriptors, histogram, local};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use serix_abi::layout::USER_END;

/// The reply to a native call: rax and rdx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Reply {
    /// Zero or an error.
    pub status: u64,
    /// The value.
    pub value: u64,
}

/// A native call: six arguments, then rax as it came.
pub type NativeHandler = extern "sysv64" fn(u64, u64, u64, u64, u64, u64, u64) -> Reply;
/// An exception or interrupt of user code; returns to resume what is current.
pub type TrapHandler = extern "sysv64" fn(&mut Context);
/// A foreign call of a dispatcher without an entry for it.
pub type NoForeignHandler = extern "sysv64" fn(&mut Context) -> !;
/// An interrupt while the core idles.
pub type IdleInterruptHandler = fn(vector: u8);

/// Places for handlers of native calls. The last one takes the numbers past it, too.
pub const NATIVE_HANDLERS: usize = 64;
/// The handlers of native calls, by number: the same on all cores.
pub(crate) static NATIVES: [AtomicUsize; NATIVE_HANDLERS] =
    [const { AtomicUsize::new(0) }; NATIVE_HANDLERS];

static IDLE_INTERRUPT: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn serix_syscall_entry();
    fn serix_closed_entry();
    fn serix_stubs();
    pub(super) fn serix_resume() -> !;
    fn serix_enter_gate();
    fn serix_leave_gate();
}

/// Sets this core's handlers and opens SYSCALL.
pub fn install(
    natives: &'static [NativeHandler; NATIVE_HANDLERS],
    trap: TrapHandler,
    no_foreign: NoForeignHandler,
    idle_interrupt: IdleInterruptHandler,
) {
    let block = local::block();
    for (place, native) in NATIVES.iter().zip(natives) {
        place.store(*native as usize, Ordering::Relaxed);
    }
    block.trap = trap as usize as u64;
    block.no_foreign = no_foreign as usize as u64;
    block.resume = serix_resume as *const () as u64;
    block.enter_gate = serix_enter_gate as *const () as u64;
    block.leave_gate = serix_leave_gate as *const () as u64;
    histogram::interpose(block, natives, trap);
    IDLE_INTERRUPT.store(idle_interrupt as usize, Ordering::Relaxed);
    // SYSRET: cs = base + 16 = 0x33, ss = base + 8 = 0x2b; SYSCALL: cs = 0x10, ss = 0x18.
    let star = 0x23 << 48 | u64::from(descriptors::KERNEL_CODE) << 32;
    // TF, IF, DF, NT, AC and RF are clear on entry.
    let mask = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 16 | 1 << 18;
    // SAFETY: SYSCALL is checked; the entry code keeps its contract. SYSENTER with a null selector is #GP.
    unsafe {
        write_msr(msr::STAR, star);
        write_msr(msr::LSTAR, serix_syscall_entry as *const () as u64);
        write_msr(msr::CSTAR, serix_closed_entry as *const () as u64);
        write_msr(msr::SFMASK, mask);
        write_msr(msr::SYSENTER_CS, 0);
    }
}

/// Fills the interrupt table.
pub(crate) fn fill_interrupt_table() {
    let stubs = serix_stubs as *const () as u64;
    descriptors::fill_interrupt_table(|vector| stubs + vector as u64 * 16);
}

/// Leaves to the current context. The kernel stack is forgotten.
pub fn resume() -> ! {
    assert!(local::block().context != 0, "no context to resume");
    // SAFETY: `set_current` made a context current, whose registers are valid for ring 3: they came from ring 3 or were
    // checked. The stack is not needed any more: handlers keep nothing on it across a switch. `install` set the pointer.
    unsafe { core::arch::asm!("call gs:[{}]", const local::offsets::RESUME, options(noreturn)) }
}

/// Where a gate is entered: addresses of the user half.
#[derive(Clone, Copy, Debug)]
pub struct GateEntry {
    entry: u64,
    stack: u64,
}

impl GateEntry {
    /// `None` if an address is not in the user half.
    #[must_use]
    pub fn new(entry: u64, stack: u64) -> Option<Self> {
        (entry < USER_END && stack < USER_END).then_some(Self { entry, stack })
    }
}

/// Leaves to a gate of the current context, with badge and message. The kernel stack is forgotten.
#[inline(always)]
pub fn enter_gate(gate: GateEntry, badge: u64, words: [u64; 4]) -> ! {
    assert!(local::block().context != 0, "no context to enter");
    // SAFETY: 1. A context is current; whatever it held before, it goes on at the gate, which was checked to be in the user
    // half. 2. As for `resume`, nothing on the stack is needed.
    unsafe {
        core::arch::asm!(
            "jmp gs:[{}]",
            const offsets::ENTER_GATE,
            in("rdi") badge,
            in("rsi") words[0],
            in("rdx") words[1],
            in("rcx") words[2],
            in("r8") words[3],
            in("r9") gate.entry,
            in("r10") gate.stack,
            options(noreturn)
        );
    }
}

/// Leaves to the current context, which called a gate, with the reply's words. The kernel stack is forgotten.
#[inline(always)]
pub fn leave_gate(words: [u64; 4]) -> ! {
    assert!(local::block().context != 0, "no context to resume");
    // SAFETY: as for `resume`; registers that a call keeps were saved when it came.
    unsafe {
        core::arch::asm!(
            "jmp gs:[{}]",
            const offsets::LEAVE_GATE,
            in("rdx") words[0],
            in("rdi") words[1],
            in("rsi") words[2],
            in("r8") words[3],
            options(noreturn)
        );
    }
}

/// Ticks of the TSC that all cores together have waited.
static WAITED: AtomicU64 = AtomicU64::new(0);

/// Waits for an interrupt, which the idle handler takes; returns after one.
pub fn wait_for_interrupt() {
    histogram::end(true);
    let start = ticks();
    // SAFETY: interrupts are taken only between STI and CLI, where the kernel holds no lock.
    unsafe { core::arch::asm!("sti", "hlt", "cli", options(nostack)) };
    WAITED.fetch_add(ticks().wrapping_sub(start), Ordering::Relaxed);
}

/// Ticks of the TSC that all cores together have spent in [`wait_for_interrupt`].
#[must_use]
pub fn waited_ticks() -> u64 {
    WAITED.load(Ordering::Relaxed)
}

/// Runs `body` on this core's kernel stack from its top, for ever.
pub fn run_on_kernel_stack(body: extern "sysv64" fn() -> !) -> ! {
    let top = local::block().stack;
    // SAFETY: the kernel stack is this core's, and nothing on it is needed any more.
    unsafe {
        core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "call {}", in(reg) top, in(reg) body, options(noreturn));
    }
}

const DEBUG: u64 = 1;
const NMI: u64 = 2;
const PAGE_FAULT: u64 = 14;

/// A trap of kernel code.
pub(crate) extern "sysv64" fn kernel_trap(registers: &mut Registers) {
    match registers.vector {
        PAGE_FAULT => {
            if let Some(rip) = crate::memory::user::fix_up(registers.rip) {
                registers.rip = rip;
                return;
            }
        }
        // A data breakpoint or single step cannot be meant for the kernel: end it.
        DEBUG => {
            registers.rflags &= !(1 << 8);
            return;
        }
        NMI => return,
        vector @ 32..=255 => {
            let handler = IDLE_INTERRUPT.load(Ordering::Relaxed);
            assert!(handler != 0, "interrupt before handlers were installed");
            // SAFETY: the only value ever stored, besides zero, is an `IdleInterruptHandler`.
            let handler: IdleInterruptHandler = unsafe { core::mem::transmute(handler) };
            handler(vector as u8);
            return;
        }
        _ => {}
    }
    panic!(
        "exception {} in the kernel, error {:#x}, rip {:#x}, rsp {:#x}, cr2 {:#x}",
        registers.vector,
        registers.error_code,
        registers.rip,
        registers.rsp,
        super::registers::fault_address()
    );
}
