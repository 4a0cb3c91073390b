//! Bytes that no kernel sealed.

use serix_abi::Error;
use serix_abi::token::{
    CAVEAT_SIZE, Caveat, MAX_CAVEATS, MAX_TOKEN_SIZE, ROOT_SIZE, Range, Rights,
};
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::{Check, Random, Session, Test, ensure, ensure_eq, raw, tests};
use serix_session::Purpose;
use serix_sys::call as sys;

pub(crate) const TESTS: &[Test] = tests!["forge":
    each_bit_counts, each_bit_of_caveats_counts, cut_and_grown_tokens_are_refused,
    caveats_keep_their_order, caveats_stay_with_their_token, caveats_cannot_be_dropped,
    caveats_only_narrow, a_fifth_caveat_is_refused, expiry_is_obeyed, random_tokens_are_refused];

fn root(session: &Session) -> Result<[u8; ROOT_SIZE], Error> {
    session.token(Purpose::Frames).ok_or(Error::BadToken)
}

fn narrow(bytes: &[u8], caveats: &[Caveat]) -> Result<Token, Error> {
    let mut token = Token::from_bytes(bytes).ok_or(Error::BadToken)?;
    for caveat in caveats {
        token = token.attenuate(caveat).ok_or(Error::BadToken)?;
    }
    Ok(token)
}

fn caveats(session: &Session) -> Result<[Caveat; MAX_CAVEATS], Error> {
    let info = sys::slot_query(session.frames)?;
    let range = Some(Range { base: info.base + 1, count: info.count as u32 - 1 });
    let rights = Rights::READ.with(Rights::WRITE).with(Rights::MAP);
    Ok([
        Caveat { rights, ..Caveat::NOTHING },
        Caveat { range, ..Caveat::NOTHING },
        Caveat { expiry_ns: Some(u64::MAX), ..Caveat::NOTHING },
        Caveat { rights: Rights::READ.with(Rights::MAP), ..Caveat::NOTHING },
    ])
}

/// Binds what must bind, and empties the slot again.
fn binds(bytes: &[u8]) -> Result<serix_abi::map::SlotInfo, Error> {
    let slot = sys::bind(bytes)?;
    let info = sys::slot_query(slot)?;
    sys::unbind(slot)?;
    Ok(info)
}

/// The kernel refuses these bytes, in a way that says nothing about them.
fn refuses(bytes: &[u8], what: core::fmt::Arguments<'_>) -> Check {
    let answer = sys::bind(bytes);
    ensure!(answer == Err(Error::BadToken), "{what}: {answer:?}");
    Ok(())
}

fn each_bit_counts(session: &mut Session) -> Check {
    for purpose in [Purpose::Log, Purpose::Frames, Purpose::Environment] {
        let token = session.token(purpose).ok_or(Error::BadToken)?;
        binds(&token)?;
        flip_all(&token)?;
    }
    Ok(())
}

fn flip_all(token: &[u8]) -> Check {
    let mut bytes = [0; MAX_TOKEN_SIZE];
    let bytes = &mut bytes[..token.len()];
    bytes.copy_from_slice(token);
    for bit in 0..token.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        refuses(bytes, format_args!("bit {bit}"))?;
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    Ok(())
}

fn each_bit_of_caveats_counts(session: &mut Session) -> Check {
    let token = narrow(&root(session)?, &caveats(session)?)?;
    let info = binds(token.as_bytes())?;
    ensure_eq!(info.rights, Rights::READ.with(Rights::MAP).0);
    flip_all(token.as_bytes())
}

fn cut_and_grown_tokens_are_refused(session: &mut Session) -> Check {
    let token = narrow(&root(session)?, &caveats(session)?)?;
    let mut bytes = [0; MAX_TOKEN_SIZE + 1];
    bytes[..MAX_TOKEN_SIZE].copy_from_slice(token.as_bytes());
    for length in (0..MAX_TOKEN_SIZE).chain([MAX_TOKEN_SIZE + 1]) {
        refuses(&bytes[..length], format_args!("{length} bytes"))?;
    }
    let mut long = [0; ROOT_SIZE + CAVEAT_SIZE];
    long[..ROOT_SIZE].copy_from_slice(&root(session)?);
    refuses(&long, format_args!("a root with a tail"))?;
    long[1] = 1;
    refuses(&long, format_args!("a root with an unsealed caveat"))
}

fn caveats_keep_their_order(session: &mut Session) -> Check {
    let token = narrow(&root(session)?, &caveats(session)?)?;
    for (first, second) in [(0, 1), (0, 3), (1, 2), (2, 3)] {
        let mut bytes = [0; MAX_TOKEN_SIZE];
        bytes.copy_from_slice(token.as_bytes());
        for at in 0..CAVEAT_SIZE {
            let place = |index: usize| ROOT_SIZE + index * CAVEAT_SIZE + at;
            bytes.swap(place(first), place(second));
        }
        refuses(&bytes, format_args!("caveats {first} and {second} exchanged"))?;
    }
    Ok(())
}

fn caveats_stay_with_their_token(session: &mut Session) -> Check {
    let log = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    let one = narrow(&root(session)?, &caveats(session)?[..1])?;
    let mut spliced = [0; ROOT_SIZE + CAVEAT_SIZE];
    spliced.copy_from_slice(one.as_bytes());
    spliced[..ROOT_SIZE].copy_from_slice(&log);
    spliced[1] = 1;
    refuses(&spliced, format_args!("the caveat behind another token"))?;
    spliced[32..ROOT_SIZE].copy_from_slice(&one.as_bytes()[32..ROOT_SIZE]);
    refuses(&spliced, format_args!("with its tag"))
}

fn caveats_cannot_be_dropped(session: &mut Session) -> Check {
    let caveats = caveats(session)?;
    for count in 1..=MAX_CAVEATS {
        let token = narrow(&root(session)?, &caveats[..count])?;
        for kept in 0..count {
            let mut bytes = [0; MAX_TOKEN_SIZE];
            let length = ROOT_SIZE + kept * CAVEAT_SIZE;
            bytes[..length].copy_from_slice(&token.as_bytes()[..length]);
            bytes[1] = kept as u8;
            refuses(&bytes[..length], format_args!("{kept} of {count} caveats"))?;
        }
    }
    Ok(())
}

fn caveats_only_narrow(session: &mut Session) -> Check {
    let (root, info) = (root(session)?, sys::slot_query(session.frames)?);
    let few = Caveat { rights: Rights::READ, ..Caveat::NOTHING };
    let all = Caveat::NOTHING;
    let back = binds(narrow(&root, &[few, all])?.as_bytes())?;
    ensure_eq!(back.rights, Rights::READ.0, "rights came back");
    let range = |base, count| Caveat { range: Some(Range { base, count }), ..Caveat::NOTHING };
    let (base, count) = (info.base, info.count as u32);
    for (wide, what) in [
        (range(base, count + 1), "past the end"),
        (range(base.wrapping_sub(1), 2), "before the start"),
        (range(base + u64::from(count), 1), "beside"),
        (range(0, u32::MAX), "everything"),
        (range(u64::MAX, 1), "the last unit there is"),
    ] {
        refuses(narrow(&root, &[wide])?.as_bytes(), format_args!("{what}"))?;
    }
    let inner = range(base + 2, 2);
    let outer = range(base, count);
    refuses(narrow(&root, &[inner, outer])?.as_bytes(), format_args!("wider again"))?;
    let audience = |id| Caveat { audience: Some(id), ..Caveat::NOTHING };
    for id in [1, 2, 1 << 10, u32::MAX] {
        let token = narrow(&root, &[audience(id)])?;
        let own = u32::from_le_bytes([root[28], root[29], root[30], root[31]]);
        let answer = binds(token.as_bytes()).map(|info| info.count);
        ensure!((id == own) == answer.is_ok(), "audience {id} of {own}: {answer:?}");
    }
    Ok(())
}

fn a_fifth_caveat_is_refused(session: &mut Session) -> Check {
    let token = narrow(&root(session)?, &caveats(session)?)?;
    ensure!(token.attenuate(&Caveat::NOTHING).is_none(), "the library appended a fifth");
    let mut bytes = [0; MAX_TOKEN_SIZE + CAVEAT_SIZE];
    bytes[..MAX_TOKEN_SIZE].copy_from_slice(token.as_bytes());
    bytes[MAX_TOKEN_SIZE..].copy_from_slice(&Caveat::NOTHING.encode());
    bytes[1] = 5;
    refuses(&bytes, format_args!("five caveats"))
}

fn expiry_is_obeyed(session: &mut Session) -> Check {
    let root = root(session)?;
    let until = |expiry| narrow(&root, &[Caveat { expiry_ns: Some(expiry), ..Caveat::NOTHING }]);
    for past in [0, 1, raw::now_ns()] {
        refuses(until(past)?.as_bytes(), format_args!("expired at {past}"))?;
    }
    let soon = raw::now_ns() + 20_000_000;
    let token = until(soon)?;
    binds(until(soon + 60_000_000_000)?.as_bytes())?;
    while raw::now_ns() < soon {}
    refuses(token.as_bytes(), format_args!("expired meanwhile"))
}

fn random_tokens_are_refused(session: &mut Session) -> Check {
    let seed = session.number_option("seed").unwrap_or(1);
    let root = root(session)?;
    let mut random = Random::new(seed);
    for round in 0..10_000 {
        let mut bytes = root;
        let from = random.of(&[0, 4, 8, 16, 32]);
        for piece in bytes[from..].chunks_mut(8) {
            let word = random.word().to_le_bytes();
            piece.copy_from_slice(&word[..piece.len()]);
        }
        refuses(&bytes, format_args!("round {round} of seed {seed}"))?;
    }
    Ok(())
}
