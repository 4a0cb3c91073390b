//! The trace stream: lines that are begun, and ended later, maybe after others.
use crate::file::Page;
use crate::sched;
use crate::session;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serix_chroma::VfsError;
use serix_link::Stream;
use spin::Mutex;

struct Output {
    /// What the stream has not taken yet.
    bytes: Vec<u8>,
    /// Whose line is begun.
    open: Option<u32>,
}

static OUTPUT: Mutex<Output> = Mutex::new(Output { bytes: Vec::new(), open: None });

impl Output {
    /// Ends a line that is begun: its call goes on.
    fn interrupt(&mut self) {
        if self.open.take().is_some() {
            self.bytes.extend_from_slice(b" <unfinished ...>\n");
        }
    }
}

/// The first part of a thread's line.
pub(super) fn begin(tid: u32, text: String) {
    add(|output| {
        output.interrupt();
        output.bytes.extend_from_slice(text.as_bytes());
        output.open = Some(tid);
    });
}

/// The rest of a thread's line.
pub(super) fn end(tid: u32, name: &str, rest: &str) {
    add(|output| {
        if output.open != Some(tid) {
            output.interrupt();
            let resumed = format!("{tid} <... {name} resumed>");
            output.bytes.extend_from_slice(resumed.as_bytes());
        }
        output.open = None;
        output.bytes.extend_from_slice(rest.as_bytes());
        output.bytes.push(b'\n');
    });
}

/// A line of its own.
pub(super) fn line(text: String) {
    add(|output| {
        output.interrupt();
        output.bytes.extend_from_slice(text.as_bytes());
        output.bytes.push(b'\n');
    });
}

/// Adds to the stream, and waits until it has taken everything.
fn add(change: impl FnOnce(&mut Output)) {
    change(&mut OUTPUT.lock());
    let Some(link) = crate::io::link() else { return add_to_log() };
    let pipe = link.output(Stream::Trace);
    sched::wait(|waker| {
        pipe.add_waiter(waker);
        let mut output = OUTPUT.lock();
        while !output.bytes.is_empty() {
            let mut rest = &output.bytes[..];
            let outcome = pipe.try_write::<Page, _>(&mut rest);
            let written = output.bytes.len() - rest.len();
            match outcome {
                Ok(_) => drop(output.bytes.drain(..written)),
                Err(VfsError::WouldBlock) => return None,
                // Nobody reads.
                Err(_) => output.bytes.clear(),
            }
        }
        Some(())
    });
}

/// The whole lines go to the kernel log.
fn add_to_log() {
    let lines = {
        let mut output = OUTPUT.lock();
        let end = output.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        output.bytes.drain(..end).collect::<Vec<u8>>()
    };
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        session::log_line(format_args!("{}", String::from_utf8_lossy(line)));
    }
}
