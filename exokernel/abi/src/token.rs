//! Sealed capabilities: the bytes of tokens and caveats.
//!
//! Owns the layout only. A token is [`ROOT_SIZE`] bytes followed by at most [`MAX_CAVEATS`] caveats
//! of [`CAVEAT_SIZE`] bytes, all little endian. The kernel seals and verifies; user space may
//! append caveats. Invariant: `decode` accepts exactly what `encode` writes, so that a token has one form.
//!
//! | offset | size | token |   | offset | size | caveat |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 0 | 1 | kind |   | 0 | 2 | rights kept |
//! | 1 | 1 | caveats appended |   | 2 | 2 | conditions present |
//! | 2 | 2 | rights |   | 4 | 4 | units |
//! | 4 | 4 | grant node |   | 8 | 8 | first unit |
//! | 8 | 8 | generation |   | 16 | 8 | expiry, nanoseconds |
//! | 16 | 8 | first unit |   | 24 | 4 | audience |
//! | 24 | 4 | units |   | 28 | 4 | zero |
//! | 28 | 4 | audience |   |  |  |  |
//! | 32 | 16 | tag |   |  |  |  |

/// Bytes in a token without caveats.
pub const ROOT_SIZE: usize = 48;
/// Bytes of a token in front of its tag.
pub const HEADER_SIZE: usize = 32;
/// Bytes in a tag.
pub const TAG_SIZE: usize = 16;
/// Bytes in a caveat.
pub const CAVEAT_SIZE: usize = 32;
/// Caveats that a token can carry.
pub const MAX_CAVEATS: usize = 4;
/// Bytes in the longest token.
pub const MAX_TOKEN_SIZE: usize = ROOT_SIZE + MAX_CAVEATS * CAVEAT_SIZE;
/// Offset of the number of caveats.
pub const CAVEAT_COUNT_OFFSET: usize = 1;
/// The audience of a bearer token: whoever holds the bytes.
pub const BEARER: u32 = 0;

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $name:ident = $number:literal ),+ $(,)?) => {
        /// What a capability is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind { $( $(#[doc = $doc])+ $name = $number, )+ }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// The kind with this number.
            #[inline(always)]
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $( $number => Some(Self::$name), )+ _ => None }
            }
        }
    };
}

kinds! {
    /// Page frames of RAM; a unit is a frame number.
    Frames = 1,
    /// Page frames of a device's registers; a unit is a frame number.
    DeviceFrames = 2,
    /// Time slices of a core; a unit is an index in its slice vector.
    Slices = 3,
    /// Sectors of a disk; a unit is a sector number.
    Blocks = 4,
    /// A domain.
    Domain = 5,
    /// An environment.
    Environment = 6,
    /// An entry point to call.
    Gate = 7,
    /// A word of bits to wait for.
    Event = 8,
    /// An interrupt line; a unit is a pin of the machine's interrupt controllers, counted through all of them.
    Interrupt = 9,
    /// The kernel log and the link to the host.
    Console = 10,
    /// A page-table subtree.
    Subtree = 11,
    /// A transfer ring.
    Ring = 12,
    /// I/O ports of a device; a unit is a port.
    Ports = 13,
}

impl Kind {
    /// Whether a unit can be delegated to one receiver only at a time.
    #[inline]
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        self.is_range() || matches!(self, Self::Interrupt)
    }

    /// Whether a capability of this kind may name part of what another names.
    #[inline]
    #[must_use]
    pub const fn is_range(self) -> bool {
        matches!(
            self,
            Self::Frames | Self::DeviceFrames | Self::Slices | Self::Blocks | Self::Ports
        )
    }
}

macro_rules! rights {
    ($( $(#[doc = $doc:literal])+ $name:ident = $bit:literal ),+ $(,)?) => {
        impl Rights {
            $( $(#[doc = $doc])+ pub const $name: Self = Self(1 << $bit); )+
            /// Every right there is.
            pub const ALL: Self = Self(0 $( | 1 << $bit )+);
            /// Names and bits, for traces and the reference page.
            pub const NAMES: &'static [(&'static str, Self)] =
                &[ $( (stringify!($name), Self::$name), )+ ];
        }
    };
}

/// What the holder may do: a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Rights(pub u16);

rights! {
    /// Map readable; read blocks or a stream.
    READ = 0,
    /// Map writable; write blocks or a stream.
    WRITE = 1,
    /// Map executable.
    EXECUTE = 2,
    /// Map at all.
    MAP = 3,
    /// Name as the target of a device's transfers.
    DMA = 4,
    /// Delegate to other domains, and make bearer tokens.
    GRANT = 5,
    /// Take delegations back.
    REVOKE = 6,
    /// Set bits of an event.
    SIGNAL = 7,
    /// Wait for bits of an event.
    WAIT = 8,
    /// Change, run and end an object.
    CONTROL = 9,
    /// Append to the kernel log.
    LOG = 10,
    /// Call a gate.
    CALL = 11,
}

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);

    /// Both sets.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[inline]
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in this set.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a token says: the resource, what may be done with it, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What kind of resource.
    pub kind: Kind,
    /// What may be done with it.
    pub rights: Rights,
    /// The grant node that the token stands on.
    pub node: u32,
    /// That node's generation when the token was sealed.
    pub generation: u64,
    /// First unit.
    pub base: u64,
    /// How many units.
    pub count: u32,
    /// The domain that may bind it, or [`BEARER`].
    pub audience: u32,
}

impl Claim {
    /// The bytes in front of the tag, of a token without caveats.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0] = self.kind as u8;
        put(&mut bytes, 2, self.rights.0.to_le_bytes());
        put(&mut bytes, 4, self.node.to_le_bytes());
        put(&mut bytes, 8, self.generation.to_le_bytes());
        put(&mut bytes, 16, self.base.to_le_bytes());
        put(&mut bytes, 24, self.count.to_le_bytes());
        put(&mut bytes, 28, self.audience.to_le_bytes());
        bytes
    }

    /// The claim in a header whose caveat count is zero; `None` for an unknown kind or right, or a
    /// range that wraps. Says nothing about the tag.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Option<Self> {
        let claim = Self {
            kind: Kind::from_number(bytes[0])?,
            rights: Rights(u16::from_le_bytes(get(bytes, 2))),
            node: u32::from_le_bytes(get(bytes, 4)),
            generation: u64::from_le_bytes(get(bytes, 8)),
            base: u64::from_le_bytes(get(bytes, 16)),
            count: u32::from_le_bytes(get(bytes, 24)),
            audience: u32::from_le_bytes(get(bytes, 28)),
        };
        let well_formed = bytes[CAVEAT_COUNT_OFFSET] == 0
            && Rights::ALL.has(claim.rights)
            && claim.base.checked_add(u64::from(claim.count)).is_some();
        well_formed.then_some(claim)
    }
}

/// Units of a claim that a caveat keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First unit kept, counted as the claim does.
    pub base: u64,
    /// How many units are kept.
    pub count: u32,
}

/// What an appended record takes away. Every part only narrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caveat {
    /// Rights that are kept; the others are lost.
    pub rights: Rights,
    /// The units that are kept; they must lie in those that the token still had.
    pub range: Option<Range>,
    /// The only domain that may bind, not [`BEARER`]; it must be the token's audience if it had one.
    pub audience: Option<u32>,
    /// Nanoseconds of the TSC clock from which on the token no longer binds.
    pub expiry_ns: Option<u64>,
}

impl Caveat {
    /// The caveat that takes nothing away, to be narrowed field by field.
    pub const NOTHING: Self =
        Self { rights: Rights::ALL, range: None, audience: None, expiry_ns: None };

    const HAS_RANGE: u16 = 1;
    const HAS_AUDIENCE: u16 = 1 << 1;
    const HAS_EXPIRY: u16 = 1 << 2;

    fn conditions(&self) -> u16 {
        let bit = |present: bool, bit: u16| if present { bit } else { 0 };
        bit(self.range.is_some(), Self::HAS_RANGE)
            | bit(self.audience.is_some(), Self::HAS_AUDIENCE)
            | bit(self.expiry_ns.is_some(), Self::HAS_EXPIRY)
    }

    /// The record. Absent conditions are zero.
    #[must_use]
    pub fn encode(&self) -> [u8; CAVEAT_SIZE] {
        let range = self.range.unwrap_or(Range { base: 0, count: 0 });
        let mut bytes = [0; CAVEAT_SIZE];
        put(&mut bytes, 0, self.rights.0.to_le_bytes());
        put(&mut bytes, 2, self.conditions().to_le_bytes());
        put(&mut bytes, 4, range.count.to_le_bytes());
        put(&mut bytes, 8, range.base.to_le_bytes());
        put(&mut bytes, 16, self.expiry_ns.unwrap_or(0).to_le_bytes());
        put(&mut bytes, 24, self.audience.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// The caveat in a record; `None` for what `encode` never writes, and for audience [`BEARER`].
    #[must_use]
    pub fn decode(bytes: &[u8; CAVEAT_SIZE]) -> Option<Self> {
        let conditions = u16::from_le_bytes(get(bytes, 2));
        let has = |condition: u16| conditions & condition != 0;
        let range = Range {
            base: u64::from_le_bytes(get(bytes, 8)),
            count: u32::from_le_bytes(get(bytes, 4)),
        };
        let caveat = Self {
            rights: Rights(u16::from_le_bytes(get(bytes, 0))),
            range: has(Self::HAS_RANGE).then_some(range),
            audience: has(Self::HAS_AUDIENCE).then_some(u32::from_le_bytes(get(bytes, 24))),
            expiry_ns: has(Self::HAS_EXPIRY).then_some(u64::from_le_bytes(get(bytes, 16))),
        };
        let well_formed = Rights::ALL.has(caveat.rights)
            && caveat.audience != Some(BEARER)
            && caveat.encode() == *bytes;
        well_formed.then_some(caveat)
    }
}

/// Writes a field; the offsets are constants of this module, within the record.
fn put<const N: usize>(bytes: &mut [u8], offset: usize, field: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&field);
}

/// Reads a field, as [`put`].
fn get<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[offset..offset + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim {
        kind: Kind::Blocks,
        rights: Rights(0x0403),
        node: 0x0102_0304,
        generation: 0x1112_1314_1516_1718,
        base: 0x2122_2324_2526_2728,
        count: 0x3132_3334,
        audience: 0x4142_4344,
    };

    #[test]
    fn claim_has_the_documented_layout() {
        let bytes = CLAIM.encode();
        assert_eq!(bytes[..8], [4, 0, 0x03, 0x04, 4, 3, 2, 1]);
        assert_eq!(bytes[8..16], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(bytes[16..24], [0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        assert_eq!(bytes[24..], [0x34, 0x33, 0x32, 0x31, 0x44, 0x43, 0x42, 0x41]);
        assert_eq!(Claim::decode(&bytes), Some(CLAIM));
    }

    #[test]
    fn claim_refuses_what_is_not_canonical() {
        let with = |offset: usize, value: u8| {
            let mut bytes = CLAIM.encode();
            bytes[offset] = value;
            Claim::decode(&bytes)
        };
        assert_eq!(with(0, 0), None);
        assert_eq!(with(0, Kind::ALL.len() as u8 + 1), None);
        assert_eq!(with(CAVEAT_COUNT_OFFSET, 1), None);
        assert_eq!(with(3, 0x80), None);
        assert_eq!(Claim::decode(&Claim { base: u64::MAX, ..CLAIM }.encode()), None);
    }

    #[test]
    fn caveats_round_trip_and_have_one_form() {
        let full = Caveat {
            rights: Rights::READ,
            range: Some(Range { base: 7, count: 9 }),
            audience: Some(3),
            expiry_ns: Some(u64::MAX),
        };
        for caveat in [full, Caveat::NOTHING, Caveat { range: None, ..full }] {
            assert_eq!(Caveat::decode(&caveat.encode()), Some(caveat));
        }
        for offset in [2, 3, 4, 8, 16, 24, 28] {
            let mut bytes = Caveat::NOTHING.encode();
            bytes[offset] = 0x80;
            assert_eq!(Caveat::decode(&bytes), None, "byte {offset}");
        }
        assert_eq!(Caveat::decode(&Caveat { audience: Some(BEARER), ..full }.encode()), None);
    }

    #[test]
    fn kinds_and_rights_are_dense() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::from_number(index as u8 + 1), Some(*kind));
        }
        for (bit, (_, right)) in Rights::NAMES.iter().enumerate() {
            assert_eq!(right.0, 1 << bit);
            assert!(Rights::ALL.has(*right));
        }
    }
}
