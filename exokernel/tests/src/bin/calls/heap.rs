//! The kernel's own memory: whatever is asked for until it is refused, of every call that makes something, none of it is used.

use core::cell::Cell;
use core::mem::offset_of;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::info::{Counters, InfoPage};
use serix_abi::token::Rights;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::child::{event, frame_rights, grant, until_done};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Failure, Session, Test, ensure, ensure_eq, tests};
use serix_session::{INFO_ADDRESS, Purpose};
use serix_sys::{Slot, call as sys};

pub(crate) const TESTS: &[Test] = tests!["heap":
    objects, dispatchers_and_gates, delegations_and_slots, page_tables, records_and_entries];

const NONE: u64 = NO_SLOT as u64;

/// Bytes of the kernel's heap that are in use.
fn heap() -> Result<u64, Failure> {
    let offset = offset_of!(InfoPage, counters) + offset_of!(Counters, heap_bytes);
    let bytes = raw::read(INFO_ADDRESS + offset as u64)?;
    ensure!(bytes > 100_000, "the kernel's tables are there: {bytes} bytes");
    Ok(bytes)
}

/// Makes something until it is refused, and ends all of it; how many there were. The kernel's heap is as before all the while.
fn drive(
    what: &str,
    make: impl Fn() -> Result<u64, Error>,
    end: impl Fn(Slot) -> Result<u64, Error>,
) -> Result<usize, Failure> {
    let before = heap()?;
    let (mut made, mut count) = ([Slot::NONE; 1024], 0);
    let error = loop {
        match make() {
            Ok(slot) => made[count] = Slot(slot as u32),
            Err(error) => break error,
        }
        count += 1;
        ensure_eq!(heap()?, before, "{what}: after {count}");
    };
    ensure!(matches!(error, Error::NoFrames | Error::TableFull), "{what}: {error:?}");
    ensure_eq!(heap()?, before, "{what}: refused");
    for slot in &made[..count] {
        end(*slot)?;
    }
    ensure_eq!(heap()?, before, "{what}: ended");
    Ok(count)
}

fn objects(session: &mut Session) -> Check {
    let destroy = |what: Call| move |slot| until_done(what, slot);
    let create = |what: Call, arguments: [u64; 2]| move || call(what, &arguments);
    let rings = session.take_frames(300);
    let (next, event) = (Cell::new(rings), event()?);
    let ring = || {
        let unit = next.replace(next.get() + 1);
        call(Call::RingCreate, &[session.frames.0.into(), unit, event.0.into(), 1])
    };
    let counts = [
        drive("domains", create(Call::DomainCreate, [NONE, 0]), destroy(Call::DomainDestroy))?,
        drive(
            "environments",
            create(Call::EnvironmentCreate, [NONE, NONE]),
            destroy(Call::EnvironmentDestroy),
        )?,
        drive("subtrees", create(Call::SubtreeCreate, [NONE, 0]), destroy(Call::SubtreeDestroy))?,
        drive("events", create(Call::EventCreate, [0, 0]), sys::unbind)?,
        drive("rings", ring, destroy(Call::RingDestroy))?,
    ];
    ensure!(counts.iter().all(|count| *count > 20), "{counts:?}");
    sys::unbind(event)?;
    Ok(())
}

fn dispatchers_and_gates(session: &mut Session) -> Check {
    let pages = session.take_frames(17);
    let environment = Slot(call(Call::EnvironmentCreate, &[NONE, NONE])? as u32);
    let next = Cell::new(0);
    let dispatcher = || {
        let number = next.replace(next.get() + 1);
        let parameters = DispatcherParameters {
            frames: session.frames.0,
            unit: (pages + number) as u32,
            page_address: 0x2_0000_0000 + number * 4096,
            rip: 0x1000,
            rsp: 0x2000,
            upcalls_disabled: 1,
            ..DispatcherParameters::default()
        };
        raw::dispatcher(environment, &parameters)
    };
    // Numbers, not slots: they end with their environment.
    ensure_eq!(drive("dispatchers", dispatcher, |_| Ok(0))?, 16);
    let gate = || call(Call::GateCreate, &[environment.0.into(), 0, 0x1000, 0x2000]);
    ensure_eq!(drive("gates", gate, sys::unbind)?, 16);
    let before = heap()?;
    until_done(Call::EnvironmentDestroy, environment)?;
    ensure_eq!(heap()?, before, "its end");
    Ok(())
}

fn delegations_and_slots(session: &mut Session) -> Check {
    let event = event()?;
    let none = Slot(NO_SLOT);
    let bearer = || grant(event, 0, 1, Rights::SIGNAL, none).map(|(slot, _)| slot.0.into());
    let revoke = |slot| until_done(Call::Revoke, slot);
    ensure!(drive("delegations", bearer, revoke)? > 100, "few delegations");
    let domain = Slot(call(Call::DomainCreate, &[NONE, 0])? as u32);
    let (first, given) = (session.take_frames(1024), Cell::new(0));
    let frames = || {
        let unit = first + given.replace(given.get() + 1);
        grant(session.frames, unit, 1, frame_rights(), domain).map(|(slot, _)| slot.0.into())
    };
    ensure!(drive("frames", frames, revoke)? > 100, "few frames");
    until_done(Call::DomainDestroy, domain)?;
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    ensure!(
        drive("slots", || sys::bind(&token).map(|slot| slot.0.into()), sys::unbind)? > 100,
        "few slots"
    );
    sys::unbind(event)?;
    Ok(())
}

fn page_tables(session: &mut Session) -> Check {
    const START: u64 = 0x3000_4000_0000;
    let unit = session.take_frames(1);
    let environment = Slot(call(Call::EnvironmentCreate, &[NONE, NONE])? as u32);
    let subtree = Slot(call(Call::SubtreeCreate, &[NONE])? as u32);
    let before = heap()?;
    for (space, what) in [(environment, "environment"), (subtree, "subtree")] {
        let mut refused = None;
        for step in 0..400 {
            // Of a subtree only the lower part of the address counts; its first part looks like the test's own memory.
            let at = if space == subtree { (step % 511 + 1) << 30 } else { START + (step << 30) };
            match session.map(space, at, unit, 1, DATA) {
                Ok(()) => ensure_eq!(heap()?, before, "{what}: after {step}"),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        ensure_eq!(refused, Some(Error::NoFrames), "{what}");
        let end = if space == subtree { Call::SubtreeDestroy } else { Call::EnvironmentDestroy };
        until_done(end, space)?;
        ensure_eq!(heap()?, before, "{what}: ended");
    }
    Ok(())
}

/// Calls that could keep something for their caller, and have one place for it.
fn records_and_entries(session: &mut Session) -> Check {
    let (unit, event) = (session.take_frames(1), event()?);
    let before = heap()?;
    let record = [session.frames.0.into(), unit, event.0.into(), 1];
    ensure_eq!(call(Call::RecordSet, &record), Ok(0), "record");
    ensure_eq!(call(Call::RecordSet, &record), Err(Error::Busy), "another");
    let page = session.take_addresses(1);
    for _ in 0..100 {
        call(Call::InfoMap, &[session.environment.0.into(), page])?;
    }
    session.unmap(session.environment, page, 1)?;
    ensure_eq!(heap()?, before, "afterwards");
    Ok(())
}
