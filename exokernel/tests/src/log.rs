//! Lines of the kernel log.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};
use serix_sys::{Slot, call};

/// Longest line, in bytes.
const LINE_MAX: usize = 256;

static LOG: AtomicU32 = AtomicU32::new(serix_abi::NO_SLOT);

/// Lines go to this console from now on.
pub fn set(slot: Slot) {
    LOG.store(slot.0, Ordering::Relaxed);
}

struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length < LINE_MAX - 1 {
                self.bytes[self.length] = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}

/// Writes one line, in one call, so that lines of several sessions do not mix.
pub fn line(text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_MAX], length: 0 };
    // A line never refuses: what is too long is cut.
    let _ = line.write_fmt(text);
    line.bytes[line.length] = b'\n';
    // Without a log nobody can be told.
    let _ = call::write(Slot(LOG.load(Ordering::Relaxed)), &line.bytes[..=line.length]);
}
