//! How long stays in the kernel last: the word `histograms` of the command line.
//!
//! A core that keeps histograms has other handlers than one that does not (`interpose`): they note when they began and call
//! the real ones, and the way out notes what has passed. So a kernel without them executes no instruction for their sake on
//! any path of ring 3.
use super::context::Context;
use super::local::{CoreBlock, block};
use super::time::ticks;
use super::trap::{NATIVE_HANDLERS, NATIVES, NativeHandler, Reply, TrapHandler, serix_resume};
use crate::memory::info;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use serix_abi::info::row;

static ON: AtomicBool = AtomicBool::new(false);

/// A stay in the kernel, of one core.
pub(super) struct Stay {
    natives: Option<&'static [NativeHandler; NATIVE_HANDLERS]>,
    trap: Option<TrapHandler>,
    /// The ways out into a gate and back.
    enter_gate: u64,
    leave_gate: u64,
    /// Its row, and the tick when it began; zero while there is none.
    row: usize,
    since: u64,
    /// The context that it came from.
    from: u64,
}

impl Stay {
    pub(super) const NONE: Self =
        Self { natives: None, trap: None, enter_gate: 0, leave_gate: 0, row: 0, since: 0, from: 0 };
}

/// Lets all cores whose handlers are installed from now on keep histograms.
pub fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Puts the timed handlers before a core's own, if histograms are kept.
pub(super) fn interpose(
    block: &mut CoreBlock,
    natives: &'static [NativeHandler; NATIVE_HANDLERS],
    trap: TrapHandler,
) {
    if !ON.load(Ordering::Relaxed) {
        return;
    }
    block.stay = Stay { natives: Some(natives), trap: Some(trap), ..Stay::NONE };
    NATIVES
        .iter()
        .for_each(|place| place.store(timed_native as *const () as usize, Ordering::Relaxed));
    block.trap = timed_trap as *const () as u64;
    block.resume = timed_resume as *const () as u64;
    (block.stay.enter_gate, block.stay.leave_gate) = (block.enter_gate, block.leave_gate);
    block.enter_gate = timed_enter_gate as *const () as u64;
    block.leave_gate = timed_leave_gate as *const () as u64;
}

/// Adds a duration to a row, if histograms are kept.
pub(super) fn note(row: usize, ticks: u64) {
    if ON.load(Ordering::Relaxed) {
        info::note(row, ticks);
    }
}

fn begin(row: usize) {
    let block = block();
    (block.stay.row, block.stay.from) = (row, block.context);
    block.stay.since = ticks();
}

/// The stay is over: the core leaves to ring 3, or idles.
pub(super) fn end(idles: bool) {
    let block = block();
    let since = core::mem::take(&mut block.stay.since);
    if since == 0 {
        return;
    }
    let passed = ticks().wrapping_sub(since);
    info::note(block.stay.row, passed);
    if !idles && block.context != block.stay.from {
        info::note(row::SWITCH, passed);
    }
}

extern "sysv64" fn timed_native(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    number: u64,
) -> Reply {
    // What is no call has no row.
    let known = serix_abi::Call::from_number(number as u32).is_some();
    if known {
        begin(number as u32 as usize);
    }
    let natives = block().stay.natives.expect("set by `interpose`");
    let native = natives[(number as u32 as usize).min(NATIVE_HANDLERS - 1)];
    let reply = native(a, b, c, d, e, f, number);
    end(false);
    reply
}

extern "sysv64" fn timed_trap(context: &mut Context) {
    let is_fault = context.registers.vector < 32;
    begin(if is_fault { row::UPCALL } else { row::INTERRUPT });
    block().stay.trap.expect("set by `interpose`")(context);
    end(false);
}

extern "sysv64" fn timed_resume() -> ! {
    end(false);
    // SAFETY: whoever jumped here meant to go there.
    unsafe { serix_resume() }
}

extern "sysv64" fn end_at_gate() {
    end(false);
}

/// A way out that is timed: all registers that carry something are kept.
macro_rules! timed_gate {
    ($name:ident, $way:ident) => {
        #[unsafe(naked)]
        extern "sysv64" fn $name() {
            core::arch::naked_asm!(
                "push rdi", "push rsi", "push rdx", "push rcx", "push r8", "push r9", "push r10",
                "mov rbx, rsp",
                "and rsp, -16",
                "call {end}",
                "mov rsp, rbx",
                "pop r10", "pop r9", "pop r8", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
                "jmp gs:[{way}]",
                end = sym end_at_gate,
                way = const offset_of!(CoreBlock, stay) + offset_of!(Stay, $way),
            )
        }
    };
}

timed_gate!(timed_enter_gate, enter_gate);
timed_gate!(timed_leave_gate, leave_gate);
