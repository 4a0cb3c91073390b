//! Ways out that kernels have had: names of half-dead objects, empty ranges, other segments, work that was given up.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod ended;
mod objects;
mod segments;

use serix_kernel_tests::{program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[ended::TESTS, objects::TESTS, segments::TESTS])
}
