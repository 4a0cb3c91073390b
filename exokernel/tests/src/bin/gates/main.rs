//! Gates: call and reply, what arrives, and every way in which one side of a call can go away.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod calls;
mod ends;
mod setting;

use serix_kernel_tests::{program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[calls::TESTS, ends::TESTS])
}
