//! Hashes of names, by which directories are indexed.

/// Hash and minor hash of a name; the order of a directory's listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameHash {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Function and seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    /// As in the index root: 0 legacy, 1 half MD4, 2 TEA.
    version: u8,
    unsigned: bool,
    seed: [u32; 4],
}

const DEFAULT_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// Never the hash of a name: marks the end of a directory.
const END: u32 = 0xffff_fffe;

impl Hasher {
    /// The hasher of a version, if there is such a version.
    pub(crate) fn new(version: u8, unsigned: bool, seed: [u32; 4]) -> Option<Self> {
        // Versions 3 to 5 are 0 to 2 with unsigned characters.
        let (version, unsigned) =
            if version > 2 { (version - 3, true) } else { (version, unsigned) };
        let seed = if seed == [0; 4] { DEFAULT_SEED } else { seed };
        (version <= 2).then_some(Self { version, unsigned, seed })
    }

    pub(crate) fn hash(&self, name: &[u8]) -> NameHash {
        let (major, minor) = match self.version {
            0 => (self.legacy(name), 0),
            1 => self.half_md4(name),
            _ => self.tea(name),
        };
        let even = major & !1;
        NameHash { major: if even == END { END - 2 } else { even }, minor }
    }

    fn character(&self, byte: u8) -> u32 {
        if self.unsigned { byte.into() } else { byte as i8 as u32 }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut last, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for byte in name {
            let mixed = last ^ self.character(*byte).wrapping_mul(7_152_373);
            let mut next = before.wrapping_add(mixed);
            if next & 0x8000_0000 != 0 {
                next = next.wrapping_sub(0x7fff_ffff);
            }
            (before, last) = (last, next);
        }
        last << 1
    }

    /// Spreads at most `N * 4` bytes over words, padded with the length.
    fn words<const N: usize>(&self, name: &[u8]) -> [u32; N] {
        let len = name.len() as u32;
        let pad = len | len << 8;
        let pad = pad | pad << 16;
        let mut words = [pad; N];
        for (word, bytes) in words.iter_mut().zip(name.chunks(4)) {
            *word = bytes
                .iter()
                .fold(pad, |value, byte| self.character(*byte).wrapping_add(value << 8));
        }
        words
    }

    fn half_md4(&self, name: &[u8]) -> (u32, u32) {
        let mut state = self.seed;
        for at in (0..name.len()).step_by(32) {
            half_md4_transform(&mut state, &self.words(&name[at..]));
        }
        (state[1], state[2])
    }

    fn tea(&self, name: &[u8]) -> (u32, u32) {
        let mut state = self.seed;
        for at in (0..name.len()).step_by(16) {
            tea_transform(&mut state, &self.words(&name[at..]));
        }
        (state[0], state[1])
    }
}

fn tea_transform(state: &mut [u32; 4], key: &[u32; 4]) {
    let [mut left, mut right] = [state[0], state[1]];
    let mut sum = 0_u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        let first = (right << 4).wrapping_add(key[0]);
        let second = (right >> 5).wrapping_add(key[1]);
        left = left.wrapping_add(first ^ right.wrapping_add(sum) ^ second);
        let first = (left << 4).wrapping_add(key[2]);
        let second = (left >> 5).wrapping_add(key[3]);
        right = right.wrapping_add(first ^ left.wrapping_add(sum) ^ second);
    }
    state[0] = state[0].wrapping_add(left);
    state[1] = state[1].wrapping_add(right);
}

/// Which input word each step of a round takes, and the rotations of four steps in turn.
const ORDERS: [[usize; 8]; 3] =
    [[0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 5, 7, 0, 2, 4, 6], [3, 7, 2, 6, 1, 5, 0, 4]];
const ROTATIONS: [[u32; 4]; 3] = [[3, 7, 11, 19], [3, 5, 9, 13], [3, 9, 11, 15]];

/// A round of eight steps, made for each mixing function so that nothing is called.
#[inline(always)]
fn half_md4_round(
    [mut a, mut b, mut c, mut d]: [u32; 4],
    input: &[u32; 8],
    (round, constant): (usize, u32),
    mix: impl Fn(u32, u32, u32) -> u32,
) -> [u32; 4] {
    for (step, word) in ORDERS[round].into_iter().enumerate() {
        let mixed = a.wrapping_add(mix(b, c, d)).wrapping_add(input[word].wrapping_add(constant));
        (a, d, c, b) = (d, c, b, mixed.rotate_left(ROTATIONS[round][step % 4]));
    }
    [a, b, c, d]
}

fn half_md4_transform(state: &mut [u32; 4], input: &[u32; 8]) {
    let mixed = half_md4_round(*state, input, (0, 0), |x, y, z| z ^ (x & (y ^ z)));
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let mixed = half_md4_round(mixed, input, (1, 0x5a82_7999), majority);
    let mixed = half_md4_round(mixed, input, (2, 0x6ed9_eba1), |x, y, z| x ^ y ^ z);
    for (word, change) in state.iter_mut().zip(mixed) {
        *word = word.wrapping_add(change);
    }
}
