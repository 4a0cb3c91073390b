//! Map, unmap, protect, count.

use serix_abi::map::MapFlags;
use serix_abi::{Call, Error};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, arena, ensure, ensure_eq, tests};

use crate::{BAD_ADDRESSES, BAD_PAGES, EMPTY_SLOT, no_spaces, refuses_bad_slots};

pub(crate) const TESTS: &[Test] = tests!["mapping":
    pages_hold_what_is_written, one_frame_at_two_places, bad_pages_are_refused, bad_units_are_refused,
    bad_flags_are_refused, bad_slots_are_refused, batches_say_how_far_they_came,
    long_ranges_are_done_in_parts, unmapped_pages_fault, protect_takes_access_away,
    protect_gives_no_right_that_the_slot_lacks, counts_are_exact];

/// Page-fault error code bits: present, write, user, fetch.
const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;
const FETCH: u64 = 16;

fn pages_hold_what_is_written(session: &mut Session) -> Check {
    let (_, page) = session.take_page()?;
    for at in (0..4096).step_by(8) {
        raw::write(page + at, at ^ 0x55AA)?;
    }
    for at in (0..4096).step_by(8) {
        ensure_eq!(raw::read(page + at)?, at ^ 0x55AA);
    }
    Ok(())
}

fn one_frame_at_two_places(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let other = session.take_addresses(1);
    session.map(session.environment, other, unit, 1, MapFlags::NO_EXECUTE)?;
    raw::write(page + 8, 77)?;
    ensure_eq!(raw::read(other + 8)?, 77);
    let fault = raw::write(other, 1).err().ok_or(Error::Denied)?;
    ensure_eq!((fault.vector, fault.error), (14, PRESENT | WRITE | USER));
    let count = call(Call::MappingCount, &[session.frames.0.into(), unit]);
    ensure_eq!(count, Ok(2));
    Ok(())
}

fn bad_pages_are_refused(session: &mut Session) -> Check {
    let unit = session.take_frames(1);
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    for page in BAD_PAGES {
        let range = call(Call::MapRange, &[space, page, frames, unit, 1, DATA.0]);
        ensure!(range == Err(Error::BadArgument), "map at {page:#x}: {range:?}");
        let request = arena::put_words(0, &[page, DATA.0, frames | unit << 32]);
        let map = call(Call::Map, &[space, request, 1]);
        ensure!(map == Err(Error::BadArgument), "batch at {page:#x}: {map:?}");
        for what in [Call::Unmap, Call::Protect] {
            let answer = call(what, &[space, page, 1, DATA.0]);
            ensure!(answer == Err(Error::BadArgument), "{what:?} at {page:#x}: {answer:?}");
        }
        let info = call(Call::InfoMap, &[space, page]);
        ensure!(info == Err(Error::BadArgument), "information page at {page:#x}: {info:?}");
    }
    bad_counts_are_refused(session, unit)
}

fn bad_counts_are_refused(session: &mut Session, unit: u64) -> Check {
    let page = session.take_addresses(1);
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    for count in [0, 1 << 36, 1 << 52, 1 << 63, u64::MAX] {
        for what in [Call::Unmap, Call::Protect] {
            let answer = call(what, &[space, page, count, DATA.0]);
            ensure!(answer == Err(Error::BadArgument), "{what:?} of {count:#x} pages: {answer:?}");
        }
        let answer = call(Call::MapRange, &[space, page, frames, unit, count, DATA.0]);
        ensure!(answer == Err(Error::BadArgument), "map of {count:#x} pages: {answer:?}");
    }
    Ok(())
}

fn bad_units_are_refused(session: &mut Session) -> Check {
    let page = session.take_addresses(2);
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    let count = session.frame_count;
    for (first, wanted) in [(count, 1), (count - 1, 2), (1 << 32, 1), (u64::MAX, 1), (u64::MAX, 2)]
    {
        let answer = call(Call::MapRange, &[space, page, frames, first, wanted, DATA.0]);
        ensure!(answer == Err(Error::BadArgument), "units {first:#x}: {answer:?}");
        let answer = call(Call::MappingCount, &[frames, first.max(count)]);
        ensure!(answer == Err(Error::BadArgument), "count of {first:#x}: {answer:?}");
    }
    Ok(())
}

fn bad_flags_are_refused(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    for bit in (0..64).filter(|bit| MapFlags::REQUEST.0 & 1 << bit == 0 && *bit != 0) {
        let flags = DATA.0 | 1 << bit;
        let map = call(Call::MapRange, &[space, page, frames, unit, 1, flags]);
        ensure!(map == Err(Error::BadArgument), "map with bit {bit}: {map:?}");
        let protect = call(Call::Protect, &[space, page, 1, flags]);
        ensure!(protect == Err(Error::BadArgument), "protect with bit {bit}: {protect:?}");
    }
    Ok(())
}

fn bad_slots_are_refused(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    let none = no_spaces(session);
    refuses_bad_slots(Call::MapRange, &none, |slot| [slot, page, frames, unit, 1, DATA.0])?;
    refuses_bad_slots(Call::Unmap, &none, |slot| [slot, page, 1, 0, 0, 0])?;
    refuses_bad_slots(Call::Protect, &none, |slot| [slot, page, 1, DATA.0, 0, 0])?;
    let request = arena::put_words(0, &[page, DATA.0, frames | unit << 32]);
    refuses_bad_slots(Call::Map, &none, |slot| [slot, request, 1, 0, 0, 0])?;
    let no_frames = [session.environment, session.log, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::MapRange, &no_frames, |slot| [space, page, slot, unit, 1, DATA.0])?;
    refuses_bad_slots(Call::MappingCount, &no_frames, |slot| [slot, unit, 0, 0, 0, 0])?;
    refuses_bad_slots(Call::InfoMap, &no_frames[1..], |slot| [slot, page, 0, 0, 0, 0])?;
    ensure_eq!(raw::read(page).is_ok(), true, "the page is still there");
    Ok(())
}

fn batches_say_how_far_they_came(session: &mut Session) -> Check {
    let (unit, pages) = (session.take_frames(4), session.take_addresses(4));
    let (space, frames) = (session.environment.0.into(), u64::from(session.frames.0));
    let request =
        |index: u64, frames: u64| [pages + index * 4096, DATA.0, frames | (unit + index) << 32];
    for index in 0..4 {
        let frames = if index == 3 { EMPTY_SLOT } else { frames };
        arena::put_words(index as usize * 24, &request(index, frames));
    }
    ensure_eq!(call(Call::Map, &[space, arena::address(0), 4]), Ok(3), "the fourth is bad");
    ensure_eq!(call(Call::Map, &[space, arena::address(72), 1]), Err(Error::BadSlot), "alone");
    for count in [0, 65, 1 << 32, u64::MAX] {
        let answer = call(Call::Map, &[space, arena::address(0), count]);
        ensure!(answer == Err(Error::BadArgument), "{count} requests: {answer:?}");
    }
    for address in BAD_ADDRESSES {
        let answer = call(Call::Map, &[space, address, 1]);
        ensure!(answer == Err(Error::BadAddress), "requests at {address:#x}: {answer:?}");
    }
    for index in 0..3 {
        raw::write(pages + index * 4096, index)?;
    }
    Ok(())
}

fn long_ranges_are_done_in_parts(session: &mut Session) -> Check {
    const PAGES: u64 = 1200;
    let (unit, pages) = (session.take_frames(PAGES), session.take_addresses(PAGES));
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    let first = call(Call::MapRange, &[space, pages, frames, unit, PAGES, DATA.0])?;
    ensure!(first > 0 && first < PAGES, "{first} pages in one call");
    session.map(session.environment, pages, unit, PAGES, DATA)?;
    for page in 0..PAGES {
        raw::write(pages + page * 4096, page)?;
    }
    session.unmap(session.environment, pages, PAGES)?;
    for page in [0, first, PAGES - 1] {
        ensure!(raw::read(pages + page * 4096).is_err(), "page {page} is still mapped");
    }
    // Nothing is there: huge ranges are passed in bounded calls.
    session.unmap(session.environment, 0x1000_0000_0000, 1 << 30)?;
    Ok(())
}

fn unmapped_pages_fault(session: &mut Session) -> Check {
    let (_, page) = session.take_page()?;
    raw::write(page, 5)?;
    ensure_eq!(call(Call::Unmap, &[session.environment.0.into(), page, 1]), Ok(1));
    let fault = raw::read(page).err().ok_or(Error::Denied)?;
    ensure_eq!((fault.vector, fault.error, fault.address), (14, USER, page));
    ensure_eq!(call(Call::Unmap, &[session.environment.0.into(), page, 1]), Ok(1), "absent");
    for address in [0, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000, 0xFFFF_FFFF_8000_0000] {
        let fault = raw::read(address).err().ok_or(Error::Denied)?;
        ensure_eq!(fault.vector, 14, "read of {address:#x}");
    }
    let fault = raw::read(0x8000_0000_0000).err().ok_or(Error::Denied)?;
    ensure_eq!(fault.vector, 13, "non-canonical");
    Ok(())
}

fn protect_takes_access_away(session: &mut Session) -> Check {
    const RETURN: u64 = 0xC3;
    let (_, page) = session.take_page()?;
    raw::write(page, RETURN)?;
    let protect = |flags: u64| call(Call::Protect, &[session.environment.0.into(), page, 1, flags]);
    ensure_eq!(raw::execute(page).err().map(|f| f.error), Some(PRESENT | USER | FETCH), "data");
    protect(0)?;
    raw::execute(page)?;
    ensure_eq!(raw::write(page, 1).err().map(|f| f.error), Some(PRESENT | WRITE | USER), "code");
    protect(MapFlags::NO_EXECUTE.0)?;
    ensure!(raw::execute(page).is_err(), "read-only data was executed");
    ensure_eq!(raw::read(page)?, RETURN);
    protect(DATA.0)?;
    raw::write(page, 9)?;
    Ok(())
}

fn protect_gives_no_right_that_the_slot_lacks(session: &mut Session) -> Check {
    use serix_abi::token::{Caveat, Rights};
    let token = session.token(serix_session::Purpose::Frames).ok_or(Error::BadToken)?;
    let caveat = Caveat { rights: Rights::READ.with(Rights::MAP), ..Caveat::NOTHING };
    let token = serix_kernel_tests::attenuate::Token::from_bytes(&token)
        .and_then(|token| token.attenuate(&caveat))
        .ok_or(Error::BadToken)?;
    let slot = serix_sys::call::bind(token.as_bytes())?;
    let (unit, page) = (session.take_frames(1), session.take_addresses(1));
    let space = session.environment.0.into();
    let read_only = MapFlags::NO_EXECUTE.0;
    call(Call::MapRange, &[space, page, slot.0.into(), unit, 1, read_only])?;
    // The session holds a better slot of the same frames, so the kernel may allow or deny; what it may not do is
    // let the page be written after it denied.
    let answer = call(Call::Protect, &[space, page, 1, DATA.0]);
    ensure!(answer.is_ok() == raw::write(page, 1).is_ok(), "protect said {answer:?}");
    serix_sys::call::unbind(slot)?;
    Ok(())
}

fn counts_are_exact(session: &mut Session) -> Check {
    let (unit, pages) = (session.take_frames(1), session.take_addresses(64));
    let count = |session: &Session| call(Call::MappingCount, &[session.frames.0.into(), unit]);
    for page in 0..64 {
        ensure_eq!(count(session), Ok(page));
        session.map(session.environment, pages + page * 4096, unit, 1, DATA)?;
    }
    session.map(session.environment, pages, unit, 1, DATA)?;
    ensure_eq!(count(session), Ok(64), "mapped over itself");
    // From the middle, the start and the end of the list of mappings.
    for (left, page) in [(63, 30), (62, 0), (61, 63), (60, 31)] {
        session.unmap(session.environment, pages + page * 4096, 1)?;
        ensure_eq!(count(session), Ok(left));
    }
    session.unmap(session.environment, pages, 64)?;
    ensure_eq!(count(session), Ok(0));
    Ok(())
}
