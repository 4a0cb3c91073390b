//! The kernel takes nothing but what was handed over, and gives it back.

use serix_abi::start::EndReason;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::child::{Child, Operation, Script, event, frame_rights, grant, until_done};
use serix_kernel_tests::raw::call;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

use crate::refuses_bad_slots;

pub(crate) const TESTS: &[Test] = tests!["accounting":
    funded_frames_are_the_kernels, bad_arguments_are_refused, events_end_at_the_account,
    environments_end_at_the_account, domains_end_at_the_account, mappings_end_at_the_account,
    a_share_bounds_what_a_domain_has, shares_come_back, slices_need_a_slot];

fn funded_frames_are_the_kernels(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let fund = |session: &Session| session.fund(Slot::NONE, session.frames, unit, 1);
    ensure_eq!(fund(session), Err(Error::Busy), "mapped");
    session.unmap(session.environment, page, 1)?;
    fund(session)?;
    ensure_eq!(fund(session), Err(Error::Denied), "twice");
    let map = session.map(session.environment, page, unit, 1, DATA);
    ensure_eq!(map, Err(Error::Denied), "map");
    Ok(())
}

fn bad_arguments_are_refused(session: &mut Session) -> Check {
    let (frames, none, last) = (session.frames, u64::from(NO_SLOT), session.frame_count);
    for (first, count) in [(0, 0), (last, 1), (u64::MAX, 1), (1, u64::MAX), (last - 1, 2)] {
        let answer = call(Call::Fund, &[none, frames.0.into(), first, count]);
        ensure!(answer == Err(Error::BadArgument), "{count:#x} from {first:#x}: {answer:?}");
    }
    let others = [session.log, session.environment, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::Fund, &others, |slot| [none, slot, 0, 1, 0, 0])?;
    refuses_bad_slots(Call::Fund, &others, |slot| [slot, frames.0.into(), 0, 1, 0, 0])
}

/// Makes objects until the account is empty, ends them all, and makes as many again.
fn exhaust(
    limit: usize,
    make: impl Fn() -> Result<u64, Error>,
    end: impl Fn(Slot) -> Result<u64, Error>,
) -> Check {
    let mut counts = [0; 2];
    for count in &mut counts {
        let mut made = [Slot::NONE; 1024];
        let error = loop {
            match make() {
                Ok(slot) => made[*count] = Slot(slot as u32),
                Err(error) => break error,
            }
            *count += 1;
        };
        ensure!(matches!(error, Error::NoFrames | Error::TableFull), "ended with {error:?}");
        for slot in &made[..*count] {
            end(*slot)?;
        }
    }
    ensure!(counts[0] > 0 && counts[0] <= limit, "{} objects", counts[0]);
    ensure_eq!(counts[0], counts[1], "objects the second time");
    Ok(())
}

fn events_end_at_the_account(_: &mut Session) -> Check {
    exhaust(1023, || call(Call::EventCreate, &[]), sys::unbind)
}

fn environments_end_at_the_account(_: &mut Session) -> Check {
    let none = u64::from(NO_SLOT);
    exhaust(
        1023,
        || call(Call::EnvironmentCreate, &[none, none]),
        |slot| until_done(Call::EnvironmentDestroy, slot),
    )
}

fn domains_end_at_the_account(_: &mut Session) -> Check {
    exhaust(
        1023,
        || call(Call::DomainCreate, &[NO_SLOT.into(), 0]),
        |slot| until_done(Call::DomainDestroy, slot),
    )
}

/// Page tables are the caller's to pay as well: one frame mapped far apart until no table is left.
fn mappings_end_at_the_account(session: &mut Session) -> Check {
    const START: u64 = 0x3000_4000_0000;
    let unit = session.take_frames(1);
    let environment =
        Slot(call(Call::EnvironmentCreate, &[NO_SLOT.into(), NO_SLOT.into()])? as u32);
    let mut error = None;
    for step in 0..400 {
        let answer = session.map(environment, START + step * (1 << 30), unit, 1, DATA);
        if answer.is_err() {
            error = answer.err();
            break;
        }
    }
    ensure_eq!(error, Some(Error::NoFrames));
    until_done(Call::EnvironmentDestroy, environment)?;
    ensure_eq!(call(Call::MappingCount, &[session.frames.0.into(), unit]), Ok(0));
    ensure!(
        call(Call::EventCreate, &[]).and_then(|slot| sys::unbind(Slot(slot as u32))).is_ok(),
        "frames did not come back"
    );
    Ok(())
}

/// Objects of a share in the tests below.
const SHARE: u64 = 40;

/// A domain with frames for more objects than its share: domain, its frames.
fn rich_domain(session: &mut Session, share: u64) -> Result<(Slot, Slot), Error> {
    const FRAMES: u64 = 200;
    let domain = Slot(call(Call::DomainCreate, &[NO_SLOT.into(), 0, share])? as u32);
    let first = session.take_frames(FRAMES);
    let (frames, _) = grant(session.frames, first, FRAMES, frame_rights(), domain)?;
    session.fund(domain, frames, 0, FRAMES)?;
    Ok((domain, frames))
}

fn end_of(domain: Slot, frames: Slot) -> Check {
    until_done(Call::DomainDestroy, domain)?;
    until_done(Call::Revoke, frames)?;
    Ok(())
}

/// A hostile domain makes what it can; another, and the test itself, still make theirs.
fn a_share_bounds_what_a_domain_has(session: &mut Session) -> Check {
    let (hostile, frames) = rich_domain(session, SHARE)?;
    let (other, other_frames) = rich_domain(session, SHARE)?;
    let make = |domain: Slot| call(Call::SubtreeCreate, &[domain.0.into()]);
    let fill = |domain: Slot| {
        let mut made = 0;
        loop {
            match make(domain) {
                Ok(_) => made += 1,
                Err(error) => break (made, error),
            }
        }
    };
    let (made, error) = fill(hostile);
    ensure_eq!(error, Error::TableFull, "after {made}");
    // Its node takes a part of it.
    ensure!((SHARE - 4..SHARE).contains(&made), "{made} objects of {SHARE}");
    let none = u64::from(NO_SLOT);
    let more = call(Call::EnvironmentCreate, &[hostile.0.into(), none]);
    ensure_eq!(more, Err(Error::TableFull), "of another kind");
    let event = call(Call::EventCreate, &[])?;
    ensure_eq!(fill(other), (made, Error::TableFull), "another domain");
    sys::unbind(Slot(event as u32))?;
    end_of(hostile, frames)?;
    end_of(other, other_frames)
}

fn shares_come_back(session: &mut Session) -> Check {
    let none = u64::from(NO_SLOT);
    let create = |share: u64| call(Call::DomainCreate, &[none, 0, share]);
    for share in [u64::from(u32::MAX), 1 << 20] {
        ensure_eq!(create(share), Err(Error::TableFull), "a share of {share}");
    }
    for share in [1 << 32, u64::MAX] {
        ensure_eq!(create(share), Err(Error::BadArgument), "a share of {share:#x}");
    }
    // The largest power of two that can be had: twice of it cannot.
    let (domain, share) = (0..20)
        .rev()
        .find_map(|bit| Some((create(1 << bit).ok()?, 1_u64 << bit)))
        .ok_or(Error::TableFull)?;
    ensure_eq!(create(share), Err(Error::TableFull), "twice");
    for _ in 0..3 {
        until_done(Call::DomainDestroy, Slot(domain as u32))?;
        ensure_eq!(create(share), Ok(domain), "again");
    }
    until_done(Call::DomainDestroy, Slot(domain as u32))?;
    // A domain gives no more than it has.
    let ended = event()?;
    let more =
        Operation::Call(Call::DomainCreate, [none, 0, 1 << 16, 0, 0, 0], Some(Error::TableFull));
    let less = Operation::Call(Call::DomainCreate, [none, 0, 1, 0, 0, 0], None);
    let script = Script { operations: &[more, less], bytes: &[] };
    let child = Child::new(session, ended, 0, script)?;
    let end = child.run(session, ended, &child.parameters())?;
    ensure_eq!(end, (EndReason::Exit as u32, 0));
    child.end()?;
    sys::unbind(ended)?;
    Ok(())
}

fn slices_need_a_slot(session: &mut Session) -> Check {
    let domain = call(Call::DomainCreate, &[NO_SLOT.into(), 0])?;
    let others = [session.frames, session.environment, session.log].map(|slot| slot.0.into());
    refuses_bad_slots(Call::SliceAssign, &others, |slot| [slot, 4, 1, domain, 0, 0])?;
    until_done(Call::DomainDestroy, Slot(domain as u32))?;
    Ok(())
}
