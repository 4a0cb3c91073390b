//! What people see: progress and results, all on standard error.
//!
//! Invariant: a command whose products are up to date says nothing when standard error is no
//! terminal, so that what a program writes there is all there is.

mod outcome;
mod progress;

use std::io::Write;

pub(crate) use outcome::Outcome;
pub(crate) use progress::Progress;

/// Prints a line on standard error. A reader who has gone is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
