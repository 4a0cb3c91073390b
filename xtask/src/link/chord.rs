//! The one chord that is not for the guest: Ctrl-] and then q.

/// Ctrl-].
const FIRST: u8 = 0x1d;
/// Ends the machine.
const QUIT: u8 = b'q';

/// Reads what is typed, and remembers a chord that is half typed.
#[derive(Debug, Default)]
pub(super) struct Chord {
    is_begun: bool,
}

impl Chord {
    /// Takes what was typed: what of it is for the guest, and whether the machine is to end.
    ///
    /// Ctrl-] twice is one for the guest; before any other key it is one like that key.
    pub(super) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for &byte in typed {
            match (std::mem::take(&mut self.is_begun), byte) {
                (true, QUIT) => return (passed, true),
                (true, FIRST) => passed.push(FIRST),
                (true, other) => passed.extend([FIRST, other]),
                (false, FIRST) => self.is_begun = true,
                (false, other) => passed.push(other),
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chord_is_kept_from_the_guest() {
        let mut chord = Chord::default();
        assert_eq!(chord.filter(b"aq\x01"), (b"aq\x01".to_vec(), false));
        assert_eq!(chord.filter(b"\x1d\x1d\x1dx\x1d"), (b"\x1d\x1dx".to_vec(), false));
        assert_eq!(chord.filter(b"qz"), (Vec::new(), true), "in two pieces");
    }
}
