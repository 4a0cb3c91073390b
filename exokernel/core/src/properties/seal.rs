//! No forged token verifies; attenuation never widens.

use crate::ids::DomainId;
use crate::seal::{Claim, Sealer, mac};
use serix_abi::token::{
    BEARER, CAVEAT_COUNT_OFFSET, CAVEAT_SIZE, Caveat, HEADER_SIZE, MAX_CAVEATS, MAX_TOKEN_SIZE,
    ROOT_SIZE,
};

const MASTER_KEY: [u8; 32] = *b"a master key of the proofs only!";

/// A token with caveats, put together as a holder would.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    bytes: [u8; MAX_TOKEN_SIZE],
    length: usize,
}

impl Held {
    fn new(sealer: &Sealer, claim: &Claim, caveats: &[Caveat]) -> Self {
        let mut held = Self { bytes: [0; MAX_TOKEN_SIZE], length: ROOT_SIZE };
        held.bytes[..ROOT_SIZE].copy_from_slice(&sealer.seal(claim));
        caveats.iter().for_each(|caveat| held.append(&caveat.encode()));
        held
    }

    fn append(&mut self, record: &[u8; CAVEAT_SIZE]) {
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.bytes[HEADER_SIZE..ROOT_SIZE]);
        self.bytes[HEADER_SIZE..ROOT_SIZE].copy_from_slice(&mac::chain(&tag, record));
        self.bytes[self.length..self.length + CAVEAT_SIZE].copy_from_slice(record);
        self.bytes[CAVEAT_COUNT_OFFSET] += 1;
        self.length += CAVEAT_SIZE;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn caveat_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[ROOT_SIZE + index * CAVEAT_SIZE..][..CAVEAT_SIZE]
    }
}

fn refused(sealer: &Sealer, bytes: &[u8], claim: &Claim) -> bool {
    sealer.verify(bytes, DomainId(claim.audience), 0).is_err()
}

/// What was sealed verifies, as it was sealed.
pub(crate) fn sealed_claim_verifies(sealer: &Sealer, claim: Claim) {
    assert_eq!(sealer.verify(&sealer.seal(&claim), DomainId(claim.audience), 0), Ok(claim));
}

/// A token with any one bit flipped does not verify.
pub(crate) fn flipped_bit_is_refused(
    sealer: &Sealer,
    claim: Claim,
    caveats: &[Caveat],
    bit: usize,
) {
    let mut held = Held::new(sealer, &claim, caveats);
    let bit = bit % (held.length * 8);
    held.bytes[bit / 8] ^= 1 << (bit % 8);
    assert!(refused(sealer, held.bytes(), &claim));
}

/// A token cut short anywhere does not verify, even if its caveat count says the new length.
pub(crate) fn truncation_is_refused(
    sealer: &Sealer,
    claim: Claim,
    caveats: &[Caveat],
    length: usize,
) {
    let mut held = Held::new(sealer, &claim, caveats);
    held.length = length % held.length;
    assert!(refused(sealer, held.bytes(), &claim));
    if held.length >= ROOT_SIZE {
        held.bytes[CAVEAT_COUNT_OFFSET] = ((held.length - ROOT_SIZE) / CAVEAT_SIZE) as u8;
        assert!(refused(sealer, held.bytes(), &claim));
    }
}

/// A caveat of one token, put in the place of another's, does not verify.
pub(crate) fn spliced_caveat_is_refused(sealer: &Sealer, claim: Claim, own: Caveat, other: Caveat) {
    let mut held = Held::new(sealer, &claim, &[own]);
    let mut donor = Held::new(sealer, &claim, &[other]);
    if own == other {
        return;
    }
    held.caveat_mut(0).copy_from_slice(donor.caveat_mut(0));
    assert!(refused(sealer, held.bytes(), &claim));
}

/// Caveats in another order do not verify.
pub(crate) fn reordered_caveats_are_refused(
    sealer: &Sealer,
    claim: Claim,
    first: Caveat,
    second: Caveat,
) {
    let mut held = Held::new(sealer, &claim, &[first, second]);
    if first == second {
        return;
    }
    held.caveat_mut(0).copy_from_slice(&second.encode());
    held.caveat_mut(1).copy_from_slice(&first.encode());
    assert!(refused(sealer, held.bytes(), &claim));
}

/// A token of another boot does not verify.
pub(crate) fn other_boot_is_refused(sealer: &Sealer, claim: Claim, key: [u8; 32]) {
    let token = Sealer::new(key).seal(&claim);
    assert!(key == MASTER_KEY || refused(sealer, &token, &claim));
}

/// Whatever bytes a holder appends, properly chained, the claim that comes out is inside the one sealed.
pub(crate) fn attenuation_never_widens(
    sealer: &Sealer,
    claim: Claim,
    records: &[[u8; CAVEAT_SIZE]],
    audience: DomainId,
    now_ns: u64,
) {
    let mut held = Held::new(sealer, &claim, &[]);
    records.iter().take(MAX_CAVEATS).for_each(|record| held.append(record));
    if let Ok(narrowed) = sealer.verify(held.bytes(), audience, now_ns) {
        assert!(is_inside(&narrowed, &claim), "{narrowed:?} of {claim:?}");
        assert!(narrowed.audience == BEARER || narrowed.audience == audience.0);
    }
}

fn is_inside(inner: &Claim, outer: &Claim) -> bool {
    let end = |claim: &Claim| claim.base + u64::from(claim.count);
    let same =
        (inner.kind, inner.node, inner.generation) == (outer.kind, outer.node, outer.generation);
    same && outer.rights.has(inner.rights)
        && inner.base >= outer.base
        && end(inner) <= end(outer)
        && (outer.audience == BEARER || inner.audience == outer.audience)
}

#[cfg(test)]
mod cases {
    use super::*;
    use proptest::prelude::*;
    use serix_abi::token::{Kind, Range, Rights};
    use std::sync::OnceLock;
    use std::vec::Vec;

    /// Deriving the keys is most of the work under Miri.
    fn sealer() -> &'static Sealer {
        static SEALER: OnceLock<Sealer> = OnceLock::new();
        SEALER.get_or_init(|| Sealer::new(MASTER_KEY))
    }

    /// Miri takes a tenth of a second for a block of SHA-256.
    fn few() -> proptest::test_runner::Config {
        let config = crate::properties::config();
        proptest::test_runner::Config { cases: if cfg!(miri) { 1 } else { config.cases }, ..config }
    }

    prop_compose! {
        fn any_claim()(
            kind in 0..Kind::ALL.len(),
            rights in any::<u16>(),
            node in any::<u32>(),
            generation in any::<u64>(),
            base in 0..1_u64 << 40,
            count in any::<u32>(),
            audience in 0..5_u32,
        ) -> Claim {
            let rights = Rights(rights).intersect(Rights::ALL);
            Claim { kind: Kind::ALL[kind], rights, node, generation, base, count, audience }
        }
    }

    fn any_caveat() -> impl Strategy<Value = Caveat> {
        let range = (any::<u64>(), any::<u32>()).prop_map(|(base, count)| Range { base, count });
        let parts = (
            any::<u16>(),
            proptest::option::of(range),
            proptest::option::of(1..5_u32),
            proptest::option::of(any::<u64>()),
        );
        parts.prop_map(|(rights, range, audience, expiry_ns)| Caveat {
            rights: Rights(rights).intersect(Rights::ALL),
            range,
            audience,
            expiry_ns,
        })
    }

    /// A caveat that this claim satisfies at time 0, so that only the tag can be the reason for a refusal.
    fn satisfied_by(claim: &Claim, mut caveat: Caveat) -> Caveat {
        caveat.range = caveat.range.map(|_| Range { base: claim.base, count: claim.count });
        caveat.audience = caveat.audience.and((claim.audience != BEARER).then_some(claim.audience));
        caveat.expiry_ns = caveat.expiry_ns.map(|expiry| expiry.max(1));
        caveat
    }

    fn any_token() -> impl Strategy<Value = (Claim, Vec<Caveat>)> {
        (any_claim(), proptest::collection::vec(any_caveat(), 0..=MAX_CAVEATS)).prop_map(
            |(claim, caveats)| {
                let caveats = caveats.into_iter().map(|c| satisfied_by(&claim, c)).collect();
                (claim, caveats)
            },
        )
    }

    proptest! {
        #![proptest_config(few())]

        #[test]
        fn sealed_verifies(claim in any_claim()) {
            sealed_claim_verifies(sealer(), claim);
        }

        #[test]
        fn satisfied_caveats_verify((claim, caveats) in any_token()) {
            let sealer = sealer();
            let held = Held::new(sealer, &claim, &caveats);
            prop_assert!(sealer.verify(held.bytes(), DomainId(claim.audience), 0).is_ok());
        }

        #[test]
        fn flipped((claim, caveats) in any_token(), bit in any::<usize>()) {
            flipped_bit_is_refused(sealer(), claim, &caveats, bit);
        }

        #[test]
        fn truncated((claim, caveats) in any_token(), length in any::<usize>()) {
            truncation_is_refused(sealer(), claim, &caveats, length);
        }

        #[test]
        fn spliced(claim in any_claim(), own in any_caveat(), other in any_caveat()) {
            spliced_caveat_is_refused(sealer(), claim, satisfied_by(&claim, own), satisfied_by(&claim, other));
        }

        #[test]
        fn reordered(claim in any_claim(), one in any_caveat(), two in any_caveat()) {
            reordered_caveats_are_refused(sealer(), claim, satisfied_by(&claim, one), satisfied_by(&claim, two));
        }

        #[test]
        fn other_boot(claim in any_claim(), key in any::<[u8; 32]>()) {
            other_boot_is_refused(sealer(), claim, key);
        }

        #[test]
        fn attenuated(
            claim in any_claim(),
            caveats in proptest::collection::vec(any_caveat(), 0..=MAX_CAVEATS),
            audience in 1..5_u32,
            now_ns in any::<u64>(),
        ) {
            let records: Vec<_> = caveats.iter().map(Caveat::encode).collect();
            attenuation_never_widens(sealer(), claim, &records, DomainId(audience), now_ns);
        }

        #[test]
        fn attenuated_with_ranges_nearby(
            claim in any_claim(),
            edges in proptest::collection::vec((-3_i64..4, -3_i64..4), 1..=MAX_CAVEATS),
        ) {
            let near = |(base, count): &(i64, i64)| Caveat {
                range: Some(Range {
                    base: claim.base.wrapping_add_signed(*base),
                    count: claim.count.wrapping_add(*count as u32),
                }),
                ..Caveat::NOTHING
            };
            let records: Vec<_> = edges.iter().map(|edge| near(edge).encode()).collect();
            attenuation_never_widens(sealer(), claim, &records, DomainId(claim.audience), 0);
        }

        #[test]
        fn attenuated_with_garbage(
            claim in any_claim(),
            records in proptest::collection::vec(any::<[u8; CAVEAT_SIZE]>(), 1..=MAX_CAVEATS),
        ) {
            attenuation_never_widens(sealer(), claim, &records, DomainId(claim.audience), 0);
        }
    }
}

/// Harnesses for Kani, with the model tag function of `seal::mac`.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;
    use serix_abi::token::{Kind, Range, Rights};

    fn any_claim() -> Claim {
        let claim = Claim {
            kind: Kind::ALL[kani::any::<usize>() % Kind::ALL.len()],
            rights: Rights(kani::any()).intersect(Rights::ALL),
            node: kani::any(),
            generation: kani::any(),
            base: kani::any(),
            count: kani::any(),
            audience: kani::any(),
        };
        kani::assume(claim.base <= u64::MAX - u64::from(u32::MAX));
        claim
    }

    fn any_caveat() -> Caveat {
        let range = Range { base: kani::any(), count: kani::any() };
        let audience = kani::any::<u32>();
        Caveat {
            rights: Rights(kani::any()).intersect(Rights::ALL),
            range: kani::any::<bool>().then_some(range),
            audience: (audience != BEARER).then_some(audience),
            expiry_ns: kani::any::<bool>().then_some(kani::any()),
        }
    }

    /// One flipped bit, with and without a caveat.
    #[cfg_attr(feature = "real-kani", kani::proof)]
    pub fn no_forged_token() {
        let sealer = Sealer::new(MASTER_KEY);
        let claim = any_claim();
        sealed_claim_verifies(&sealer, claim);
        flipped_bit_is_refused(&sealer, claim, &[], kani::any());
        flipped_bit_is_refused(&sealer, claim, &[any_caveat()], kani::any());
    }

    /// A token cut short.
    #[cfg_attr(feature = "real-kani", kani::proof)]
    pub fn no_truncated_token() {
        let sealer = Sealer::new(MASTER_KEY);
        truncation_is_refused(&sealer, any_claim(), &[], kani::any());
    }

    /// A caveat of another token, caveats exchanged, a token of another boot.
    #[cfg_attr(feature = "real-kani", kani::proof)]
    pub fn no_rearranged_token() {
        let sealer = Sealer::new(MASTER_KEY);
        spliced_caveat_is_refused(&sealer, any_claim(), any_caveat(), any_caveat());
        reordered_caveats_are_refused(&sealer, any_claim(), any_caveat(), any_caveat());
        let mut key = MASTER_KEY;
        key[0] = kani::any();
        other_boot_is_refused(&sealer, any_claim(), key);
    }

    /// Two caveats.
    #[cfg_attr(feature = "real-kani", kani::proof)]
    pub fn attenuation_only_narrows() {
        let sealer = Sealer::new(MASTER_KEY);
        let records = [any_caveat().encode(), any_caveat().encode()];
        attenuation_never_widens(
            &sealer,
            any_claim(),
            &records,
            DomainId(kani::any()),
            kani::any(),
        );
    }
}
