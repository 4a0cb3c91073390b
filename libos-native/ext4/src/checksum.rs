//! CRC-32C and CRC-16 as the format uses them: no final inversion, the seed passed in.
use crate::raw;

const fn crc32c_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut index = 0;
        while index < 256 {
            let before = tables[table - 1][index];
            tables[table][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        table += 1;
    }
    tables
}

/// Table `n` advances a byte over `n` further zero bytes, so that eight bytes take one step.
static CRC32C: [[u32; 256]; 8] = crc32c_tables();

fn crc32c_step(crc: u32, word: [u8; 8]) -> u32 {
    let low = crc ^ u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    CRC32C[7][(low & 0xff) as usize]
        ^ CRC32C[6][(low >> 8 & 0xff) as usize]
        ^ CRC32C[5][(low >> 16 & 0xff) as usize]
        ^ CRC32C[4][(low >> 24) as usize]
        ^ CRC32C[3][word[4] as usize]
        ^ CRC32C[2][word[5] as usize]
        ^ CRC32C[1][word[6] as usize]
        ^ CRC32C[0][word[7] as usize]
}

/// Zero bytes that are skipped in one step.
const SKIP: usize = 256;

/// The effect of a linear map of CRC states, given for each bit, on a state.
const fn apply(map: &[u32; 32], mut state: u32) -> u32 {
    let (mut result, mut bit) = (0, 0);
    while state != 0 {
        if state & 1 != 0 {
            result ^= map[bit];
        }
        state >>= 1;
        bit += 1;
    }
    result
}

/// What [`SKIP`] zero bytes do to each byte of a state: one byte's effect, doubled eight times.
const fn skip_tables() -> [[u32; 256]; 4] {
    let one = crc32c_tables();
    let mut map = [0; 32];
    let mut bit = 0;
    while bit < 32 {
        let state = 1_u32 << bit;
        map[bit] = (state >> 8) ^ one[0][(state & 0xff) as usize];
        bit += 1;
    }
    let mut bytes = 1;
    while bytes < SKIP {
        let mut twice = [0; 32];
        let mut bit = 0;
        while bit < 32 {
            twice[bit] = apply(&map, map[bit]);
            bit += 1;
        }
        map = twice;
        bytes *= 2;
    }
    let mut tables = [[0; 256]; 4];
    let mut index = 0;
    while index < 1024 {
        let (table, byte) = (index / 256, index % 256);
        tables[table][byte] = apply(&map, (byte as u32) << (8 * table));
        index += 1;
    }
    tables
}

static SKIPPED: [[u32; 256]; 4] = skip_tables();

fn skip_zeroes(crc: u32) -> u32 {
    SKIPPED[0][(crc & 0xff) as usize]
        ^ SKIPPED[1][(crc >> 8 & 0xff) as usize]
        ^ SKIPPED[2][(crc >> 16 & 0xff) as usize]
        ^ SKIPPED[3][(crc >> 24) as usize]
}

/// CRC-32C of `bytes`, continued from `crc`.
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    if raw::has_crc32c() { raw::crc32c(crc, bytes) } else { crc32c_tabled(crc, bytes) }
}

/// The same by tables alone. Metadata blocks are largely zero, and runs of zeroes cost little.
fn crc32c_tabled(crc: u32, bytes: &[u8]) -> u32 {
    let (parts, rest) = bytes.as_chunks::<SKIP>();
    let crc = parts.iter().fold(crc, |crc, part| {
        let (words, _) = part.as_chunks::<8>();
        match words.iter().position(|word| u64::from_ne_bytes(*word) != 0) {
            None => skip_zeroes(crc),
            Some(_) => words.iter().fold(crc, |crc, word| crc32c_step(crc, *word)),
        }
    });
    let (words, rest) = rest.as_chunks::<8>();
    let crc = words.iter().fold(crc, |crc, word| crc32c_step(crc, *word));
    rest.iter()
        .fold(crc, |crc, byte| (crc >> 8) ^ CRC32C[0][((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// CRC-16 (polynomial 0x8005, reflected) of `bytes`, continued from `crc`.
pub(crate) fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 != 0 { (crc >> 1) ^ 0xa001 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{crc16, crc32c, crc32c_tabled};

    #[test]
    fn check_values() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }

    #[test]
    fn zeroes_count_as_any_bytes() {
        let mut bytes = [0; 1000];
        bytes[3] = 1;
        bytes[999] = 2;
        let slow = bytes.iter().fold(5, |crc, byte| crc32c(crc, &[*byte]));
        assert_eq!((crc32c(5, &bytes), crc32c_tabled(5, &bytes)), (slow, slow));
    }

    #[test]
    fn continues_at_any_split() {
        let bytes: [u8; 361] = core::array::from_fn(|index| (index * 37) as u8);
        let whole = crc32c_tabled(7, &bytes);
        for split in 0..bytes.len() {
            assert_eq!(crc32c(crc32c(7, &bytes[..split]), &bytes[split..]), whole);
        }
    }
}
