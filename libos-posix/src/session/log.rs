//! Lines for people: the kernel log, the trace stream, and the report of a broken libOS.
use super::{STATUS_BROKEN, resources};
use crate::raw::entry::TrapFrame;
use core::fmt::{self, Write};
use serix_sys::Slot;

/// Longest line; the rest is cut off.
const LINE_MAX: usize = 512;

/// A line in a buffer of its own, so that a report needs no heap.
struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; LINE_MAX], length: 0 };
        let _ = line.write_fmt(arguments);
        line.length = line.length.min(LINE_MAX - 1);
        line.bytes[line.length] = b'\n';
        line.length += 1;
        line
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let part = text.len().min(LINE_MAX - self.length);
        self.bytes[self.length..self.length + part].copy_from_slice(&text.as_bytes()[..part]);
        self.length += part;
        Ok(())
    }
}

/// Adds a line to the kernel log, if the session may.
pub fn log_line(arguments: fmt::Arguments<'_>) {
    let log = resources().log;
    if log != Slot::NONE {
        // There is nowhere to tell that telling failed.
        let _ = serix_sys::call::write(log, Line::new(arguments).as_bytes());
    }
}

/// A fault in libOS code: nothing of the session can be trusted any more.
pub(crate) fn oops(frame: &TrapFrame, vector: u64, error_code: u64, address: u64) -> ! {
    log_line(format_args!(
        "libos: exception {vector} (error {error_code:#x}, address {address:#x}) at {:#x}, rsp {:#x}",
        frame.rip, frame.rsp
    ));
    crate::signal::report::registers(frame);
    log_line(format_args!("libos:   at {:#x}", frame.rip));
    crate::raw::backtrace(frame.rbp, |address| {
        log_line(format_args!("libos:   called from {address:#x}"));
    });
    serix_sys::call::exit(STATUS_BROKEN)
}
