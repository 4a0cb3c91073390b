//! Upcalls attacked: entries, stacks and flags of any kind, nesting to the bound, instructions that ring 3 may not use.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod entries;
mod instructions;

use serix_kernel_tests::{program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[entries::TESTS, instructions::TESTS])
}
