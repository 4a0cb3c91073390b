//! What init says: lines of the kernel log.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};
use serix_sys::{Slot, call};

/// Longest line, in bytes.
const LINE_MAX: usize = 512;

static LOG: AtomicU32 = AtomicU32::new(serix_abi::NO_SLOT);

/// Lines go to this console from now on.
pub fn set_log(slot: Slot) {
    LOG.store(slot.0, Ordering::Relaxed);
}

/// Writes one line, cut where it is too long.
pub fn log(text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // A line never refuses: what is too long is cut.
    let _ = write!(line, "init: {text}");
    // Without a log there is nobody to tell.
    let _ = call::write(Slot(LOG.load(Ordering::Relaxed)), line.finish());
}

/// A line under construction, of printable text: the manifest's bytes may be anything.
pub struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; LINE_MAX], length: 0 }
    }

    /// What was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn finish(&mut self) -> &[u8] {
        self.length = self.length.min(LINE_MAX - 1);
        self.bytes[self.length] = b'\n';
        &self.bytes[..=self.length]
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Some(place) = self.bytes.get_mut(self.length) else { break };
            *place = if byte < b' ' || byte == 0x7F { b'?' } else { byte };
            self.length += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_printable_and_end() {
        let mut line = Line::new();
        line.write_str("a\x1b[2J\né").unwrap();
        assert_eq!(line.finish(), "a?[2J?é\n".as_bytes());
    }

    #[test]
    fn long_lines_are_cut() {
        let mut line = Line::new();
        for _ in 0..LINE_MAX {
            line.write_str("xy").unwrap();
        }
        assert_eq!(line.as_bytes().len(), LINE_MAX);
        assert!(line.finish().ends_with(b"y\n") || line.finish().ends_with(b"x\n"));
    }
}
