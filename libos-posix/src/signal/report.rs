//! What the kernel log gets of a program that a signal ends with a core dump on Linux: registers, and who called whom.
//!
//! `xtask run` puts names to the addresses (`xtask/src/run/crash.rs` reads these lines).
use super::SignalInfo;
use super::info::Origin;
use crate::memory::UserAddress;
use crate::raw::PROGRAM_END;
use crate::raw::entry::TrapFrame;
use crate::sched::current;
use crate::session::log_line;
use crate::syscall::signal_name;

/// Most callers that are told.
const DEPTH: usize = 24;

/// Tells of the signal that ends the running process.
#[cold]
pub(super) fn fatal(trap: &TrapFrame, info: &SignalInfo) {
    let process = &current().process;
    let path = process.state.lock().executable.clone();
    let signal = signal_name(info.signal);
    let (pid, path) = (process.pid, path.escape_ascii());
    match info.origin {
        Origin::Fault { address } => log_line(format_args!(
            "libos: process {pid} ({path}) ended by {signal}: address {address:#x}"
        )),
        _ => log_line(format_args!("libos: process {pid} ({path}) ended by {signal}: sent")),
    }
    registers(trap);
    log_line(format_args!("libos:   at {:#x}", trap.rip));
    callers(trap);
}

/// All registers, three lines of the log.
pub(crate) fn registers(trap: &TrapFrame) {
    log_line(format_args!(
        "libos:   rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x}",
        trap.rax, trap.rbx, trap.rcx, trap.rdx, trap.rsi, trap.rdi
    ));
    log_line(format_args!(
        "libos:   r8 {:#x} r9 {:#x} r10 {:#x} r11 {:#x} r12 {:#x} r13 {:#x} r14 {:#x} r15 {:#x}",
        trap.r8, trap.r9, trap.r10, trap.r11, trap.r12, trap.r13, trap.r14, trap.r15
    ));
    log_line(format_args!(
        "libos:   rip {:#x} rsp {:#x} rbp {:#x} rflags {:#x}",
        trap.rip, trap.rsp, trap.rbp, trap.rflags
    ));
}

/// Return addresses by frame pointers, which the program may have used for something else.
fn callers(trap: &TrapFrame) {
    let tell = |address: u64| log_line(format_args!("libos:   called from {address:#x}"));
    // A call of nothing has made no frame yet: its caller is on top of the stack.
    if let (0, Ok(caller)) = (trap.rip, UserAddress(trap.rsp).read::<u64>()) {
        tell(caller);
    }
    let mut frame = trap.rbp;
    for _ in 0..DEPTH {
        let Ok([next, caller]) = UserAddress(frame).read::<[u64; 2]>() else { return };
        if caller == 0 || caller >= PROGRAM_END {
            return;
        }
        tell(caller);
        if next <= frame {
            return;
        }
        frame = next;
    }
}
