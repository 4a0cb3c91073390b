//! Hashing of names and numbers: seeded, because programs choose the names.
use core::hash::{BuildHasher, Hasher};

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The hash of an entry's name in a directory.
pub(crate) fn of_name(seed: u64, directory: u64, name: &[u8]) -> u64 {
    let mut state = fold(seed ^ directory, MULTIPLIER ^ name.len() as u64);
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = fold(state ^ u64::from_le_bytes(word), MULTIPLIER ^ seed);
    }
    let rest = chunks.remainder().iter();
    let word = rest.fold(0, |word, byte| word << 8 | u64::from(*byte));
    fold(state ^ word, MULTIPLIER ^ seed)
}

/// Hashes inode numbers, which no program chooses.
#[derive(Clone, Copy, Default)]
pub(crate) struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = NumberHasher;
    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(0)
    }
}

pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = fold(self.0 ^ number, MULTIPLIER);
    }
}
