//! The kernel log on the serial line.
use core::fmt::{Arguments, Result, Write};
use serix_hal::device::serial;
use spin::Mutex;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> Result {
        serial::write(text.as_bytes());
        Ok(())
    }
}

static LOG: Mutex<Serial> = Mutex::new(Serial);

/// Writes one line of the kernel's own, marked as such.
pub(crate) fn line(arguments: Arguments) {
    let mut log = LOG.lock();
    // Writing to the port cannot fail.
    let _ = writeln!(log, "kernel: {arguments}");
}

/// Writes bytes of a domain, as they are.
pub(crate) fn bytes(bytes: &[u8]) {
    let _log = LOG.lock();
    serial::write(bytes);
}

/// Writes while the kernel ends, when the lock may be held by whoever panicked.
pub(crate) fn last_words(arguments: Arguments) {
    let _ = writeln!(Serial, "kernel: {arguments}");
}
