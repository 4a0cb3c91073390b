//! What a call reads changes under its hands: another core writes to it meanwhile.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::child::{self, frame_rights, until_done};
use serix_kernel_tests::raw::{NOWHERE, call, crew, dispatcher_at, now_ns, worker_write};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Failure, Session, Test, arena, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

use crate::{clear_shared, comes, patience, shared};

pub(crate) const TESTS: &[Test] = tests!["fetching":
    tokens_that_change_bind_what_was_sealed, map_requests_that_change_map_what_was_checked,
    grants_that_change_delegate_what_was_checked, parameters_that_change_are_checked_as_used];

const STOP: usize = 0;
const ADDRESS: usize = 1;
const FIRST: usize = 2;
const SECOND: usize = 3;
const BEGUN: usize = 4;
/// Calls of each test that were refused, and that were not.
const CALLS: u64 = 100;

/// Writes two values in turn to one word.
fn flip(_: u64) {
    let address = shared(ADDRESS).load(SeqCst);
    let values = [shared(FIRST).load(SeqCst), shared(SECOND).load(SeqCst)];
    let mut turn = 0_usize;
    shared(BEGUN).store(1, SeqCst);
    while shared(STOP).load(SeqCst) == 0 {
        let _ = worker_write(address, values[turn % 2]);
        turn = turn.wrapping_add(1);
        for _ in 0..turn % 13 {
            core::hint::spin_loop();
        }
    }
}

/// Calls while a word of the arena flips between two values, until both kinds of answers were seen.
fn flipping(
    session: &mut Session,
    offset: usize,
    values: [u64; 2],
    mut one: impl FnMut(&mut Session) -> Result<bool, Failure>,
) -> Check {
    clear_shared();
    shared(ADDRESS).store(arena::address(offset), SeqCst);
    shared(FIRST).store(values[0], SeqCst);
    shared(SECOND).store(values[1], SeqCst);
    let worker = crew(session)?[0];
    worker.begin(flip, 0)?;
    ensure!(comes(|| shared(BEGUN).load(SeqCst) == 1), "the other core does not begin");
    let mut answers = [0_u64; 2];
    let mut result = Ok(());
    let end = patience();
    // The other core may come to run for moments only.
    while answers.iter().any(|count| *count < CALLS) && now_ns() < end {
        match one(session) {
            Ok(good) => answers[usize::from(good)] += 1,
            Err(failure) => {
                result = Err(failure);
                break;
            }
        }
    }
    shared(STOP).store(1, SeqCst);
    worker.finish(patience())?;
    result?;
    ensure!(answers.iter().all(|count| *count > 0), "refused and done: {answers:?}");
    Ok(())
}

fn tokens_that_change_bind_what_was_sealed(session: &mut Session) -> Check {
    let token = session.token(Purpose::Frames).ok_or(Error::BadToken)?;
    let wanted = sys::slot_query(session.frames)?;
    let word = |at: usize| u64::from_le_bytes(token[at..at + 8].try_into().unwrap_or([0; 8]));
    // Rights; the first unit; units and audience; half of the tag.
    for (at, other) in
        [(0, word(0) | 0xFFFF << 16), (16, 0), (24, u64::from(u32::MAX)), (32, !word(32))]
    {
        let address = arena::put(0, &token);
        flipping(session, at, [word(at), other], |_| match call(Call::Bind, &[address, 48]) {
            Ok(slot) => {
                let slot = Slot(slot as u32);
                ensure_eq!(sys::slot_query(slot)?, wanted, "what was bound");
                sys::unbind(slot)?;
                Ok(true)
            }
            Err(Error::BadToken) => Ok(false),
            Err(error) => Err(error.into()),
        })?;
    }
    Ok(())
}

fn map_requests_that_change_map_what_was_checked(session: &mut Session) -> Check {
    let (unit, page) = (session.take_frames(1), session.take_addresses(1));
    let (own, frames) = (session.environment.0.into(), u64::from(session.frames.0));
    let outside = session.frame_count + 3;
    let words = [page, DATA.0, frames | unit << 32];
    let address = arena::put_words(0, &words);
    flipping(session, 16, [words[2], frames | outside << 32], |session| {
        let done = match call(Call::Map, &[own, address, 1]) {
            Ok(1) => true,
            Err(Error::BadArgument) => false,
            other => ensure_eq_fail(other)?,
        };
        let mapped = call(Call::MappingCount, &[frames, unit])?;
        ensure_eq!(mapped, u64::from(done), "mappings of the one frame");
        session.unmap(session.environment, page, 1)?;
        Ok(done)
    })
}

fn ensure_eq_fail<T: core::fmt::Debug>(answer: Result<u64, Error>) -> Result<T, Failure> {
    Err(Failure::new(format_args!("an odd answer: {answer:?}")))
}

fn grants_that_change_delegate_what_was_checked(session: &mut Session) -> Check {
    let domain = Slot(call(Call::DomainCreate, &[NO_SLOT.into(), 0])? as u32);
    let unit = session.take_frames(1);
    let rights = u64::from(frame_rights().0) | u64::from(domain.0) << 32;
    let wide = u64::from(u16::MAX) | u64::from(domain.0) << 32;
    for (at, values) in [(8, [1, 1 << 40]), (0, [unit, session.frame_count]), (16, [rights, wide])]
    {
        let parameters = arena::put_words(0, &[unit, 1, rights]);
        let arguments = [session.frames.0.into(), parameters, arena::address(512)];
        flipping(session, at, values, |_| match call(Call::Grant, &arguments) {
            Ok(slot) => {
                let delegation = Slot(slot as u32);
                let info = sys::slot_query(delegation)?;
                ensure_eq!((info.count, info.rights), (1, frame_rights().0), "what was delegated");
                until_done(Call::Revoke, delegation)?;
                Ok(true)
            }
            Err(Error::BadArgument | Error::Denied | Error::Again) => Ok(false),
            other => ensure_eq_fail(other),
        })?;
    }
    until_done(Call::DomainDestroy, domain)?;
    Ok(())
}

fn parameters_that_change_are_checked_as_used(session: &mut Session) -> Check {
    const RIP_AT: usize = 56;
    let parameters = DispatcherParameters {
        frames: session.frames.0,
        unit: session.take_frames(1) as u32,
        page_address: child::PAGE,
        rip: NOWHERE,
        rsp: NOWHERE,
        upcalls_disabled: 1,
        ..DispatcherParameters::default()
    };
    let words = [
        u64::from(parameters.frames) | u64::from(parameters.unit) << 32,
        parameters.page_address,
        0,
        0,
        0,
        0,
        0,
        parameters.rip,
        parameters.rsp,
        0,
        0,
        1,
    ];
    let address = arena::put_words(0, &words);
    for bad in [0xFFFF_8000_0000_0000, 0x8000_0000_0000, u64::MAX] {
        flipping(session, RIP_AT, [NOWHERE, bad], |_| {
            let none = u64::from(NO_SLOT);
            let environment = call(Call::EnvironmentCreate, &[none, none])?;
            let environment = Slot(environment as u32);
            let answer = dispatcher_at(environment, address);
            until_done(Call::EnvironmentDestroy, environment)?;
            match answer {
                Ok(0) => Ok(true),
                Err(Error::BadArgument) => Ok(false),
                other => ensure_eq_fail(other),
            }
        })?;
    }
    Ok(())
}
