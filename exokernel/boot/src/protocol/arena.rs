//! Memory in which responses are laid out, one after the other.
//!
//! Everything in it is referred to by addresses in the direct map. Invariant: what was placed
//! stays where it is; a full arena is an error, not an overlap.

use crate::error::Error;

/// A run of memory that fills up.
#[derive(Debug)]
pub struct Arena<'a> {
    memory: &'a mut [u64],
    address: u64,
    used: usize,
}

impl<'a> Arena<'a> {
    /// An arena in `memory`, which the kernel sees at virtual `address`.
    pub fn new(memory: &'a mut [u64], address: u64) -> Self {
        Arena { memory, address, used: 0 }
    }

    /// Places words, gives their address.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn words(&mut self, words: &[u64]) -> Result<u64, Error> {
        let end = self.used + words.len();
        let place = self.memory.get_mut(self.used..end);
        let place = place.ok_or(Error::OutOfMemory(words.len() as u64 * 8, "responses"))?;
        place.copy_from_slice(words);
        let address = self.address + self.used as u64 * 8;
        self.used = end;
        Ok(address)
    }

    /// Places `text` with a terminating zero byte, gives its address.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn text(&mut self, text: &str) -> Result<u64, Error> {
        let address = self.words(&[])?;
        let mut chunks = text.as_bytes().chunks_exact(8);
        for chunk in &mut chunks {
            self.words(&[word(chunk)])?;
        }
        self.words(&[word(chunks.remainder())])?;
        Ok(address)
    }

    /// Reads back the word at an address that this arena gave.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let index = usize::try_from(address.checked_sub(self.address)? / 8).ok()?;
        self.memory[..self.used].get(index).copied()
    }
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_terminated() {
        for length in 0..20 {
            let mut memory = [u64::MAX; 4];
            let text = "abcdefghijklmnopqrst".get(..length).unwrap();
            Arena::new(&mut memory, 0x1000).text(text).unwrap();
            let bytes: Vec<u8> = memory.iter().flat_map(|w| w.to_le_bytes()).collect();
            assert_eq!(&bytes[..length], text.as_bytes());
            assert_eq!(bytes[length], 0);
        }
    }

    #[test]
    fn full_arena_is_an_error() {
        let mut memory = [0; 2];
        let mut arena = Arena::new(&mut memory, 0x1000);
        assert_eq!(arena.words(&[1]), Ok(0x1000));
        assert!(arena.words(&[2, 3]).is_err());
        assert_eq!(arena.words(&[4]), Ok(0x1008));
        assert_eq!(arena.word(0x1008), Some(4));
        assert_eq!(arena.word(0x1010), None);
    }
}
