//! Visible revocation: who is asked, who lets go, who does not, and what it costs others. With option `gibibyte`: that work on much
//! memory makes no slice late.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod asked;
mod forced;
mod gibibyte;
mod meanwhile;

use serix_kernel_tests::{program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    if gibibyte::is_asked_for(start) {
        return run(start, &[gibibyte::TESTS]);
    }
    run(start, &[asked::TESTS, forced::TESTS, meanwhile::TESTS])
}
