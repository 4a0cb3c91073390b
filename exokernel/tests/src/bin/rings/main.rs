//! Transfer rings: right use, bad submissions, hostile indices. Needs a disk, given read-only.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod calls;
mod submissions;

use serix_abi::Error;
use serix_kernel_tests::{Session, program, run};
use serix_session::SessionStart;
use serix_sys::Slot;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[calls::TESTS, submissions::TESTS])
}

/// The disk and its sectors.
fn disk(session: &Session) -> Result<(Slot, u64), Error> {
    session.disk.ok_or(Error::Unsupported)
}
