//! User space's attenuation against the kernel's verification.
//!
//! The module under test is `serix-sys`'s source file: it uses the ABI's layout only, and this crate cannot depend on
//! `serix-sys` for the kernel's sake. Not under Miri, which would hash for half a minute to look at code without unsafe.
#![cfg(not(miri))]

#[allow(unreachable_pub)]
#[path = "../../sys/src/attenuate.rs"]
mod attenuate;

use attenuate::Token;
use serix_abi::token::{Caveat, Claim, Kind, MAX_CAVEATS, MAX_TOKEN_SIZE, Range, Rights};
use serix_core::DomainId;
use serix_core::seal::{SealError, Sealer};
use std::sync::OnceLock;

const HOLDER: DomainId = DomainId(7);
const CLAIM: Claim = Claim {
    kind: Kind::Frames,
    rights: Rights::READ.with(Rights::WRITE).with(Rights::MAP),
    node: 5,
    generation: 6,
    base: 1000,
    count: 100,
    audience: 0,
};

fn sealer() -> &'static Sealer {
    static SEALER: OnceLock<Sealer> = OnceLock::new();
    SEALER.get_or_init(|| Sealer::new([42; 32]))
}

fn attenuated(caveats: &[Caveat]) -> Token {
    let root = Token::from_bytes(&sealer().seal(&CLAIM)).expect("a sealed token has its length");
    caveats.iter().fold(root, |token, caveat| token.attenuate(caveat).expect("room for a caveat"))
}

fn verify(caveats: &[Caveat], now_ns: u64) -> Result<Claim, SealError> {
    sealer().verify(attenuated(caveats).as_bytes(), HOLDER, now_ns)
}

fn range(base: u64, count: u32) -> Caveat {
    Caveat { range: Some(Range { base, count }), ..Caveat::NOTHING }
}

#[test]
fn each_caveat_narrows() {
    let rights = Caveat { rights: Rights::READ.with(Rights::EXECUTE), ..Caveat::NOTHING };
    let audience = Caveat { audience: Some(HOLDER.0), ..Caveat::NOTHING };
    let expiry = Caveat { expiry_ns: Some(50), ..Caveat::NOTHING };
    let all = [rights, range(1010, 20), audience, expiry];
    let narrowed =
        Claim { rights: Rights::READ, base: 1010, count: 20, audience: HOLDER.0, ..CLAIM };
    assert_eq!(verify(&all, 49), Ok(narrowed));
    assert_eq!(verify(&all, 50), Err(SealError::Expired));
    assert_eq!(verify(&[Caveat::NOTHING], 0), Ok(CLAIM));
}

#[test]
fn ranges_only_shrink() {
    assert!(verify(&[range(1000, 100)], 0).is_ok());
    assert!(verify(&[range(1099, 1)], 0).is_ok());
    for outside in [range(999, 1), range(1000, 101), range(1100, 1), range(u64::MAX, u32::MAX)] {
        assert_eq!(verify(&[outside], 0), Err(SealError::Range));
    }
    assert_eq!(verify(&[range(1010, 10), range(1010, 11)], 0), Err(SealError::Range));
}

#[test]
fn audience_cannot_be_changed() {
    let to = |domain| Caveat { audience: Some(domain), ..Caveat::NOTHING };
    assert_eq!(verify(&[to(8)], 0), Err(SealError::Audience));
    assert_eq!(verify(&[to(8), to(7)], 0), Err(SealError::Audience));
    assert!(verify(&[to(7), to(7)], 0).is_ok());
}

#[test]
fn four_caveats_are_the_most() {
    let full = attenuated(&[Caveat::NOTHING; MAX_CAVEATS]);
    assert_eq!(full.as_bytes().len(), MAX_TOKEN_SIZE);
    assert!(full.attenuate(&Caveat::NOTHING).is_none());
    assert!(Token::from_bytes(full.as_bytes()).is_some_and(|copy| copy == full));
}

#[test]
fn a_dropped_caveat_is_a_forgery() {
    let with = attenuated(&[range(1010, 10)]);
    let mut without = sealer().seal(&CLAIM);
    without[32..].copy_from_slice(&with.as_bytes()[32..48]);
    assert_eq!(sealer().verify(&without, HOLDER, 0), Err(SealError::Forged));
}

#[test]
fn odd_lengths_are_no_tokens() {
    let token = attenuated(&[Caveat::NOTHING]);
    for length in [0, 1, 47, 48, 79] {
        assert!(Token::from_bytes(&token.as_bytes()[..length]).is_none());
        assert_eq!(
            sealer().verify(&token.as_bytes()[..length], HOLDER, 0),
            Err(SealError::Malformed)
        );
    }
}
