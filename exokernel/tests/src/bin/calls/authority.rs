//! Bind, unbind, grant, revoke, query, domains.

use serix_abi::token::{Caveat, Kind, Range, Rights};
use serix_abi::{Call, Error};
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::child::{Child, Script, event, frame_rights, grant, until_done};
use serix_kernel_tests::raw::{self, NOWHERE, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, arena, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

use crate::{BAD_ADDRESSES, EMPTY_SLOT, refuses_bad_slots};

pub(crate) const TESTS: &[Test] = tests!["authority":
    fresh_frames_are_zero, bind_refuses_bad_lengths, bind_refuses_bad_memory, slots_can_be_emptied_once,
    query_tells_each_slot, query_refuses_bad_memory, attenuated_rights_bind_so,
    grant_moves_frames_and_revoke_brings_them_back, grant_refuses_what_it_should,
    a_grant_held_up_goes_on, overlapping_grants_are_refused, revoke_needs_a_delegation, console_without_grant_stays,
    domains_come_and_go, destroyed_domains_leave_no_names];

/// Last: a kernel that fails here fails whatever grants frames afterwards.
pub(crate) const LAST: &[Test] = tests!["authority": a_grant_given_up_blocks_nothing];

/// Of the frames that nothing of the session used yet: nothing is left of firmware, loader, or whoever ran before.
fn fresh_frames_are_zero(session: &mut Session) -> Check {
    const BATCH: u64 = 256;
    let address = session.take_addresses(BATCH);
    let first = session.next_frames();
    let mut unit = first.start;
    while unit < first.end {
        let count = BATCH.min(first.end - unit);
        session.map(session.environment, address, unit, count, DATA)?;
        for at in (0..count * 4096).step_by(64) {
            let found = raw::read(address + at)?;
            ensure!(found == 0, "{found:#x} in unit {}", unit + at / 4096);
        }
        session.unmap(session.environment, address, count)?;
        unit += count;
    }
    Ok(())
}

fn bind_refuses_bad_lengths(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    let address = arena::put(0, &token);
    for length in [0, 1, 47, 49, 79, 80, 176, 177, 4096, 1 << 32, u64::MAX] {
        let answer = call(Call::Bind, &[address, length]);
        ensure!(answer == Err(Error::BadToken), "{length} bytes: {answer:?}");
    }
    Ok(())
}

fn bind_refuses_bad_memory(session: &mut Session) -> Check {
    for address in BAD_ADDRESSES {
        let answer = call(Call::Bind, &[address, 48]);
        ensure!(answer == Err(Error::BadAddress), "token at {address:#x}: {answer:?}");
    }
    let (_, page) = session.take_page()?;
    ensure_eq!(call(Call::Bind, &[page + 4096 - 40, 48]), Err(Error::BadAddress));
    Ok(())
}

fn slots_can_be_emptied_once(session: &mut Session) -> Check {
    for purpose in [Purpose::Log, Purpose::Frames, Purpose::Environment, Purpose::SessionMemory] {
        let token = session.token(purpose).ok_or(Error::BadToken)?;
        let (first, second) = (sys::bind(&token)?, sys::bind(&token)?);
        ensure!(first != second, "{purpose:?}: one slot twice");
        for slot in [second, first] {
            let emptied = sys::unbind(slot);
            ensure!(emptied.is_ok(), "{purpose:?}: {emptied:?}");
            ensure_eq!(sys::unbind(slot), Err(Error::BadSlot));
        }
    }
    refuses_bad_slots(Call::Unbind, &[], |slot| [slot, 0, 0, 0, 0, 0])
}

fn query_tells_each_slot(session: &mut Session) -> Check {
    let kinds = [
        (session.frames, Kind::Frames),
        (session.environment, Kind::Environment),
        (session.log, Kind::Console),
    ];
    for (slot, kind) in kinds {
        let info = sys::slot_query(slot)?;
        ensure_eq!(info.kind, kind as u16, "kind of slot {}", slot.0);
        ensure!(Rights::ALL.has(Rights(info.rights)), "unknown right in {:#x}", info.rights);
    }
    ensure_eq!(sys::slot_query(session.frames)?.count, session.frame_count);
    let address = arena::address(0);
    refuses_bad_slots(Call::SlotQuery, &[], |slot| [slot, address, 0, 0, 0, 0])
}

fn query_refuses_bad_memory(session: &mut Session) -> Check {
    let slot = session.frames.0.into();
    for address in BAD_ADDRESSES {
        let answer = call(Call::SlotQuery, &[slot, address]);
        ensure!(answer == Err(Error::BadAddress), "answer to {address:#x}: {answer:?}");
    }
    let (unit, page) = session.take_page()?;
    session.map(session.environment, page, unit, 1, serix_abi::map::MapFlags::NO_EXECUTE)?;
    ensure_eq!(call(Call::SlotQuery, &[slot, page]), Err(Error::BadAddress), "read-only page");
    Ok(())
}

/// Binds the frame token narrowed by a caveat.
fn narrowed(session: &Session, caveat: &Caveat) -> Result<Slot, Error> {
    let token = session.token(Purpose::Frames).ok_or(Error::BadToken)?;
    let token = Token::from_bytes(&token).and_then(|token| token.attenuate(caveat));
    sys::bind(token.ok_or(Error::BadToken)?.as_bytes())
}

fn attenuated_rights_bind_so(session: &mut Session) -> Check {
    let (unit, address) = (session.take_frames(1), session.take_addresses(1));
    let environment = session.environment.0.into();
    let map = |slot: Slot, unit: u64, flags: u64| {
        call(Call::MapRange, &[environment, address, slot.0.into(), unit, 1, flags])
    };
    let rights = Rights::READ.with(Rights::MAP);
    let reads = narrowed(session, &Caveat { rights, ..Caveat::NOTHING })?;
    ensure_eq!(sys::slot_query(reads)?.rights, rights.0);
    ensure_eq!(map(reads, unit, DATA.0), Err(Error::Denied), "writable");
    ensure_eq!(map(reads, unit, 0), Err(Error::Denied), "executable");
    ensure_eq!(map(reads, unit, serix_abi::map::MapFlags::NO_EXECUTE.0), Ok(1), "readable");
    let no_map = narrowed(session, &Caveat { rights: Rights::READ, ..Caveat::NOTHING })?;
    ensure_eq!(map(no_map, unit, 1 << 63), Err(Error::Denied), "no MAP right");
    let base = sys::slot_query(session.frames)?.base;
    let range = Some(Range { base: base + unit, count: 1 });
    let one = narrowed(session, &Caveat { range, ..Caveat::NOTHING })?;
    ensure_eq!(map(one, 0, DATA.0), Ok(1), "the one unit");
    ensure_eq!(map(one, 1, DATA.0), Err(Error::BadArgument), "the next unit");
    for slot in [reads, no_map, one] {
        sys::unbind(slot)?;
    }
    Ok(())
}

fn grant_moves_frames_and_revoke_brings_them_back(session: &mut Session) -> Check {
    let event = event()?;
    let child = Child::new(session, event, 4, Script::default())?;
    let (first, count, frames, domain) = (child.first, child.count, child.frames, child.domain);
    let address = session.take_addresses(1);
    let own = |session: &Session, unit| session.map(session.environment, address, unit, 1, DATA);
    for unit in [first, first + count - 1] {
        ensure_eq!(own(session, unit), Err(Error::Denied), "a delegated frame, own slot");
        let count = call(Call::MappingCount, &[session.frames.0.into(), unit]);
        ensure_eq!(count, Err(Error::Denied), "mappings of a delegated frame");
    }
    let direct = [session.environment.0.into(), address, frames.0.into(), 1, 1, DATA.0];
    ensure_eq!(call(Call::MapRange, &direct), Err(Error::Denied), "by the delegation");
    until_done(Call::DomainDestroy, domain)?;
    until_done(Call::Revoke, frames)?;
    for unit in first..first + count {
        own(session, unit)?;
        for word in (0..4096).step_by(1024) {
            ensure_eq!(raw::read(address + word)?, 0, "frame {unit} is not zero");
        }
    }
    session.unmap(session.environment, address, 1)?;
    ensure_eq!(until_done(Call::Revoke, frames), Err(Error::BadSlot));
    sys::unbind(event)?;
    Ok(())
}

fn grant_refuses_what_it_should(session: &mut Session) -> Check {
    let domain = Slot(call(Call::DomainCreate, &[serix_abi::NO_SLOT.into(), 0])? as u32);
    let (unit, count) = (session.take_frames(2), session.frame_count);
    let rights = frame_rights();
    let answer = |first, count, rights| grant(session.frames, first, count, rights, domain).err();
    ensure_eq!(answer(unit, 0, rights), Some(Error::BadArgument), "no units");
    ensure_eq!(answer(count, 1, rights), Some(Error::BadArgument), "past the end");
    ensure_eq!(answer(count - 1, 2, rights), Some(Error::BadArgument), "across the end");
    ensure_eq!(answer(u64::MAX, 2, rights), Some(Error::BadArgument), "wrapping");
    ensure_eq!(answer(1, u64::MAX, rights), Some(Error::BadArgument), "wrapping count");
    ensure_eq!(answer(unit, 1, Rights::ALL), Some(Error::Denied), "rights it lacks");
    ensure_eq!(answer(unit, 1, Rights(1 << 15)), Some(Error::Denied), "unknown rights");
    let of = |slot: Slot, to: Slot| grant(slot, unit, 1, rights, to).err();
    for slot in [Slot(EMPTY_SLOT as u32), session.environment, session.log] {
        ensure_eq!(of(session.frames, slot), Some(Error::BadSlot), "to slot {}", slot.0);
    }
    let parameters = arena::put_words(0, &[unit, 1, rights.0.into()]);
    for address in BAD_ADDRESSES {
        let from = [session.frames.0.into(), address, arena::address(512)];
        ensure_eq!(call(Call::Grant, &from), Err(Error::BadAddress), "from {address:#x}");
        let to = [session.frames.0.into(), parameters, address];
        ensure_eq!(call(Call::Grant, &to), Err(Error::BadAddress), "token to {address:#x}");
    }
    let reserved = u64::from(rights.0) | 1 << 16 | u64::from(domain.0) << 32;
    let parameters = arena::put_words(0, &[unit, 1, reserved]);
    let arguments = [session.frames.0.into(), parameters, arena::address(512)];
    ensure_eq!(call(Call::Grant, &arguments), Err(Error::BadArgument), "reserved bits");
    until_done(Call::DomainDestroy, domain)?;
    still_owned(session, unit, 2)
}

/// The session can still use its frames.
fn still_owned(session: &mut Session, unit: u64, count: u64) -> Check {
    let address = session.take_addresses(count);
    session.map(session.environment, address, unit, count, DATA)?;
    session.unmap(session.environment, address, count)?;
    Ok(())
}

/// A frame that is mapped holds a grant up; the same call goes on when it no longer is.
fn a_grant_held_up_goes_on(session: &mut Session) -> Check {
    let domain = Slot(call(Call::DomainCreate, &[serix_abi::NO_SLOT.into(), 0])? as u32);
    let unit = session.take_frames(8);
    let address = session.take_addresses(1);
    session.map(session.environment, address, unit + 5, 1, DATA)?;
    let give = |session: &Session| grant(session.frames, unit, 8, frame_rights(), domain);
    ensure_eq!(give(session).err(), Some(Error::Busy), "a mapped frame in the range");
    session.unmap(session.environment, address, 1)?;
    let (delegation, _) = give(session)?;
    until_done(Call::Revoke, delegation)?;
    until_done(Call::DomainDestroy, domain)?;
    still_owned(session, unit, 8)
}

/// The receiver ends while a grant is held up: other grants must not wait for it.
fn a_grant_given_up_blocks_nothing(session: &mut Session) -> Check {
    let none = serix_abi::NO_SLOT.into();
    let first = Slot(call(Call::DomainCreate, &[none, 0])? as u32);
    let unit = session.take_frames(8);
    let address = session.take_addresses(1);
    session.map(session.environment, address, unit + 5, 1, DATA)?;
    let held_up = grant(session.frames, unit, 8, frame_rights(), first).err();
    ensure_eq!(held_up, Some(Error::Busy), "a mapped frame in the range");
    until_done(Call::DomainDestroy, first)?;
    let second = Slot(call(Call::DomainCreate, &[none, 0])? as u32);
    let other = session.take_frames(1);
    let (delegation, _) = grant(session.frames, other, 1, frame_rights(), second)?;
    until_done(Call::Revoke, delegation)?;
    until_done(Call::DomainDestroy, second)?;
    session.unmap(session.environment, address, 1)?;
    still_owned(session, unit, 8)
}

fn overlapping_grants_are_refused(session: &mut Session) -> Check {
    let domain = Slot(call(Call::DomainCreate, &[serix_abi::NO_SLOT.into(), 0])? as u32);
    let unit = session.take_frames(8);
    let (inner, _) = grant(session.frames, unit + 3, 1, frame_rights(), domain)?;
    for (first, count) in [(unit, 8), (unit + 3, 1), (unit + 2, 2), (unit + 3, 5)] {
        let overlap = grant(session.frames, first, count, frame_rights(), domain).err();
        ensure_eq!(overlap, Some(Error::Busy), "{count} units from {first}");
    }
    still_owned(session, unit, 3)?;
    still_owned(session, unit + 4, 4)?;
    until_done(Call::Revoke, inner)?;
    until_done(Call::DomainDestroy, domain)?;
    still_owned(session, unit, 8)
}

fn revoke_needs_a_delegation(session: &mut Session) -> Check {
    for slot in [session.frames, session.environment, session.memory, session.log] {
        let answer = call(Call::Revoke, &[slot.0.into()]);
        ensure!(answer == Err(Error::Denied), "slot {}: {answer:?}", slot.0);
    }
    refuses_bad_slots(Call::Revoke, &[], |slot| [slot, 0, 0, 0, 0, 0])
}

fn console_without_grant_stays(session: &mut Session) -> Check {
    let domain = Slot(call(Call::DomainCreate, &[serix_abi::NO_SLOT.into(), 0])? as u32);
    let answer = grant(session.log, 0, 1, Rights::LOG, domain).err();
    ensure_eq!(answer, Some(Error::Denied));
    until_done(Call::DomainDestroy, domain)?;
    Ok(())
}

fn domains_come_and_go(session: &mut Session) -> Check {
    for _ in 0..100 {
        let domain = call(Call::DomainCreate, &[serix_abi::NO_SLOT.into(), 0])?;
        ensure_eq!(call(Call::DomainStatus, &[domain]), Ok(0), "runs");
        until_done(Call::DomainDestroy, Slot(domain as u32))?;
        ensure_eq!(call(Call::DomainStatus, &[domain]), Err(Error::BadSlot), "is gone");
    }
    let others = [session.frames, session.environment, session.log].map(|slot| slot.0.into());
    refuses_bad_slots(Call::DomainStatus, &others, |slot| [slot, 0, 0, 0, 0, 0])?;
    refuses_bad_slots(Call::DomainDestroy, &others, |slot| [slot, 0, 0, 0, 0, 0])?;
    let no_event = [EMPTY_SLOT, 1, 0, 0, 0, 0];
    ensure_eq!(call(Call::DomainCreate, &no_event), Err(Error::BadSlot), "no event");
    Ok(())
}

fn destroyed_domains_leave_no_names(session: &mut Session) -> Check {
    let event = event()?;
    let child = Child::new(session, event, 0, Script::default())?;
    let (environment, frames) = (child.environment, child.frames);
    until_done(Call::DomainDestroy, child.domain)?;
    let signalled = call(Call::EventWait, &[event.0.into(), 1, 0]);
    ensure_eq!(signalled, Ok(1), "the end was told");
    let touch = call(Call::Unmap, &[environment.0.into(), NOWHERE, 1]);
    ensure!(matches!(touch, Err(Error::Stale | Error::BadSlot)), "environment: {touch:?}");
    let map = [session.environment.0.into(), NOWHERE, frames.0.into(), 0, 1, DATA.0];
    ensure!(call(Call::MapRange, &map).is_err(), "frames of a dead domain were mapped");
    sys::unbind(environment)?;
    until_done(Call::Revoke, frames)?;
    sys::unbind(event)?;
    Ok(())
}
