//! Each native call: right use, each error, each argument at its boundaries.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod accounting;
mod authority;
mod basics;
mod environments;
mod events;
mod heap;
mod mapping;
mod subtrees;
mod window;

use serix_abi::{Call, Error};
use serix_kernel_tests::raw::call;
use serix_kernel_tests::{Check, Session, ensure, program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(
        start,
        &[
            basics::TESTS,
            authority::TESTS,
            mapping::TESTS,
            environments::TESTS,
            subtrees::TESTS,
            window::TESTS,
            events::TESTS,
            accounting::TESTS,
            heap::TESTS,
            authority::LAST,
        ],
    )
}

/// A slot in a part of the table that the tests never use.
const EMPTY_SLOT: u64 = 1000;
/// Numbers that are no slot.
const NO_SLOTS: [u64; 6] = [EMPTY_SLOT, 1023, 1024, u32::MAX as u64 - 1, 1 << 32, u64::MAX];
/// Addresses where nothing can be read or written: null, unmapped, non-canonical, the last page, the kernel's.
const BAD_ADDRESSES: [u64; 8] = [
    0,
    serix_kernel_tests::raw::NOWHERE,
    0x7FFF_FFFF_F000,
    0x8000_0000_0000,
    0xFFFF_8000_0000_0000,
    0xFFFF_FFFF_8000_0000,
    u64::MAX - 7,
    u64::MAX,
];
/// Pages that cannot be mapped: null, misaligned, past the end, the kernel's.
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

/// The call answers `BadSlot` with each number that is no slot, and with each slot of another kind, in the place that
/// `arguments` puts it.
fn refuses_bad_slots(what: Call, others: &[u64], arguments: impl Fn(u64) -> [u64; 6]) -> Check {
    for slot in NO_SLOTS.iter().chain(others) {
        let answer = call(what, &arguments(*slot));
        ensure!(answer == Err(Error::BadSlot), "{what:?} with slot {slot:#x}: {answer:?}");
    }
    Ok(())
}

/// Own slots that are neither environment nor subtree.
fn no_spaces(session: &Session) -> [u64; 2] {
    [session.frames.0.into(), session.log.0.into()]
}
