//! Environments, dispatchers, copy-on-write, and switching between environments.

use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::child::{self, Child, Helper, Operation, Script, event, until_done};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, arena, ensure, ensure_eq, tests};
use serix_sys::Slot;

use crate::{BAD_ADDRESSES, BAD_PAGES, EMPTY_SLOT, refuses_bad_slots};

pub(crate) const TESTS: &[Test] = tests!["environments":
    they_come_and_go, bad_arguments_are_refused, the_own_one_stays, copy_shares_and_marks,
    copy_refuses_what_it_should, dispatchers_refuse_bad_parameters, entries_refuse_bad_addresses,
    yielding_refuses_what_cannot_run, yielding_goes_there_and_back,
    leaving_ends_an_environment, foreign_spaces_take_no_own_frames];

fn create() -> Result<Slot, Error> {
    let none = u64::from(NO_SLOT);
    call(Call::EnvironmentCreate, &[none, none]).map(|slot| Slot(slot as u32))
}

fn they_come_and_go(session: &mut Session) -> Check {
    let (unit, page) = (session.take_frames(1), session.take_addresses(1));
    for window in [1, 10, 255, u64::from(NO_SLOT)] {
        let slot = Slot(call(Call::EnvironmentCreate, &[NO_SLOT.into(), window])? as u32);
        session.map(slot, page, unit, 1, DATA)?;
        ensure_eq!(call(Call::MappingCount, &[session.frames.0.into(), unit]), Ok(1));
        until_done(Call::EnvironmentDestroy, slot)?;
        ensure_eq!(call(Call::MappingCount, &[session.frames.0.into(), unit]), Ok(0));
        let gone = call(Call::EnvironmentDestroy, &[slot.0.into()]);
        ensure_eq!(gone, Err(Error::BadSlot));
    }
    Ok(())
}

fn bad_arguments_are_refused(session: &mut Session) -> Check {
    for window in [256, 511, 1 << 32, u64::MAX] {
        let answer = call(Call::EnvironmentCreate, &[NO_SLOT.into(), window]);
        ensure!(answer == Err(Error::BadArgument), "window at {window:#x}: {answer:?}");
    }
    let others = [session.frames, session.log, session.environment].map(|slot| slot.0.into());
    let none = u64::from(NO_SLOT);
    refuses_bad_slots(Call::EnvironmentCreate, &others, |slot| [slot, none, 0, 0, 0, 0])?;
    let others = [session.frames, session.log, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::EnvironmentDestroy, &others, |slot| [slot, 0, 0, 0, 0, 0])
}

fn the_own_one_stays(session: &mut Session) -> Check {
    let own = session.environment.0.into();
    ensure_eq!(call(Call::EnvironmentDestroy, &[own]), Err(Error::BadArgument));
    Ok(())
}

fn copy_shares_and_marks(session: &mut Session) -> Check {
    let (unit, pages) = (session.take_frames(3), session.take_addresses(3));
    let own = session.environment;
    session.map(own, pages, unit, 1, DATA)?;
    session.map(own, pages + 4096, unit + 1, 1, DATA.with(MapFlags::SHARED))?;
    session.map(own, pages + 8192, unit + 2, 1, MapFlags::NO_EXECUTE)?;
    raw::write(pages, 41)?;
    let copy = create()?;
    let range = [own.0.into(), copy.0.into(), pages - 4096, 5];
    ensure_eq!(call(Call::CopyRange, &range), Ok(5));
    for index in 0..3 {
        let count = call(Call::MappingCount, &[session.frames.0.into(), unit + index]);
        ensure_eq!(count, Ok(2), "frame {index}");
    }
    ensure!(raw::write(pages, 42).is_err(), "a private page is writable after the copy");
    raw::write(pages + 4096, 43)?;
    ensure_eq!(raw::read(pages)?, 41);
    until_done(Call::EnvironmentDestroy, copy)?;
    call(Call::Protect, &[own.0.into(), pages, 1, DATA.0])?;
    raw::write(pages, 44)?;
    Ok(())
}

fn copy_refuses_what_it_should(session: &mut Session) -> Check {
    let own = u64::from(session.environment.0);
    let copy = create()?;
    let page = session.take_addresses(1);
    ensure_eq!(call(Call::CopyRange, &[own, own, page, 1]), Err(Error::BadArgument), "itself");
    for bad in BAD_PAGES {
        let answer = call(Call::CopyRange, &[own, copy.0.into(), bad, 1]);
        ensure!(answer == Err(Error::BadArgument), "at {bad:#x}: {answer:?}");
    }
    let others = [session.frames, session.log, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::CopyRange, &others, |slot| [slot, own, page, 1, 0, 0])?;
    refuses_bad_slots(Call::CopyRange, &others, |slot| [own, slot, page, 1, 0, 0])?;
    let event = event()?;
    let child = Child::new(session, event, 0, Script::default())?;
    let foreign = [own, child.environment.0.into(), page, 1];
    let answer = call(Call::CopyRange, &foreign);
    ensure!(matches!(answer, Err(Error::BadArgument | Error::Denied)), "foreign: {answer:?}");
    child.end()?;
    until_done(Call::EnvironmentDestroy, copy)?;
    Ok(())
}

/// Parameters with one thing wrong each.
fn bad_parameters(good: &DispatcherParameters) -> [(&'static str, DispatcherParameters); 10] {
    const KERNEL: u64 = 0xFFFF_8000_0000_0000;
    const HOLE: u64 = 0x8000_0000_0000;
    [
        ("kernel rip", DispatcherParameters { rip: KERNEL, ..*good }),
        ("non-canonical rip", DispatcherParameters { rip: HOLE, ..*good }),
        ("last page rip", DispatcherParameters { rip: HOLE - 4096, ..*good }),
        ("non-canonical GS base", DispatcherParameters { gs_base: HOLE, ..*good }),
        ("kernel GS base", DispatcherParameters { gs_base: KERNEL, ..*good }),
        ("kernel fault entry", DispatcherParameters { fault_entry: KERNEL, ..*good }),
        ("non-canonical foreign entry", DispatcherParameters { foreign_entry: HOLE, ..*good }),
        ("kernel event entry", DispatcherParameters { event_entry: u64::MAX, ..*good }),
        ("misaligned page", DispatcherParameters { page_address: child::PAGE + 8, ..*good }),
        ("flag 2", DispatcherParameters { upcalls_disabled: 2, ..*good }),
    ]
}

fn dispatchers_refuse_bad_parameters(session: &mut Session) -> Check {
    let event = event()?;
    let child = Child::new(session, event, 1, Script::default())?;
    let good = child.parameters();
    for (name, parameters) in bad_parameters(&good) {
        let answer = raw::dispatcher(child.environment, &parameters);
        ensure!(answer == Err(Error::BadArgument), "{name}: {answer:?}");
    }
    for page_address in [0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xFFFF_8000_0000_0000] {
        let parameters = DispatcherParameters { page_address, ..good };
        let answer = raw::dispatcher(child.environment, &parameters);
        ensure!(answer == Err(Error::BadArgument), "page at {page_address:#x}: {answer:?}");
    }
    let frames = |frames: u32, unit: u32| DispatcherParameters { frames, unit, ..good };
    let with = |parameters| raw::dispatcher(child.environment, &parameters);
    ensure_eq!(with(frames(EMPTY_SLOT as u32, 2)), Err(Error::BadSlot), "no slot");
    ensure_eq!(with(frames(session.log.0, 0)), Err(Error::BadSlot), "the log");
    ensure_eq!(with(frames(good.frames, u32::MAX)), Err(Error::BadArgument), "unit");
    ensure_eq!(with(frames(session.frames.0, 0)), Err(Error::Denied), "the parent's frame");
    ensure_eq!(with(frames(good.frames, 5)), Err(Error::Denied), "a frame of the account");
    for address in BAD_ADDRESSES {
        let answer = call(Call::DispatcherCreate, &[child.environment.0.into(), address]);
        ensure!(answer == Err(Error::BadAddress), "parameters at {address:#x}: {answer:?}");
    }
    ensure_eq!(with(good), Ok(0), "good parameters");
    ensure_eq!(call(Call::DomainStatus, &[child.domain.0.into()]), Ok(0));
    child.end()?;
    serix_sys::call::unbind(event)?;
    Ok(())
}

fn entries_refuse_bad_addresses(session: &mut Session) -> Check {
    for bad in [0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xFFFF_8000_0000_0000, u64::MAX] {
        let wrong = [
            DispatcherParameters { fault_entry: bad, ..DispatcherParameters::default() },
            DispatcherParameters { foreign_entry: bad, ..DispatcherParameters::default() },
            DispatcherParameters { event_entry: bad, ..DispatcherParameters::default() },
        ];
        for parameters in wrong {
            let answer = raw::entries(session, &parameters);
            ensure!(answer == Err(Error::BadArgument), "{parameters:x?}: {answer:?}");
        }
    }
    let own = u64::from(session.environment.0);
    let words = [0; 12];
    let parameters = arena::put_words(0, &words);
    for number in [1, 15, 16, 1 << 32, u64::MAX] {
        let answer = call(Call::DispatcherEntries, &[own, number, parameters]);
        ensure!(answer == Err(Error::BadArgument), "dispatcher {number}: {answer:?}");
    }
    ensure!(raw::read(raw::NOWHERE).is_err(), "the good entries are still set");
    Ok(())
}

fn yielding_refuses_what_cannot_run(session: &mut Session) -> Check {
    let others = [session.frames, session.log, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::YieldTo, &others, |slot| [slot, 0, 0, 0, 0, 0])?;
    ensure_eq!(call(Call::YieldTo, &[session.environment.0.into()]), Ok(0), "to itself");
    let empty = create()?;
    let answer = call(Call::YieldTo, &[empty.0.into()]);
    ensure!(answer.is_err(), "to an environment without dispatcher: {answer:?}");
    until_done(Call::EnvironmentDestroy, empty)?;
    let event = event()?;
    let child = Child::new(session, event, 0, Script::default())?;
    raw::dispatcher(child.environment, &child.parameters())?;
    let answer = call(Call::YieldTo, &[child.environment.0.into()]);
    ensure_eq!(answer, Err(Error::Denied), "to another domain");
    child.end()?;
    Ok(())
}

/// Where a helper's script counts its turns, in its own page.
const TURNS: u64 = 3072;

fn yielding_goes_there_and_back(session: &mut Session) -> Check {
    let own = u64::from(session.environment.0);
    let back = Operation::Call(Call::YieldTo, [own, 0, 0, 0, 0, 0], None);
    let turn = |number| Operation::Write(child::SCRIPT + TURNS, number);
    let helper = Helper::new(session, &[turn(1), back, turn(2), back, turn(3), back, back])?;
    for number in 1..=3 {
        ensure_eq!(call(Call::YieldTo, &[helper.environment.0.into()]), Ok(0));
        ensure_eq!(raw::read(helper.script_page + TURNS)?, number, "turn {number}");
    }
    until_done(Call::EnvironmentDestroy, helper.environment)?;
    ensure!(call(Call::YieldTo, &[helper.environment.0.into()]).is_err(), "to what is gone");
    Ok(())
}

fn leaving_ends_an_environment(session: &mut Session) -> Check {
    let own = u64::from(session.environment.0);
    // The helper's own slot is the next that an environment gets: it is the first free one now.
    let next = call(Call::EventCreate, &[])?;
    serix_sys::call::unbind(Slot(next as u32))?;
    let wrong =
        Operation::Call(Call::EnvironmentLeave, [own, next, 0, 0, 0, 0], Some(Error::BadArgument));
    let leave = Operation::Call(Call::EnvironmentLeave, [next, own, 0, 0, 0, 0], None);
    let turn = Operation::Write(child::SCRIPT + TURNS, 1);
    let never = Operation::Write(child::SCRIPT + TURNS, 2);
    let helper = Helper::new(session, &[wrong, turn, leave, never])?;
    ensure_eq!(u64::from(helper.environment.0), next, "the helper's slot");
    ensure_eq!(call(Call::YieldTo, &[next]), Ok(0));
    ensure_eq!(raw::read(helper.script_page + TURNS)?, 1);
    ensure!(call(Call::YieldTo, &[next]).is_err(), "to what has left");
    until_done(Call::EnvironmentDestroy, helper.environment)?;
    Ok(())
}

fn foreign_spaces_take_no_own_frames(session: &mut Session) -> Check {
    let event = event()?;
    let child = Child::new(session, event, 0, Script::default())?;
    let unit = session.take_frames(1);
    let answer = session.map(child.environment, child::STACK_END, unit, 1, DATA);
    ensure_eq!(answer, Err(Error::Denied), "own frame in the child's environment");
    child.end()?;
    Ok(())
}
