//! The page-table window and the information page: what may be read, and that nothing may be written.

use serix_abi::info::INFO_MAGIC;
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_session::WINDOW_ADDRESS;
use serix_sys::call as sys;

pub(crate) const TESTS: &[Test] = tests!["window":
    it_shows_what_is_mapped, it_shows_no_kernel_entries, it_cannot_be_written, it_cannot_be_mapped_over,
    the_information_page_is_read_only];

/// Address of the window's entry for a page.
const fn entry(address: u64) -> u64 {
    WINDOW_ADDRESS + ((address & ((1 << 48) - 1)) >> 12) * 8
}

fn it_shows_what_is_mapped(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let base = sys::slot_query(session.frames)?.base;
    let shown = raw::read(entry(page))?;
    ensure_eq!((shown & MapFlags::FRAME_MASK) >> 12, base + unit, "frame");
    ensure!(MapFlags(shown).has(DATA.with(MapFlags::PRESENT)), "flags {shown:#x}");
    session.unmap(session.environment, page, 1)?;
    ensure_eq!(raw::read(entry(page))?, 0, "unmapped");
    ensure!(raw::read(entry(raw::NOWHERE)).is_err(), "no table, but an entry");
    Ok(())
}

fn it_shows_no_kernel_entries(_: &mut Session) -> Check {
    // Each top-level slot of the kernel half, its start and its end.
    for slot in 256_u64..512 {
        for address in [slot << 39, (slot << 39) + (1 << 39) - 4096] {
            let shown = raw::read(entry(address));
            ensure!(shown.is_err() || shown == Ok(0), "slot {slot}: {shown:x?}");
        }
    }
    Ok(())
}

fn it_cannot_be_written(session: &mut Session) -> Check {
    let (_, page) = session.take_page()?;
    for address in [entry(page), entry(entry(page)), entry(entry(entry(page)))] {
        if let Ok(before) = raw::read(address) {
            ensure!(raw::write(address, before).is_err(), "{address:#x} was written");
        }
    }
    Ok(())
}

fn it_cannot_be_mapped_over(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let at = entry(page) & !4095;
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    let map = call(Call::MapRange, &[space, at, frames, unit, 1, DATA.0]);
    ensure_eq!(map, Err(Error::BadArgument), "map");
    let protect = call(Call::Protect, &[space, at, 1, DATA.0]);
    ensure!(raw::write(entry(page), 0).is_err(), "protect said {protect:?}, and it is writable");
    let unmap = call(Call::Unmap, &[space, at, 1]);
    ensure!(raw::read(entry(page)).is_ok(), "unmap said {unmap:?}, and it is gone");
    Ok(())
}

fn the_information_page_is_read_only(session: &mut Session) -> Check {
    let page = session.take_addresses(1);
    let own = u64::from(session.environment.0);
    call(Call::InfoMap, &[own, page])?;
    ensure_eq!(raw::read(page)?, INFO_MAGIC);
    ensure!(raw::write(page, 0).is_err(), "it was written");
    let protect = call(Call::Protect, &[own, page, 1, DATA.0]);
    ensure!(raw::write(page, 0).is_err(), "protect said {protect:?}, and it is writable");
    ensure!(raw::execute(page).is_err(), "it was executed");
    session.unmap(session.environment, page, 1)?;
    ensure!(raw::read(page).is_err(), "it cannot be unmapped");
    Ok(())
}
