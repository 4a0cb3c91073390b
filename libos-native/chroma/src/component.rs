//! One component of a path, in the form that the name cache compares.
//!
//! Finding the end of a name, hashing it and comparing it are the inner loop of every path, so all
//! three work on words of eight bytes: names of up to 16 bytes are two words, zero padded, and with
//! their length those are the whole name.
use crate::hash::fold;

const SLASHES: u64 = u64::from_ne_bytes([b'/'; 8]);
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH_BITS: u64 = ONES << 7;

/// A name and its first 16 bytes as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Component<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) words: [u64; 2],
}

/// The first eight bytes as a little-endian number, zero padded.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    if let Some(chunk) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*chunk);
    }
    // Two reads that overlap cover any shorter length.
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let shift = 8 * (bytes.len() - 4);
        return u64::from(u32::from_le_bytes(*first))
            | u64::from(u32::from_le_bytes(*last)) << shift;
    }
    match *bytes {
        [] => 0,
        [first] => u64::from(first),
        [first, second, ..] => {
            let last = u64::from(bytes[bytes.len() - 1]) << (8 * (bytes.len() - 1));
            u64::from(first) | u64::from(second) << 8 | last
        }
    }
}

/// The number of bytes before the first slash in a word, 8 if there is none.
#[inline(always)]
fn before_slash(word: u64) -> usize {
    let differs = word ^ SLASHES;
    // Right up to and including the first zero byte, which is all that is asked.
    let zeroes = differs.wrapping_sub(ONES) & !differs & HIGH_BITS;
    (zeroes.trailing_zeros() / 8) as usize
}

/// The first `count` bytes of a word, from 1 to 8.
#[inline(always)]
fn first_bytes(word: u64, count: usize) -> u64 {
    word & (u64::MAX >> (64_usize.wrapping_sub(8 * count) & 63))
}

impl<'a> Component<'a> {
    /// A name without slashes.
    pub(crate) fn of(name: &'a [u8]) -> Self {
        let second = name.get(8..).unwrap_or_default();
        Self { name, words: [word(name), word(second)] }
    }

    /// The first component of a path and what follows it; `None` at the end.
    #[inline(always)]
    pub(crate) fn split(mut path: &'a [u8]) -> Option<(Self, &'a [u8])> {
        loop {
            match path {
                [] => return None,
                [b'/', rest @ ..] => path = rest,
                _ => break,
            }
        }
        let first = word(path);
        let count = before_slash(first).min(path.len());
        if count == 8 {
            return Some(Self::split_long(path, first));
        }
        let (name, rest) = path.split_at(count);
        let words = [first_bytes(first, count), 0];
        Some((Self { name, words }, rest))
    }

    /// The same for a component of at least eight bytes.
    fn split_long(path: &'a [u8], first: u64) -> (Self, &'a [u8]) {
        let (mut second, mut len) = (0, 8);
        while len < path.len() {
            let word = word(&path[len..]);
            let count = before_slash(word).min(path.len() - len);
            if len == 8 && count > 0 {
                second = first_bytes(word, count);
            }
            len += count;
            if count < 8 {
                break;
            }
        }
        let (name, rest) = path.split_at(len);
        let words = [first, second];
        (Self { name, words }, rest)
    }

    /// The hash of this name in a directory.
    #[inline(always)]
    pub(crate) fn hash(&self, seed: u64, directory: u64) -> u64 {
        let state = fold(
            self.words[0] ^ seed,
            self.words[1] ^ directory.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.name.len() as u64,
        );
        if self.name.len() <= 16 { state } else { self.hash_rest(seed, state) }
    }

    #[inline(never)]
    fn hash_rest(&self, seed: u64, state: u64) -> u64 {
        let rest = self.name.get(16..).unwrap_or_default();
        rest.chunks(8).fold(state, |state, chunk| fold(state ^ word(chunk), seed | 1))
    }

    /// Whether this is the name `other`, whose words are given too.
    #[inline(always)]
    pub(crate) fn is(&self, words: &[u64; 2], other: &[u8]) -> bool {
        self.words == *words
            && self.name.len() == other.len()
            && (other.len() <= 16 || self.name == other)
    }

    /// Whether it begins with a dot, as few names do.
    #[inline(always)]
    pub(crate) fn has_dot(&self) -> bool {
        self.words[0] & 0xFF == u64::from(b'.')
    }

    pub(crate) fn is_dot(&self) -> bool {
        self.name == b"."
    }

    pub(crate) fn is_dot_dot(&self) -> bool {
        self.name == b".."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn names(path: &[u8]) -> Vec<&[u8]> {
        let (mut names, mut rest) = (Vec::new(), path);
        while let Some((component, tail)) = Component::split(rest) {
            assert_eq!(component, Component::of(component.name));
            names.push(component.name);
            rest = tail;
        }
        names
    }

    #[test]
    fn every_length_at_every_place() {
        for before in 0..20 {
            for len in 1..40 {
                for after in 0..10 {
                    let mut path = vec![b'b'; before];
                    path.push(b'/');
                    // Bytes next to a slash in value, and with the high bit, must not be taken for one.
                    let name: Vec<u8> =
                        [b'.', b'0', 0xAF, 1].into_iter().cycle().take(len).collect();
                    path.extend_from_slice(&name);
                    path.extend(core::iter::repeat_n(b'/', after));
                    let found = names(&path);
                    assert_eq!(found.last().copied(), Some(&name[..]));
                    assert_eq!(found.len(), 1 + usize::from(before > 0));
                }
            }
        }
        assert!(names(b"").is_empty() && names(b"///").is_empty());
    }

    #[test]
    fn names_differ_where_they_differ() {
        let names = [
            &b"a"[..],
            b"a\0",
            b"aaaaaaaa",
            b"aaaaaaaab",
            b"aaaaaaaabbbbbbbbc",
            b"aaaaaaaabbbbbbbbd",
        ];
        for one in names {
            for other in names {
                let (one, other) = (Component::of(one), Component::of(other));
                assert_eq!(one.is(&other.words, other.name), one.name == other.name);
                let same_hash = one.hash(1, 2) == other.hash(1, 2);
                assert_eq!(same_hash, one.name == other.name);
            }
        }
        assert_ne!(Component::of(b"a").hash(1, 2), Component::of(b"a").hash(1, 3));
        assert_ne!(Component::of(b"a").hash(1, 2), Component::of(b"a").hash(2, 2));
        assert!(Component::of(b".").is_dot() && !Component::of(b"..").is_dot());
        assert!(Component::of(b"..").is_dot_dot() && !Component::of(b"..a").is_dot_dot());
    }
}
