//! Frames of a device: mapped with rights, given and taken back, and nothing else.

use serix_abi::map::MapFlags;
use serix_abi::start::EndReason;
use serix_abi::token::Rights;
use serix_abi::{Call, Error, NO_SLOT, PAGE_SIZE};
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, TARGET, event, grant, until_done,
};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Failure, Session, Test, ensure, ensure_eq, tests};
use serix_session::{Purpose, WINDOW_ADDRESS};
use serix_sys::{Slot, call as sys};

use crate::{bind, narrowed, token};

pub(crate) const TESTS: &[Test] = tests!["frames":
    the_picture_can_be_drawn, all_of_it_can_be_mapped, pages_are_kept_from_caches,
    they_are_no_memory, rights_limit_the_mapping, units_have_bounds, forks_leave_them_out,
    who_gave_them_away_cannot_map_them, mapped_ones_stay, taken_while_mapped, pictures_do_not_execute,
    tokens_die_with_their_grant, their_holders_end_gives_nothing_away];

const NAME: &str = "framebuffer";
/// What tests delegate: rights on device frames that can be had at all.
const RIGHTS: Rights = Rights::MAP.with(Rights::READ).with(Rights::WRITE).with(Rights::GRANT);

fn frames(session: &Session) -> Result<Slot, Failure> {
    bind(session, Purpose::DeviceFrames, NAME, 0)
}

fn map(session: &Session, slot: Slot, address: u64, unit: u64) -> Result<u64, Error> {
    let space = session.environment.0.into();
    call(Call::MapRange, &[space, address, slot.0.into(), unit, 1, DATA.0])
}

fn the_picture_can_be_drawn(session: &mut Session) -> Check {
    let picture = session.start.framebuffer;
    let size = u64::from(picture.pitch) * u64::from(picture.height);
    ensure!(picture.width > 0 && picture.bits_per_pixel >= 16, "{picture:?}");
    ensure!(picture.red[0] > 0 && picture.red != picture.blue, "{picture:?}");
    ensure!(picture.pitch >= picture.width * u32::from(picture.bits_per_pixel) / 8, "{picture:?}");
    let slot = frames(session)?;
    let info = sys::slot_query(slot)?;
    ensure_eq!(info.count, size.div_ceil(PAGE_SIZE as u64), "frames");
    let pages = session.take_addresses(2);
    map(session, slot, pages, 0)?;
    map(session, slot, pages + 4096, info.count - 1)?;
    for address in [pages, pages + 8, pages + 4096] {
        raw::write(address, 0x00FF_8040_1234_5678 ^ address)?;
        ensure_eq!(raw::read(address)?, 0x00FF_8040_1234_5678 ^ address, "at {address:#x}");
    }
    // The same memory at another address.
    let again = session.take_addresses(1);
    map(session, slot, again, 0)?;
    ensure_eq!(raw::read(again)?, 0x00FF_8040_1234_5678 ^ pages, "again");
    session.unmap(session.environment, again, 1)?;
    ensure!(raw::read(again).is_err(), "unmapped, and readable");
    session.unmap(session.environment, pages, 2)?;
    sys::unbind(slot)?;
    Ok(())
}

fn all_of_it_can_be_mapped(session: &mut Session) -> Check {
    let slot = frames(session)?;
    let count = sys::slot_query(slot)?.count;
    let start = session.take_addresses(count);
    let space = session.environment.0.into();
    let mut done = 0;
    while done < count {
        let at = start + done * PAGE_SIZE as u64;
        let passed = call(Call::MapRange, &[space, at, slot.0.into(), done, count - done, DATA.0])?;
        ensure!((1..=512).contains(&passed), "{passed} pages at once");
        done += passed;
    }
    raw::write(start + (count - 1) * PAGE_SIZE as u64, 7)?;
    session.unmap(session.environment, start, count)?;
    ensure!(raw::read(start).is_err(), "it is mapped still");
    sys::unbind(slot)?;
    Ok(())
}

fn pages_are_kept_from_caches(session: &mut Session) -> Check {
    let slot = frames(session)?;
    let page = session.take_addresses(1);
    map(session, slot, page, 0)?;
    let entry = WINDOW_ADDRESS + (page >> 12) * 8;
    let shown = raw::read(entry)?;
    ensure_eq!((shown & MapFlags::FRAME_MASK) >> 12, sys::slot_query(slot)?.base, "frame");
    // Write combining: the entry with PAT and PCD.
    ensure_eq!(shown & (1 << 7 | 1 << 4 | 1 << 3), 1 << 7 | 1 << 4, "caching in {shown:#x}");
    let space = u64::from(session.environment.0);
    call(Call::Protect, &[space, page, 1, MapFlags::NO_EXECUTE.0])?;
    let shown = raw::read(entry)?;
    ensure_eq!(shown & (1 << 7 | 1 << 4 | 1 << 3), 1 << 7 | 1 << 4, "protected: {shown:#x}");
    ensure!(raw::write(page, 0).is_err(), "written, though read-only");
    ensure_eq!(call(Call::Protect, &[space, page, 1, 0]), Err(Error::Denied), "executable");
    call(Call::Protect, &[space, page, 1, DATA.0])?;
    raw::write(page, 0)?;
    // RAM in its place is RAM again.
    let unit = session.take_frames(1);
    session.map(session.environment, page, unit, 1, DATA)?;
    ensure_eq!(raw::read(entry)? & (1 << 7 | 1 << 4 | 1 << 3), 0, "RAM");
    session.unmap(session.environment, page, 1)?;
    sys::unbind(slot)?;
    Ok(())
}

/// Neither an account nor an object's page nor the target of a device.
fn they_are_no_memory(session: &mut Session) -> Check {
    let slot = u64::from(frames(session)?.0);
    let event = event()?;
    ensure_eq!(call(Call::Fund, &[NO_SLOT.into(), slot, 0, 1]), Err(Error::BadSlot), "account");
    // Units that the test's guard lets through.
    let unit = session.next_frames().start;
    let ring = call(Call::RingCreate, &[slot, unit, event.0.into(), 1]);
    ensure_eq!(ring, Err(Error::BadSlot), "ring");
    let record = call(Call::RecordSet, &[slot, unit, event.0.into(), 1]);
    ensure_eq!(record, Err(Error::BadSlot), "record");
    ensure_eq!(call(Call::MappingCount, &[slot, 0]), Err(Error::BadSlot), "count");
    let child = Child::new(session, event, 0, Script::default())?;
    let mut parameters = child.parameters();
    parameters.frames = slot as u32;
    let made = raw::dispatcher(child.environment, &parameters);
    ensure_eq!(made, Err(Error::BadSlot), "dispatcher");
    child.end()?;
    sys::unbind(event)?;
    sys::unbind(Slot(slot as u32))?;
    Ok(())
}

fn rights_limit_the_mapping(session: &mut Session) -> Check {
    let sealed = token(session, Purpose::DeviceFrames, NAME, 0)?;
    let page = session.take_addresses(1);
    let space = u64::from(session.environment.0);
    let with = |slot: Slot, flags: MapFlags| {
        call(Call::MapRange, &[space, page, slot.0.into(), 0, 1, flags.0])
    };
    let no_map = narrowed(&sealed, Rights::READ.with(Rights::WRITE))?;
    ensure_eq!(with(no_map, DATA), Err(Error::Denied), "without MAP");
    let no_write = narrowed(&sealed, Rights::READ.with(Rights::MAP))?;
    ensure_eq!(with(no_write, DATA), Err(Error::Denied), "without WRITE");
    ensure_eq!(with(no_write, MapFlags::NO_EXECUTE), Ok(1), "read-only");
    let protect = call(Call::Protect, &[space, page, 1, DATA.0]);
    ensure_eq!(protect, Err(Error::Denied), "WRITE by Protect");
    ensure!(raw::write(page, 0).is_err(), "written");
    let all = frames(session)?;
    ensure_eq!(with(all, MapFlags::default()), Err(Error::Denied), "executable");
    ensure_eq!(with(all, MapFlags(1 << 4)), Err(Error::BadArgument), "a flag of the kernel's");
    session.unmap(session.environment, page, 1)?;
    for slot in [no_map, no_write, all] {
        sys::unbind(slot)?;
    }
    Ok(())
}

fn units_have_bounds(session: &mut Session) -> Check {
    let slot = frames(session)?;
    let count = sys::slot_query(slot)?.count;
    let page = session.take_addresses(4);
    let space = u64::from(session.environment.0);
    for (first, pages) in [(count, 1), (count - 1, 2), (u64::MAX, 1), (1 << 32, 1), (0, count + 1)]
    {
        let range = [space, page, slot.0.into(), first, pages, DATA.0];
        let answer = call(Call::MapRange, &range);
        ensure!(answer == Err(Error::BadArgument), "{pages:#x} from {first:#x}: {answer:?}");
    }
    ensure!(raw::read(page).is_err(), "something is mapped");
    sys::unbind(slot)?;
    Ok(())
}

fn forks_leave_them_out(session: &mut Session) -> Check {
    let slot = frames(session)?;
    let page = session.take_addresses(2);
    map(session, slot, page, 0)?;
    let unit = session.take_frames(1);
    session.map(session.environment, page + 4096, unit, 1, DATA)?;
    let none = u64::from(NO_SLOT);
    let other = call(Call::EnvironmentCreate, &[none, none])?;
    let own = session.environment.0.into();
    ensure_eq!(call(Call::CopyRange, &[own, other, page, 2]), Ok(2), "passed");
    raw::write(page, 1)?;
    ensure!(raw::write(page + 4096, 1).is_err(), "RAM beside it is copied on write");
    ensure_eq!(call(Call::MappingCount, &[session.frames.0.into(), unit]), Ok(2), "RAM");
    until_done(Call::EnvironmentDestroy, Slot(other as u32))?;
    raw::write(page, 2)?;
    session.unmap(session.environment, page, 2)?;
    sys::unbind(slot)?;
    Ok(())
}

/// Delegates the first frames to a new child, which runs `operations`, and maps the first in it at `TARGET`.
fn given(
    session: &mut Session,
    slot: Slot,
    ended: Slot,
    operations: &[Operation],
) -> Result<(Child, Slot), Failure> {
    let (child, delegation) = Child::with_bytes(session, ended, operations, |_, domain| {
        let (delegation, token) = grant(slot, 0, 4, RIGHTS, domain)?;
        Ok((token, delegation))
    })?;
    let space = child.environment.0.into();
    call(Call::MapRange, &[space, TARGET, delegation.0.into(), 0, 1, DATA.0])?;
    Ok((child, delegation))
}

fn taken_back(child: Child, delegation: Slot, ended: Slot, slot: Slot) -> Check {
    until_done(Call::Revoke, delegation)?;
    child.end()?;
    sys::unbind(ended)?;
    sys::unbind(slot)?;
    Ok(())
}

fn who_gave_them_away_cannot_map_them(session: &mut Session) -> Check {
    let (slot, ended) = (frames(session)?, event()?);
    let draws = [Operation::Write(TARGET, 77), Operation::Read(TARGET, 77)];
    let (child, delegation) = given(session, slot, ended, &draws)?;
    let page = session.take_addresses(1);
    for unit in 0..4 {
        ensure_eq!(map(session, slot, page, unit), Err(Error::Denied), "unit {unit}");
    }
    // Nor in its own environment by the delegation, whose frames are the child's.
    ensure_eq!(map(session, delegation, page, 0), Err(Error::Denied), "delegation");
    map(session, slot, page, 4)?;
    session.unmap(session.environment, page, 1)?;
    let again = grant(slot, 3, 2, RIGHTS, child.domain);
    ensure_eq!(again.map(drop), Err(Error::Busy), "given twice");
    let end = child.run(session, ended, &child.parameters())?;
    ensure_eq!(end, (EndReason::Exit as u32, 0));
    taken_back(child, delegation, ended, slot)
}

fn mapped_ones_stay(session: &mut Session) -> Check {
    let (slot, ended) = (frames(session)?, event()?);
    let child = Child::new(session, ended, 0, Script::default())?;
    let page = session.take_addresses(1);
    map(session, slot, page, 3)?;
    let given = grant(slot, 0, 4, RIGHTS, child.domain);
    ensure_eq!(given.map(drop), Err(Error::Busy), "mapped, and given away");
    raw::write(page, 5)?;
    let elsewhere = session.take_addresses(1);
    map(session, slot, elsewhere, 0)?;
    session.unmap(session.environment, page, 1)?;
    session.unmap(session.environment, elsewhere, 1)?;
    let bearer = grant(slot, 0, 1, RIGHTS, Slot(NO_SLOT));
    ensure_eq!(bearer.map(drop), Err(Error::BadArgument), "for whoever holds it");
    let (delegation, _) = grant(slot, 0, 4, RIGHTS, child.domain)?;
    taken_back(child, delegation, ended, slot)
}

fn taken_while_mapped(session: &mut Session) -> Check {
    let (slot, ended) = (frames(session)?, event()?);
    let page = session.take_addresses(1);
    let (child, delegation) = given(session, slot, ended, &[Operation::Read(TARGET, 0)])?;
    until_done(Call::Revoke, delegation)?;
    map(session, slot, page, 0)?;
    raw::write(page, 9)?;
    // What the child had mapped is gone: it faults, and takes no fault.
    let end = child.run(session, ended, &child.parameters())?;
    ensure_eq!(end, (EndReason::Fault as u32, 14));
    session.unmap(session.environment, page, 1)?;
    child.end()?;
    sys::unbind(ended)?;
    sys::unbind(slot)?;
    Ok(())
}

fn pictures_do_not_execute(session: &mut Session) -> Check {
    let (slot, ended) = (frames(session)?, event()?);
    let (child, delegation) = given(session, slot, ended, &[Operation::Jump(TARGET)])?;
    let end = child.run(session, ended, &child.parameters())?;
    ensure_eq!(end, (EndReason::Fault as u32, 14));
    taken_back(child, delegation, ended, slot)
}

fn tokens_die_with_their_grant(session: &mut Session) -> Check {
    let (slot, ended) = (frames(session)?, event()?);
    let bind = Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], Some(Error::Stale));
    let (child, delegation) = given(session, slot, ended, &[bind])?;
    until_done(Call::Revoke, delegation)?;
    let end = child.run(session, ended, &child.parameters())?;
    ensure_eq!(end, (EndReason::Exit as u32, 0));
    child.end()?;
    sys::unbind(ended)?;
    sys::unbind(slot)?;
    Ok(())
}

fn their_holders_end_gives_nothing_away(session: &mut Session) -> Check {
    let (slot, ended) = (frames(session)?, event()?);
    let (child, delegation) = given(session, slot, ended, &[Operation::Spin(0)])?;
    raw::dispatcher(child.environment, &child.parameters())?;
    child.give_slice(session)?;
    until_done(Call::DomainDestroy, child.domain)?;
    let page = session.take_addresses(1);
    // Nobody's to map until the grant is taken back.
    ensure_eq!(map(session, slot, page, 0), Err(Error::Denied), "before");
    until_done(Call::Revoke, delegation)?;
    map(session, slot, page, 0)?;
    session.unmap(session.environment, page, 1)?;
    until_done(Call::Revoke, child.frames)?;
    sys::unbind(ended)?;
    sys::unbind(slot)?;
    Ok(())
}
