//! Subtrees: attached at several places, changed through one name.

use serix_abi::map::MapFlags;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::child::until_done;
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::Slot;

use crate::refuses_bad_slots;

pub(crate) const TESTS: &[Test] = tests!["subtrees":
    attached_ones_are_seen, read_only_attachments_stay_so, a_change_is_seen_at_all_places,
    attached_slots_are_the_subtrees, bad_arguments_are_refused, attached_ones_are_not_destroyed];

/// Bytes of a top-level slot.
const SLOT: u64 = 1 << 39;
/// An offset beyond session memory in use.
const OFFSET: u64 = 0x40_0000_0000;

fn create() -> Result<Slot, Error> {
    call(Call::SubtreeCreate, &[NO_SLOT.into()]).map(|slot| Slot(slot as u32))
}

fn attach(session: &Session, top: u64, subtree: Slot, writable: u64) -> Result<u64, Error> {
    let environment = session.environment.0.into();
    call(Call::Attach, &[environment, top, subtree.0.into(), writable])
}

fn detach(session: &Session, top: u64) -> Result<u64, Error> {
    attach(session, top, Slot::NONE, 0)
}

fn attached_ones_are_seen(session: &mut Session) -> Check {
    let (subtree, unit) = (create()?, session.take_frames(1));
    session.map(subtree, OFFSET, unit, 1, DATA)?;
    attach(session, 20, subtree, 1)?;
    raw::write(20 * SLOT + OFFSET, 6)?;
    ensure_eq!(raw::read(20 * SLOT + OFFSET)?, 6);
    // Growth is seen without attaching again.
    session.map(subtree, OFFSET + 4096, unit, 1, DATA)?;
    ensure_eq!(raw::read(20 * SLOT + OFFSET + 4096)?, 6);
    detach(session, 20)?;
    ensure!(raw::read(20 * SLOT + OFFSET).is_err(), "seen after it was detached");
    until_done(Call::SubtreeDestroy, subtree)?;
    let count = call(Call::MappingCount, &[session.frames.0.into(), unit]);
    ensure_eq!(count, Ok(0));
    Ok(())
}

fn read_only_attachments_stay_so(session: &mut Session) -> Check {
    let (subtree, unit) = (create()?, session.take_frames(1));
    session.map(subtree, OFFSET, unit, 1, DATA)?;
    attach(session, 21, subtree, 0)?;
    attach(session, 22, subtree, 1)?;
    raw::write(22 * SLOT + OFFSET, 8)?;
    ensure_eq!(raw::read(21 * SLOT + OFFSET)?, 8);
    ensure!(raw::write(21 * SLOT + OFFSET, 9).is_err(), "written through a read-only attachment");
    ensure_eq!(raw::read(22 * SLOT + OFFSET)?, 8);
    detach(session, 21)?;
    detach(session, 22)?;
    until_done(Call::SubtreeDestroy, subtree)?;
    Ok(())
}

/// A stale translation here would be a way into frames that the kernel got back.
fn a_change_is_seen_at_all_places(session: &mut Session) -> Check {
    let (subtree, unit) = (create()?, session.take_frames(2));
    attach(session, 23, subtree, 1)?;
    attach(session, 24, subtree, 1)?;
    let places = [23 * SLOT + OFFSET, 24 * SLOT + OFFSET];
    // The top-level part of an address means nothing to a subtree: any name for the same page will do.
    for name in [OFFSET, 23 * SLOT + OFFSET, 24 * SLOT + OFFSET, 200 * SLOT + OFFSET] {
        session.map(subtree, name, unit, 1, DATA)?;
        for place in places {
            raw::write(place, 1)?;
        }
        call(Call::Protect, &[subtree.0.into(), name, 1, MapFlags::NO_EXECUTE.0])?;
        for place in places {
            ensure!(raw::write(place, 2).is_err(), "{place:#x} writable, protected as {name:#x}");
        }
        session.map(subtree, name, unit + 1, 1, DATA)?;
        raw::write(places[0], 7)?;
        ensure_eq!(raw::read(places[1])?, 7, "replaced as {name:#x}");
        session.unmap(subtree, name, 1)?;
        for place in places {
            ensure!(raw::read(place).is_err(), "{place:#x} readable, unmapped as {name:#x}");
        }
    }
    detach(session, 23)?;
    detach(session, 24)?;
    until_done(Call::SubtreeDestroy, subtree)?;
    Ok(())
}

fn attached_slots_are_the_subtrees(session: &mut Session) -> Check {
    let (subtree, unit) = (create()?, session.take_frames(1));
    attach(session, 25, subtree, 1)?;
    let answer = session.map(session.environment, 25 * SLOT + OFFSET, unit, 1, DATA);
    ensure_eq!(answer, Err(Error::BadArgument), "map through the environment");
    ensure_eq!(attach(session, 25, subtree, 1), Err(Error::Busy), "in use");
    detach(session, 25)?;
    until_done(Call::SubtreeDestroy, subtree)?;
    Ok(())
}

fn bad_arguments_are_refused(session: &mut Session) -> Check {
    let subtree = create()?;
    for top in [256, 300, 511, 512, 0xFFFF, 0x1_0000, u64::MAX] {
        let answer = attach(session, top, subtree, 1);
        ensure!(answer == Err(Error::BadArgument), "at {top:#x}: {answer:?}");
        let answer = detach(session, top);
        ensure!(answer == Err(Error::BadArgument), "detach {top:#x}: {answer:?}");
    }
    for writable in [2, 1 << 32, u64::MAX] {
        ensure_eq!(attach(session, 26, subtree, writable), Err(Error::BadArgument), "writable");
    }
    ensure_eq!(detach(session, 26), Err(Error::BadArgument), "nothing attached");
    let own = session.environment.0.into();
    let others = [session.frames, session.log, session.environment].map(|slot| slot.0.into());
    refuses_bad_slots(Call::Attach, &others, |slot| [own, 26, slot, 1, 0, 0])?;
    let others = [session.frames, session.log, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::Attach, &others, |slot| [slot, 26, subtree.0.into(), 1, 0, 0])?;
    refuses_bad_slots(Call::SubtreeDestroy, &others[..2], |slot| [slot, 0, 0, 0, 0, 0])?;
    until_done(Call::SubtreeDestroy, subtree)?;
    Ok(())
}

fn attached_ones_are_not_destroyed(session: &mut Session) -> Check {
    let subtree = create()?;
    attach(session, 27, subtree, 1)?;
    ensure_eq!(call(Call::SubtreeDestroy, &[subtree.0.into()]), Err(Error::Busy), "attached");
    let own = call(Call::SubtreeDestroy, &[session.memory.0.into()]);
    ensure_eq!(own, Err(Error::Busy), "session memory");
    detach(session, 27)?;
    until_done(Call::SubtreeDestroy, subtree)?;
    Ok(())
}
