//! Bits of a bitmap block, a word at a time.

fn word(bytes: &[u8], index: usize) -> u64 {
    let mut word = [0; 8];
    let part = &bytes[index * 8..(index * 8 + 8).min(bytes.len())];
    word[..part.len()].copy_from_slice(part);
    u64::from_le_bytes(word)
}

/// The first bit at `from` or later whose word, changed by `flip`, has it set.
fn next(bytes: &[u8], from: u32, end: u32, flip: u64) -> Option<u32> {
    let mut index = from as usize / 64;
    let mut mask = u64::MAX << (from % 64);
    while (index as u32) * 64 < end {
        let found = (word(bytes, index) ^ flip) & mask;
        if found != 0 {
            let bit = index as u32 * 64 + found.trailing_zeros();
            return (bit < end).then_some(bit);
        }
        mask = u64::MAX;
        index += 1;
    }
    None
}

/// The first clear bit in `from..end`.
pub(super) fn next_clear(bytes: &[u8], from: u32, end: u32) -> Option<u32> {
    next(bytes, from, end, u64::MAX)
}

/// The first set bit in `from..end`.
pub(super) fn next_set(bytes: &[u8], from: u32, end: u32) -> Option<u32> {
    next(bytes, from, end, 0)
}

/// Calls `act` with each byte that a range touches and the mask of its bits there.
fn for_each_mask(start: u32, len: u32, mut act: impl FnMut(usize, u8)) {
    let (mut bit, end) = (start, start + len);
    while bit < end {
        let count = (8 - bit % 8).min(end - bit);
        let mask = (0xff_u16 >> (8 - count)) as u8;
        act(bit as usize / 8, mask << (bit % 8));
        bit += count;
    }
}

pub(super) fn set(bytes: &mut [u8], start: u32, len: u32) {
    for_each_mask(start, len, |index, mask| bytes[index] |= mask);
}

pub(super) fn clear(bytes: &mut [u8], start: u32, len: u32) {
    for_each_mask(start, len, |index, mask| bytes[index] &= !mask);
}

pub(super) fn all_set(bytes: &[u8], start: u32, len: u32) -> bool {
    next_clear(bytes, start, start + len).is_none()
}

#[cfg(test)]
mod tests {
    use super::{all_set, clear, next_clear, next_set, set};

    fn all_clear(bytes: &[u8], start: u32, len: u32) -> bool {
        next_set(bytes, start, start + len).is_none()
    }

    #[test]
    fn ranges_touch_their_bits_only() {
        for start in 0..40 {
            for len in 1..40 {
                let mut bytes = [0; 16];
                set(&mut bytes, start, len);
                assert!(all_set(&bytes, start, len));
                assert!(all_clear(&bytes, 0, start));
                assert!(all_clear(&bytes, start + len, 128 - start - len));
                assert_eq!(next_set(&bytes, 0, 128), Some(start));
                assert_eq!(next_clear(&bytes, start, 128), Some(start + len));
                clear(&mut bytes, start, len);
                assert_eq!(bytes, [0; 16]);
            }
        }
    }

    #[test]
    fn nothing_past_the_end() {
        assert_eq!(next_clear(&[0xff; 8], 0, 64), None);
        assert_eq!(next_clear(&[0xff, 0], 0, 8), None);
        assert_eq!(next_set(&[0, 0xff], 3, 8), None);
    }
}
