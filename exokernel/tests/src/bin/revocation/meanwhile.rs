//! What a domain does while it is being revoked, step by step: it forks, and it binds parts of what is taken.
use serix_abi::start::EndReason;
use serix_abi::token::{Caveat, Range};
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, TARGET, encode, event, frame_rights, grant, until_done,
};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::{DATA, Session};
use serix_kernel_tests::{Check, Failure, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

pub(crate) const TESTS: &[Test] =
    tests!["meanwhile": it_forks_while_it_is_revoked, its_parts_are_bound_while_it_is_revoked];

/// Frames that are taken: several steps of a revocation.
const FRAMES: u64 = 96;
const MS: u64 = 1_000_000;
/// Slots of the child: its frames, its event, the environment that it forks.
const OWN_FRAMES: u64 = 0;
const OWN_EVENT: u64 = 1;

fn answers(what: Call, arguments: [u64; 6], answer: Option<Error>) -> Operation {
    Operation::Call(what, arguments, answer)
}

/// Waits until a time; what it waits for never comes.
fn until(deadline: u64) -> Operation {
    answers(Call::EventWait, [OWN_EVENT, 1, deadline, 0, 0, 0], Some(Error::TimedOut))
}

fn pause(until: u64) -> Check {
    let never = event()?;
    let waited = call(Call::EventWait, &[never.0.into(), 1, until]);
    ensure_eq!(waited, Err(Error::TimedOut), "the test's own clock");
    sys::unbind(never)?;
    Ok(())
}

/// A child that runs `operations`, with the bytes at `BYTES` that `bytes` makes of the token of its frames.
fn child(
    session: &mut Session,
    ended: Slot,
    unit: u64,
    operations: &[Operation],
    bytes: impl FnOnce(&[u8; 48]) -> Result<([u8; 480], usize), Failure>,
) -> Result<(Child, Slot), Failure> {
    let frames = session.frames;
    let mut failed = None;
    let (child, wanted) = Child::with_page_for(session, ended, Script::default(), |domain| {
        let (wanted, token) = grant(frames, unit, FRAMES, frame_rights(), domain)?;
        let (bytes, length) = bytes(&token).unwrap_or_else(|failure| {
            failed = Some(failure);
            ([0; 480], 0)
        });
        Ok((encode(Script { operations, bytes: &bytes[..length] }), wanted))
    })?;
    child.second_environment()?;
    child.give_slice(session)?;
    failed.map_or(Ok((child, wanted)), Err)
}

/// The frames are the test's again: mapped nowhere, and zero.
fn are_back(session: &mut Session, unit: u64) -> Check {
    let page = session.take_addresses(1);
    for frame in unit..unit + FRAMES {
        let count = call(Call::MappingCount, &[session.frames.0.into(), frame]);
        ensure_eq!(count, Ok(0), "mappings of frame {}", frame - unit);
        session.map(session.environment, page, frame, 1, DATA)?;
        ensure_eq!(raw::read(page)?, 0, "frame {}", frame - unit);
    }
    session.unmap(session.environment, page, 1)?;
    Ok(())
}

fn ends_well(child: Child, ended: Slot) -> Check {
    call(Call::EventWait, &[ended.0.into(), 1, raw::now_ns() + 5_000 * MS])?;
    let status = call(Call::DomainStatus, &[child.domain.0.into()])?;
    ensure_eq!(status, (EndReason::Exit as u64) << 32, "its script");
    child.end()?;
    sys::unbind(ended)?;
    Ok(())
}

/// Each fork maps what is still to be taken once more.
fn it_forks_while_it_is_revoked(session: &mut Session) -> Check {
    const PARENT: u64 = 2;
    const FORKS: u64 = 4;
    let (ended, unit) = (event()?, session.take_frames(FRAMES));
    let start = raw::now_ns();
    let none = u64::from(NO_SLOT);
    let make = answers(Call::EnvironmentCreate, [none, none, 0, 0, 0, 0], None);
    let map = [PARENT, TARGET, OWN_FRAMES, 0, FRAMES, DATA.0];
    let mut script = [Operation::Spin(0); 5 + 3 * FORKS as usize];
    script[..4].copy_from_slice(&[
        answers(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None),
        answers(Call::EventCreate, [0; 6], None),
        make,
        answers(Call::MapRange, map, None),
    ]);
    for fork in 0..FORKS {
        let copy = [PARENT, PARENT + 1 + fork, TARGET, FRAMES, 0, 0];
        script[4 + 3 * fork as usize..][..3].copy_from_slice(&[
            until(start + (60 + 30 * fork) * MS),
            make,
            answers(Call::CopyRange, copy, None),
        ]);
    }
    script[4 + 3 * FORKS as usize] = answers(Call::MapRange, map, Some(Error::Stale));
    let bytes = |token: &[u8; 48]| {
        let mut bytes = [0; 480];
        bytes[..48].copy_from_slice(token);
        Ok((bytes, 48))
    };
    let (child, wanted) = child(session, ended, unit, &script, bytes)?;
    let (mut steps, mut at) = (0, start + 50 * MS);
    loop {
        pause(at)?;
        match call(Call::Revoke, &[wanted.0.into(), 0, 0, 0]) {
            Err(Error::Again) => (steps, at) = (steps + 1, raw::now_ns() + 15 * MS),
            other => break ensure_eq!(other, Ok(0), "after {steps} steps"),
        }
    }
    ensure!(steps > 4, "only {steps} steps: nothing was under way");
    are_back(session, unit)?;
    ends_well(child, ended)
}

/// In the middle of the revocation neither new bindings of parts nor those of before are worth anything.
fn its_parts_are_bound_while_it_is_revoked(session: &mut Session) -> Check {
    const PARTS: u64 = 3;
    const NARROWED: u64 = 80;
    let (ended, unit) = (event()?, session.take_frames(FRAMES));
    let start = raw::now_ns();
    let none = u64::from(NO_SLOT);
    let bind = |part: u64, answer| {
        answers(Call::Bind, [BYTES + NARROWED * part, NARROWED, 0, 0, 0, 0], answer)
    };
    let map = |slot: u64, answer| {
        answers(Call::MapRange, [2, TARGET + (slot << 24), slot, 0, 4, DATA.0], answer)
    };
    let script = [
        bind(0, None),
        answers(Call::EventCreate, [0; 6], None),
        answers(Call::EnvironmentCreate, [none, none, 0, 0, 0, 0], None),
        bind(1, None),
        map(0, None),
        until(start + 100 * MS),
        // The first step was made, others are to come.
        bind(2, Some(Error::Stale)),
        bind(0, Some(Error::Stale)),
        map(0, Some(Error::Stale)),
        map(3, Some(Error::Stale)),
        until(start + 200 * MS),
        bind(1, Some(Error::Stale)),
    ];
    let parts = |token: &[u8; 48]| {
        let base = u64::from_le_bytes(token[16..24].try_into().expect("eight bytes"));
        let mut bytes = [0; 480];
        for part in 0..PARTS {
            let range = Some(Range { base: base + part * FRAMES / PARTS, count: 8 });
            let narrowed = Token::from_bytes(token)
                .and_then(|token| token.attenuate(&Caveat { range, ..Caveat::NOTHING }))
                .ok_or(Error::BadToken)?;
            let at = (part * NARROWED) as usize;
            bytes[at..at + NARROWED as usize].copy_from_slice(narrowed.as_bytes());
        }
        Ok((bytes, (PARTS * NARROWED) as usize))
    };
    let (child, wanted) = child(session, ended, unit, &script, parts)?;
    pause(start + 50 * MS)?;
    let first = call(Call::Revoke, &[wanted.0.into(), 0, 0, 0]);
    ensure_eq!(first, Err(Error::Again), "the first step");
    pause(start + 150 * MS)?;
    until_done(Call::Revoke, wanted)?;
    are_back(session, unit)?;
    ends_well(child, ended)
}
