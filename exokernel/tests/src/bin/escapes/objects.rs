//! Names: empty, of objects that are ending, of work that was given up.

use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::start::EndReason;
use serix_abi::token::{Caveat, Range, Rights};
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, event, frame_rights, grant, until_done,
};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, arena, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

pub(crate) const TESTS: &[Test] = tests!["objects":
    empty_ranges_bind_nothing, ending_environments_do_nothing, ending_environments_keep_no_dispatcher,
    a_domain_cannot_destroy_itself, a_grant_revoked_half_way_is_over, a_grant_changed_half_way_is_over,
    blocked_domains_cost_nothing, stale_names_stay_stale];

/// A range without units names the object after the last one, if it names anything.
fn empty_ranges_bind_nothing(session: &mut Session) -> Check {
    let purposes = [
        (Purpose::Environment, session.environment),
        (Purpose::SessionMemory, session.memory),
        (Purpose::Frames, session.frames),
        (Purpose::Log, session.log),
    ];
    for (purpose, slot) in purposes {
        let info = sys::slot_query(slot)?;
        let token = session.token(purpose).ok_or(Error::BadToken)?;
        for base in [info.base, info.base + info.count, info.base + info.count - 1] {
            let range = Some(Range { base, count: 0 });
            let narrowed = Token::from_bytes(&token)
                .and_then(|token| token.attenuate(&Caveat { range, ..Caveat::NOTHING }))
                .ok_or(Error::BadToken)?;
            let answer = sys::bind(narrowed.as_bytes());
            ensure!(answer.is_err(), "{purpose:?}, no units from {base}: {answer:?}");
        }
    }
    Ok(())
}

/// An environment whose destruction has begun and is not finished, with a dispatcher that it had.
fn half_dead(session: &mut Session) -> Result<Slot, Error> {
    let none = u64::from(NO_SLOT);
    let slot = Slot(call(Call::EnvironmentCreate, &[none, none])? as u32);
    let (unit, address) = (session.take_frames(2), session.take_addresses(1));
    session.map(slot, address, unit, 1, DATA)?;
    raw::dispatcher(slot, &parameters(session, unit + 1))?;
    match call(Call::EnvironmentDestroy, &[slot.0.into()]) {
        Err(Error::Again) => Ok(slot),
        other => other.and(Err(Error::Unsupported)),
    }
}

/// Parameters that would run nothing: no code is mapped there.
fn parameters(session: &Session, unit: u64) -> DispatcherParameters {
    DispatcherParameters {
        frames: session.frames.0,
        unit: unit as u32,
        page_address: raw::NOWHERE,
        rip: raw::NOWHERE,
        upcalls_disabled: 1,
        ..DispatcherParameters::default()
    }
}

fn ending_environments_do_nothing(session: &mut Session) -> Check {
    let dead = half_dead(session)?;
    let (space, own) = (u64::from(dead.0), u64::from(session.environment.0));
    let (unit, address) = (session.take_frames(2), session.take_addresses(1));
    let map = session.map(dead, address, unit, 1, DATA);
    ensure!(map.is_err(), "map");
    for (what, arguments) in [
        (Call::InfoMap, [space, address, 0, 0]),
        (Call::CopyRange, [own, space, address, 1]),
        (Call::CopyRange, [space, own, address, 1]),
        (Call::Attach, [space, 30, session.memory.0.into(), 0]),
        (Call::YieldTo, [space, 0, 0, 0]),
    ] {
        let answer = call(what, &arguments);
        ensure!(answer.is_err(), "{what:?}: {answer:?}");
    }
    let again = raw::dispatcher(dead, &parameters(session, unit + 1));
    ensure!(again.is_err(), "a dispatcher: {again:?}");
    until_done(Call::EnvironmentDestroy, dead)?;
    ensure_eq!(call(Call::MappingCount, &[session.frames.0.into(), unit]), Ok(0));
    Ok(())
}

/// The number of its dispatcher may be another domain's by now.
fn ending_environments_keep_no_dispatcher(session: &mut Session) -> Check {
    let dead = half_dead(session)?;
    let event = event()?;
    let child = Child::new(session, event, 0, Script::default())?;
    raw::dispatcher(child.environment, &child.parameters())?;
    let entries = arena::put_words(0, &[0; 12]);
    for number in 0..16 {
        let answer = call(Call::DispatcherEntries, &[dead.0.into(), number, entries]);
        ensure!(answer.is_err(), "entries of dispatcher {number} were set");
    }
    until_done(Call::EnvironmentDestroy, dead)?;
    child.end()?;
    sys::unbind(event)?;
    Ok(())
}

fn a_domain_cannot_destroy_itself(session: &mut Session) -> Check {
    let event = event()?;
    let operations = [
        Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None),
        Operation::Call(Call::DomainDestroy, [0; 6], Some(Error::BadArgument)),
        Operation::Call(Call::Null, [0; 6], None),
    ];
    let made = Child::with_bytes(session, event, &operations, |_, domain| {
        let rights = Rights::CONTROL.with(Rights::GRANT);
        let (delegation, token) = grant(domain, 0, 1, rights, domain)?;
        Ok((token, delegation))
    });
    let (child, delegation) = made?;
    let end = child.run(session, event, &child.parameters());
    child.end()?;
    until_done(Call::Revoke, delegation).or_else(|error| match error {
        Error::BadSlot | Error::Stale => Ok(0),
        other => Err(other),
    })?;
    sys::unbind(event)?;
    ensure_eq!(end, Ok((EndReason::Exit as u32, 0)));
    Ok(())
}

/// Frames of a grant that takes more than one call.
const MANY: u64 = 3000;

/// Makes the first step of a grant of [`MANY`] frames.
fn begin_grant(session: &Session, first: u64, domain: Slot) -> Result<u64, Error> {
    let rights = u64::from(frame_rights().0);
    let parameters = arena::put_words(0, &[first, MANY, rights | u64::from(domain.0) << 32]);
    call(Call::Grant, &[session.frames.0.into(), parameters, arena::address(512)])
}

/// Takes back whatever delegations there are in slots that a test did not get to know.
fn revoke_unknown(session: &Session) -> Check {
    let known = [session.frames, session.environment, session.memory, session.log];
    for slot in (0..64).map(Slot).filter(|slot| !known.contains(slot)) {
        let _ = until_done(Call::Revoke, slot);
    }
    Ok(())
}

fn is_whole(session: &mut Session, first: u64) -> Check {
    let address = session.take_addresses(1);
    for unit in [first, first + 1023, first + 1024, first + MANY - 1] {
        session.map(session.environment, address, unit, 1, DATA)?;
    }
    session.unmap(session.environment, address, 1)?;
    Ok(())
}

fn new_domain() -> Result<Slot, Error> {
    call(Call::DomainCreate, &[NO_SLOT.into(), 0]).map(|slot| Slot(slot as u32))
}

fn a_grant_revoked_half_way_is_over(session: &mut Session) -> Check {
    let (domain, first) = (new_domain()?, session.take_frames(MANY));
    ensure_eq!(begin_grant(session, first, domain), Err(Error::Again), "the first step");
    revoke_unknown(session)?;
    is_whole(session, first)?;
    let (delegation, _) = grant(session.frames, first, 1, frame_rights(), domain)?;
    until_done(Call::Revoke, delegation)?;
    until_done(Call::DomainDestroy, domain)?;
    is_whole(session, first)
}

fn a_grant_changed_half_way_is_over(session: &mut Session) -> Check {
    let (domain, first) = (new_domain()?, session.take_frames(MANY + 1));
    ensure_eq!(begin_grant(session, first, domain), Err(Error::Again), "the first step");
    let (delegation, _) = grant(session.frames, first + MANY, 1, frame_rights(), domain)?;
    until_done(Call::Revoke, delegation)?;
    revoke_unknown(session)?;
    until_done(Call::DomainDestroy, domain)?;
    is_whole(session, first)
}

/// Failed calls use nothing up, however many there are.
fn blocked_domains_cost_nothing(session: &mut Session) -> Check {
    let made = new_domain()?;
    for _ in 0..session.number_option("failures").unwrap_or(20_000) {
        let answer = call(Call::DomainCreate, &[1000, 0]);
        ensure!(answer == Err(Error::BadSlot), "{answer:?}");
    }
    let other = new_domain()?;
    until_done(Call::DomainDestroy, other)?;
    until_done(Call::DomainDestroy, made)?;
    Ok(())
}

/// The places of ended objects are used again; a slot that named the first must not name the second.
fn stale_names_stay_stale(session: &mut Session) -> Check {
    let event = event()?;
    let mut old = [Slot::NONE; 2];
    for round in 0..4 {
        let child = Child::new(session, event, 0, Script::default())?;
        let environment = child.environment;
        let subtree = Slot(call(Call::SubtreeCreate, &[child.domain.0.into()])? as u32);
        for slot in old.into_iter().filter(|slot| *slot != Slot::NONE) {
            let answer = call(Call::Unmap, &[slot.0.into(), raw::NOWHERE, 1]);
            ensure!(answer == Err(Error::Stale), "round {round}, slot {}: {answer:?}", slot.0);
            sys::unbind(slot)?;
        }
        old = [environment, subtree];
        child.end()?;
    }
    for slot in old {
        sys::unbind(slot)?;
    }
    sys::unbind(event)?;
    Ok(())
}
