//! Genuine tokens at the wrong time, or in the wrong hands.

use serix_abi::start::EndReason;
use serix_abi::token::Rights;
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, event, frame_rights, grant, until_done,
};
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

pub(crate) const TESTS: &[Test] = tests!["replay":
    a_token_is_for_its_audience, others_cannot_bind_ours, revoked_tokens_are_dead,
    tokens_of_an_ended_domain_are_dead];

fn no_event() -> u64 {
    serix_abi::NO_SLOT.into()
}

/// Tokens that the test hands to another domain do not bind in its own.
fn a_token_is_for_its_audience(session: &mut Session) -> Check {
    let event = event()?;
    let child = Child::new(session, event, 0, Script::default())?;
    ensure_eq!(sys::bind(&child.token), Err(Error::BadToken), "frames");
    let rights = Rights::CONTROL.with(Rights::MAP);
    let (delegation, token) = grant(child.environment, 0, 1, rights, child.domain)?;
    ensure_eq!(sys::bind(&token), Err(Error::BadToken), "environment");
    until_done(Call::Revoke, delegation)?;
    child.end()?;
    sys::unbind(event)?;
    Ok(())
}

fn bind_at(index: u64, wanted: Option<Error>) -> Operation {
    Operation::Call(Call::Bind, [BYTES + index * 48, 48, 0, 0, 0, 0], wanted)
}

/// A child with our tokens in its memory can do nothing with them.
fn others_cannot_bind_ours(session: &mut Session) -> Check {
    let purposes = [Purpose::Log, Purpose::Frames, Purpose::Environment, Purpose::SessionMemory];
    let mut bytes = [0; 48 * 4];
    for (place, purpose) in bytes.chunks_mut(48).zip(purposes) {
        place.copy_from_slice(&session.token(purpose).ok_or(Error::BadToken)?);
    }
    let operations = [0, 1, 2, 3].map(|index| bind_at(index, Some(Error::BadToken)));
    let script = Script { operations: &operations, bytes: &bytes };
    ensure_eq!(status_of(session, script)?, (EndReason::Exit as u32, 0));
    Ok(())
}

fn status_of(session: &mut Session, script: Script<'_>) -> Result<(u32, u32), Error> {
    let event = event()?;
    let child = Child::new(session, event, 0, script)?;
    let end = child.run(session, event, &child.parameters());
    child.end()?;
    sys::unbind(event)?;
    end
}

/// A token dies with its delegation, even when the same range is delegated to the same domain again.
fn revoked_tokens_are_dead(session: &mut Session) -> Check {
    let domain = Slot(call_domain()? as u32);
    let unit = session.take_frames(4);
    let mut last = [0; 48];
    for round in 0..20 {
        let (delegation, token) = grant(session.frames, unit, 4, frame_rights(), domain)?;
        ensure!(token != last, "round {round}: the same token again");
        last = token;
        until_done(Call::Revoke, delegation)?;
    }
    until_done(Call::DomainDestroy, domain)?;
    replay_in_a_child(session)
}

fn call_domain() -> Result<u64, Error> {
    serix_kernel_tests::raw::call(Call::DomainCreate, &[no_event(), 0])
}

/// The child gets two tokens of one frame, the first of which was revoked before the second was made. The page that holds them is filled
/// while the frame is still the test's, so the tokens are made for the domain first.
fn replay_in_a_child(session: &mut Session) -> Check {
    let event = event()?;
    let operations =
        [bind_at(0, Some(Error::Stale)), bind_at(1, None), bind_at(0, Some(Error::Stale))];
    let unit = session.take_frames(1);
    let child = Child::with_bytes(session, event, &operations, |session, domain| {
        let (delegation, old) = grant(session.frames, unit, 1, frame_rights(), domain)?;
        until_done(Call::Revoke, delegation)?;
        let (delegation, new) = grant(session.frames, unit, 1, frame_rights(), domain)?;
        let mut bytes = [0; 96];
        bytes[..48].copy_from_slice(&old);
        bytes[48..].copy_from_slice(&new);
        Ok((bytes, delegation))
    });
    let (child, delegation) = child?;
    let end = child.run(session, event, &child.parameters());
    child.end()?;
    until_done(Call::Revoke, delegation)?;
    sys::unbind(event)?;
    ensure_eq!(end, Ok((EndReason::Exit as u32, 0)));
    Ok(())
}

/// Domain numbers are reused, their identities are not.
fn tokens_of_an_ended_domain_are_dead(session: &mut Session) -> Check {
    let first = Slot(call_domain()? as u32);
    let unit = session.take_frames(1);
    let (delegation, token) = grant(session.frames, unit, 1, frame_rights(), first)?;
    until_done(Call::DomainDestroy, first)?;
    until_done(Call::Revoke, delegation)?;
    let operations = [bind_at(0, Some(Error::BadToken))];
    let script = Script { operations: &operations, bytes: &token };
    ensure_eq!(status_of(session, script)?, (EndReason::Exit as u32, 0));
    Ok(())
}
