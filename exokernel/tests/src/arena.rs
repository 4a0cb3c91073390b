//! Memory that a test hands to the kernel: it may be written at any time, so it is words of atomics.

use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes in the arena.
pub const SIZE: usize = 64 * 1024;

#[repr(C, align(4096))]
struct Arena([AtomicU8; SIZE]);

static ARENA: Arena = Arena([const { AtomicU8::new(0) }; SIZE]);

/// Address of a byte of the arena.
#[must_use]
pub fn address(offset: usize) -> u64 {
    assert!(offset <= SIZE);
    ARENA.0.as_ptr().addr() as u64 + offset as u64
}

/// Copies bytes in; the address of the first.
pub fn put(offset: usize, bytes: &[u8]) -> u64 {
    for (place, byte) in ARENA.0[offset..offset + bytes.len()].iter().zip(bytes) {
        place.store(*byte, Ordering::Relaxed);
    }
    address(offset)
}

/// Copies bytes out.
#[must_use]
pub fn get<const N: usize>(offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, place) in bytes.iter_mut().zip(&ARENA.0[offset..offset + N]) {
        *byte = place.load(Ordering::Relaxed);
    }
    bytes
}

/// Copies words in; the address of the first.
pub fn put_words(offset: usize, words: &[u64]) -> u64 {
    for (index, word) in words.iter().enumerate() {
        put(offset + index * 8, &word.to_le_bytes());
    }
    address(offset)
}

/// The word at an offset.
#[must_use]
pub fn word(offset: usize) -> u64 {
    u64::from_le_bytes(get(offset))
}
