//! One line per system call, as strace(1) writes it: who, name, arguments, result; and whether the kernel was entered. On
//! with the manifest's option `strace`.
//!
//! The first part of a line, up to what only the call's end tells, goes out before the call, so that one that waits shows.
//! Behind the result stands in brackets how the call came to the libOS (`trap`: the kernel reflected it; `direct`: from a
//! patched call site), and after a plus sign how many native calls the libOS made for it, if the kernel counts them. `waited`:
//! other threads ran meanwhile, and theirs are among them.
mod kinds;
mod names;
mod output;
mod show;

use super::table::{self, Description};
use crate::raw::entry::{CallFrame, FrameHandler, TrapFrame};
use crate::raw::kernel;
use crate::raw::sites;
use crate::sched::current;
use crate::signal::SignalInfo;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, Ordering};
use kinds::Kind;
use show::Values;

static TRACING: AtomicBool = AtomicBool::new(false);

/// Turns tracing on for environments that are made from now on.
pub fn set_tracing(on: bool) {
    TRACING.store(on, Ordering::Relaxed);
}

/// Whether calls are traced.
#[inline]
#[must_use]
pub(super) fn is_on() -> bool {
    TRACING.load(Ordering::Relaxed)
}

/// Makes a call with a trace of it; `None` if it has no plain handler.
pub(super) fn call(number: u64, frame: &CallFrame) -> Option<i64> {
    let description = table::description(number)?;
    let entry = table::handler(number)?;
    let registers = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    let line = Line::begin(description, registers, !sites::take_reflected());
    let result = entry.call(&registers);
    line.end(result);
    Some(result)
}

/// Makes a call that takes the whole frame with a trace of it. A child does not come by here, it has no call that ends.
pub(super) fn frame_call(number: u64, frame: &mut TrapFrame, handler: FrameHandler) {
    let Some(description) = table::description(number) else { return handler(frame) };
    let registers = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    let line = Line::begin(description, registers, !sites::take_reflected());
    handler(frame);
    line.end(frame.rax as i64);
}

/// Tells of a signal that is delivered, if calls are traced.
#[inline]
pub fn signal(info: &SignalInfo) {
    if is_on() {
        let name = names::signal(info.signal.into());
        output::line(format!(
            "{} --- {name} {{si_signo={name}, {}}} ---",
            current().tid,
            show::cause(info)
        ));
    }
}

/// The name of a signal, such as `SIGINT`.
#[must_use]
pub fn signal_name(signal: u32) -> String {
    names::signal(signal.into())
}

/// Tells of the end of the running process, if calls are traced.
pub fn process_ends(status: crate::process::ExitStatus) {
    use crate::process::ExitStatus;
    if !is_on() {
        return;
    }
    let how = match status {
        ExitStatus::Exited(code) => format!("exited with {code}"),
        ExitStatus::Signalled { signal, core } => {
            let core = if core { " (core dumped)" } else { "" };
            format!("killed by {}{core}", names::signal(signal.into()))
        }
    };
    output::line(format!("{} +++ {how} +++", current().tid));
}

/// Tells of a call without a handler.
pub(super) fn unknown(number: u64) {
    if is_on() {
        let tid = current().tid;
        output::line(format!("{tid} syscall_{number}(...) = -1 ENOSYS (Function not implemented)"));
    }
}

/// A call that is being made.
struct Line {
    description: &'static Description,
    registers: [u64; 6],
    is_direct: bool,
    /// The first argument that the end tells.
    shown: usize,
    /// Native calls before, and when the thread got the CPU.
    native_calls: u64,
    since: u64,
}

impl Line {
    fn begin(description: &'static Description, registers: [u64; 6], is_direct: bool) -> Self {
        let me = current();
        let mut text = format!("{} {}(", me.tid, description.name);
        let kinds = kinds(description);
        let shown = kinds.clone().position(Kind::is_out).unwrap_or(description.arguments.len());
        let values = Values { registers: &registers, result: 0 };
        push_arguments(&mut text, kinds.enumerate().take(shown), values);
        if shown > 0 && shown < description.arguments.len() {
            text.push_str(", ");
        }
        // These do not come back.
        if matches!(description.name, "exit" | "exit_group") {
            text.push_str(") = ?");
            output::line(text);
        } else {
            output::begin(me.tid, text);
        }
        let native_calls = native_calls();
        Self { description, registers, is_direct, shown, native_calls, since: me.on_cpu_since() }
    }

    fn end(self, result: i64) {
        let native_calls = native_calls() - self.native_calls;
        let me = current();
        let values = Values { registers: &self.registers, result };
        let mut text = String::new();
        push_arguments(&mut text, kinds(self.description).enumerate().skip(self.shown), values);
        text.push_str(") = ");
        text.push_str(&show::result(self.description.name, values));
        text.push_str(if self.is_direct { " [direct" } else { " [trap" });
        if native_calls > 0 {
            text.push_str(&format!("+{native_calls}"));
        }
        text.push_str(if me.on_cpu_since() == self.since { "]" } else { ", waited]" });
        output::end(me.tid, self.description.name, &text);
    }
}

/// How the arguments of a call are shown.
fn kinds(description: &'static Description) -> impl Iterator<Item = Kind> + Clone {
    description.arguments.iter().map(|argument| kinds::of(description.name, argument))
}

fn push_arguments(
    text: &mut String,
    arguments: impl Iterator<Item = (usize, Kind)>,
    values: Values<'_>,
) {
    let mut is_first = true;
    for (index, kind) in arguments {
        // A mode counts only where a file is made.
        if matches!(kind, Kind::CreationMode) && !makes_file(values.registers[index - 1]) {
            continue;
        }
        if matches!(kind, Kind::Fcntl) && names::LONELY.contains(&(values.registers[1] as u32)) {
            continue;
        }
        if !is_first {
            text.push_str(", ");
        }
        is_first = false;
        text.push_str(&show::argument(kind, index, values));
    }
}

fn makes_file(flags: u64) -> bool {
    use linux_raw_sys::general::{O_CREAT, O_DIRECTORY, O_TMPFILE};
    flags & u64::from(O_CREAT | (O_TMPFILE & !O_DIRECTORY)) != 0
}

/// Native calls of the machine so far; zero if the kernel does not count them.
fn native_calls() -> u64 {
    use serix_sys::abi::info::row;
    let info = kernel::info();
    if info.histograms_on == 0 {
        return 0;
    }
    info.histograms[..row::UPCALL].iter().map(serix_sys::abi::info::Histogram::count).sum()
}
