//! Lengths of the kernel's paths, in guest instructions where the machine counts them (`--icount`).
#![cfg_attr(target_os = "none", no_std, no_main)]

mod authority;
mod control;
mod measure;
mod memory;
mod slices;

use serix_kernel_tests::{program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[measure::TESTS, control::TESTS, memory::TESTS, authority::TESTS, slices::TESTS])
}
