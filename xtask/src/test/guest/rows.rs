//! The table: one file for each row of docs/testing.md.

mod bad_input;
mod boot;
mod call_sites;
mod cores;
mod debugging;
mod disk_errors;
mod files;
mod fork;
mod isolation;
mod keep;
mod machine;
mod paths;
mod power_loss;
mod programs;
mod screen;
mod stdio;
mod terminal;
mod tracing;

pub(super) use self::cores::{limit as soak_limit, soak};
pub(super) use self::isolation::{Length as FuzzLength, fuzz};
use super::Test;

/// All tests, in the order in which they are started.
pub(super) fn all() -> impl Iterator<Item = &'static Test> {
    let rows = [
        stdio::TESTS,
        terminal::TESTS,
        screen::TESTS,
        machine::TESTS,
        boot::TESTS,
        files::TESTS,
        keep::TESTS,
        power_loss::TESTS,
        programs::TESTS,
        tracing::TESTS,
        fork::TESTS,
        isolation::TESTS,
        cores::TESTS,
        paths::TESTS,
        call_sites::TESTS,
        debugging::TESTS,
        bad_input::TESTS,
        disk_errors::TESTS,
    ];
    rows.into_iter().flatten()
}

/// Those that do more in a long run.
pub(super) fn long() -> impl Iterator<Item = &'static Test> {
    power_loss::TESTS.iter()
}
