//! Addresses that the kernel reads and writes, and pages to map at.

use serix_abi::map::MapFlags;
use serix_abi::{Error, PAGE_SIZE};
use serix_kernel_tests::raw::NOWHERE;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::uses::Argument;
use serix_kernel_tests::{Check, Session};

use crate::{Tally, each_argument};

const PAGE: u64 = PAGE_SIZE as u64;
/// Mapped in another environment of the session, and not in the own one.
const FOREIGN: u64 = NOWHERE + 16 * PAGE;
/// Null, unmapped, foreign, the last page, non-canonical, the kernel's, past the end.
const BAD_ADDRESSES: [u64; 11] = [
    0,
    NOWHERE,
    NOWHERE + 5,
    FOREIGN,
    0x7FFF_FFFF_F000,
    0x7FFF_FFFF_FFFF,
    0x8000_0000_0000,
    0xFFFF_8000_0000_0000,
    0xFFFF_FFFF_8000_0000,
    u64::MAX - 7,
    u64::MAX,
];
/// Null, misaligned, past the end, the kernel's.
const BAD_PAGES: [u64; 9] = [
    0,
    0x1001,
    0x20_0000_0800,
    0x7FFF_FFFF_F000,
    0x8000_0000_0000,
    0xFFFF_7FFF_FFFF_F000,
    0xFFFF_8000_0000_0000,
    0xFFFF_FFFF_8000_0000,
    0xFFFF_FFFF_FFFF_F000,
];

pub(crate) fn bad_ones_are_refused(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        if !matches!(row, Argument::Read(_) | Argument::Written(_)) {
            return Ok(());
        }
        let foreign = session.take_frames(1);
        session.map(stage.space, FOREIGN, foreign, 1, DATA)?;
        let result = BAD_ADDRESSES
            .iter()
            .try_for_each(|bad| tally.wrong((session, stage), at, *bad, Error::BadAddress));
        session.unmap(stage.space, FOREIGN, 1)?;
        result
    })?;
    tally.end("bad addresses", 80)
}

/// The last byte is on a page that is not there.
pub(crate) fn ends_of_pages_are_seen(session: &mut Session) -> Check {
    let (_, page) = session.take_page()?;
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let (Argument::Read(size) | Argument::Written(size)) = row else { return Ok(()) };
        if size == 1 {
            return Ok(());
        }
        let starts = [page + PAGE - size + 1, page + PAGE - 1, page - 1];
        starts
            .iter()
            .try_for_each(|start| tally.wrong((session, stage), at, *start, Error::BadAddress))
    })?;
    tally.end("addresses at the ends of pages", 9)
}

pub(crate) fn read_only_pages_are_not_written(session: &mut Session) -> Check {
    let (unit, page) = (session.take_frames(1), session.take_addresses(1));
    session.map(session.environment, page, unit, 1, MapFlags::NO_EXECUTE)?;
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let Argument::Written(_) = row else { return Ok(()) };
        tally.wrong((session, stage), at, page, Error::BadAddress)
    })?;
    tally.end("read-only pages", 2)
}

pub(crate) fn bad_pages_are_refused(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let Argument::Page = row else { return Ok(()) };
        BAD_PAGES
            .iter()
            .try_for_each(|page| tally.wrong((session, stage), at, *page, Error::BadArgument))
    })?;
    tally.end("bad pages", 40)
}
