//! The kernel log on the serial line, and the kernel's own part of it on the screen.
//!
//! Whose a line is, is told by its start: the kernel's begin with `kernel: `, those of other domains than the first with the domain's id and
//! `| `. Invariant: ring 3 cannot begin a line any other way, nor move the cursor of a terminal that shows the log.
use core::fmt::{Arguments, Result, Write};
use core::sync::atomic::{AtomicU32, Ordering};
use serix_core::DomainId;
use serix_hal::device::screen::Screen;
use serix_hal::device::serial;
use spin::Mutex;

/// The kernel's own lines go to the serial line, and to the screen as long as ring 3 has not got that.
struct Log {
    screen: Option<Screen>,
}

impl Write for Log {
    fn write_str(&mut self, text: &str) -> Result {
        serial::write(text.as_bytes());
        if let Some(screen) = &mut self.screen {
            screen.write(text);
        }
        Ok(())
    }
}

static LOG: Mutex<Log> = Mutex::new(Log { screen: None });

/// Shows lines on the screen too, from now on.
pub(crate) fn show_on(screen: Screen) {
    LOG.lock().screen = Some(screen);
}

/// Ring 3 draws on the screen from now on.
pub(crate) fn leave_screen() {
    LOG.lock().screen = None;
}

/// Whose line is not ended yet: [`NOBODY`], or a domain's id.
static OPEN: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = DomainId::NONE.0;

/// Ends the line that somebody began.
fn end_line() {
    if OPEN.swap(NOBODY, Ordering::Relaxed) != NOBODY {
        serial::write(b"\n");
    }
}

/// Writes one line of the kernel's own, marked as such.
pub(crate) fn line(arguments: Arguments) {
    let mut log = LOG.lock();
    end_line();
    // Writing to the port cannot fail.
    let _ = writeln!(log, "kernel: {arguments}");
}

/// Writes bytes of a domain, each line of it with its mark; the first domain, which is trusted, needs none.
pub(crate) fn bytes(author: DomainId, is_first: bool, bytes: &[u8]) {
    let mut log = LOG.lock();
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        if OPEN.load(Ordering::Relaxed) != author.0 {
            end_line();
            if !is_first && part != b"\n" {
                // As above.
                let _ = write!(log, "{}| ", author.0);
            }
        }
        part.iter().for_each(|byte| serial::write(&[harmless(*byte)]));
        let open = if part.ends_with(b"\n") { NOBODY } else { author.0 };
        OPEN.store(open, Ordering::Relaxed);
    }
}

/// What is written for a byte of ring 3: a control character could begin a line anew, or worse.
fn harmless(byte: u8) -> u8 {
    match byte {
        b'\n' | b'\t' => byte,
        0..0x20 | 0x7F => b'?',
        _ => byte,
    }
}

/// Writes while the kernel ends, when the lock may be held by whoever panicked.
pub(crate) fn last_words(arguments: Arguments) {
    end_line();
    match LOG.try_lock() {
        Some(mut log) => drop(writeln!(log, "kernel: {arguments}")),
        None => drop(writeln!(Log { screen: None }, "kernel: {arguments}")),
    }
}
