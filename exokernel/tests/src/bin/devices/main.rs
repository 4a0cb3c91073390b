//! What ring 3 has of devices: the framebuffer's frames, the keyboard controller's interrupt lines and ports.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod frames;
mod lines;
mod ports;

use serix_abi::token::{Caveat, Rights};
use serix_abi::{Call, Error};
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::raw::call;
use serix_kernel_tests::{Check, Failure, Session, arena, ensure, program, run};
use serix_session::{MAX_TOKENS, NamedToken, Purpose, SessionStart};
use serix_sys::{Slot, call as sys};

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[frames::TESTS, lines::TESTS, ports::TESTS])
}

/// The tokens of a purpose and a name, in their order.
fn tokens(
    session: &Session,
    purpose: Purpose,
    name: &'static str,
) -> impl Iterator<Item = &'static NamedToken> {
    let all = &session.start.tokens[..(session.start.token_count as usize).min(MAX_TOKENS)];
    all.iter().filter(move |token| {
        let end = token.name.iter().position(|byte| *byte == 0).unwrap_or(token.name.len());
        token.purpose == purpose as u32 && &token.name[..end] == name.as_bytes()
    })
}

/// One of them, whose bytes are to be narrowed or bound.
fn token(
    session: &Session,
    purpose: Purpose,
    name: &'static str,
    place: usize,
) -> Result<[u8; 48], Failure> {
    let found = tokens(session, purpose, name).nth(place).map(|token| token.token);
    found.ok_or_else(|| Failure::new(format_args!("no token {place} of {purpose:?} {name}")))
}

fn bind(
    session: &Session,
    purpose: Purpose,
    name: &'static str,
    place: usize,
) -> Result<Slot, Failure> {
    Ok(sys::bind(&token(session, purpose, name, place)?)?)
}

/// A slot of a token with only these rights.
fn narrowed(token: &[u8; 48], rights: Rights) -> Result<Slot, Error> {
    let caveat = Caveat { rights, ..Caveat::NOTHING };
    let token = Token::from_bytes(token).and_then(|token| token.attenuate(&caveat));
    let token = token.ok_or(Error::BadToken)?;
    let bytes = token.as_bytes();
    call(Call::Bind, &[arena::put(0, bytes), bytes.len() as u64]).map(|slot| Slot(slot as u32))
}

/// The call refuses slots of other kinds, in its first argument.
fn refuses_other_kinds(session: &Session, what: Call, rest: [u64; 2]) -> Check {
    for slot in [session.frames, session.log, session.environment, Slot(1000), Slot(u32::MAX - 1)] {
        let answer = call(what, &[slot.0.into(), rest[0], rest[1]]);
        ensure!(answer == Err(Error::BadSlot), "{what:?} with slot {}: {answer:?}", slot.0);
    }
    Ok(())
}
