//! One line per system call: name, arguments, result. On with the manifest's option `strace`.
use super::table::{self, Description};
use crate::Errno;
use crate::raw::entry::CallFrame;
use crate::sched::current;
use crate::session;
use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

static TRACING: AtomicBool = AtomicBool::new(false);

/// Turns tracing on for environments that are made from now on.
pub fn set_tracing(on: bool) {
    TRACING.store(on, Ordering::Relaxed);
}

/// Whether calls are traced.
#[must_use]
pub(super) fn is_on() -> bool {
    TRACING.load(Ordering::Relaxed)
}

/// Makes a call with a trace of it; `None` if it has no plain handler.
pub(super) fn call(number: u64, frame: &CallFrame) -> Option<i64> {
    let description = table::description(number)?;
    let entry = table::handler(number)?;
    let registers = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    let mut line = begin(description, &registers);
    // A call that does not come back shows before it goes.
    if matches!(description.name, "exit" | "exit_group") {
        session::trace_line(format_args!("{line} = ?"));
    }
    let result = entry.call(&registers);
    end(&mut line, result);
    session::trace_line(format_args!("{line}"));
    Some(result)
}

/// Traces a call that takes the whole frame, before it is made.
pub(super) fn note(number: u64, registers: &[u64; 6]) {
    if is_on()
        && let Some(description) = table::description(number)
    {
        session::trace_line(format_args!("{} = ?", begin(description, registers)));
    }
}

fn begin(description: &Description, registers: &[u64; 6]) -> String {
    let mut line = String::new();
    let _ = write!(line, "{} {}(", current().tid, description.name);
    for (index, (name, value)) in description.arguments.iter().zip(registers).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(line, "{comma}{name}: {value:#x}");
    }
    line.push(')');
    line
}

fn end(line: &mut String, result: i64) {
    let _ = match result {
        -4095..=-1 => {
            let errno = Errno(result.unsigned_abs() as u16);
            write!(line, " = -1 {}", errno.name())
        }
        0..=0xFFFF => write!(line, " = {result}"),
        _ => write!(line, " = {result:#x}"),
    };
}
