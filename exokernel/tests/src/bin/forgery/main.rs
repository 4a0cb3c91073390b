//! Tokens forged, narrowed, replayed and handed to the wrong domain.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod forge;
mod replay;

use serix_kernel_tests::{program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[forge::TESTS, replay::TESTS])
}
