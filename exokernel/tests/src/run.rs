//! Running a table of tests.

use serix_abi::Error;
use serix_session::SessionStart;
use serix_sys::call;

use crate::check::Check;
use crate::log::line;
use crate::session::Session;

/// A test: its name and what it does.
#[derive(Clone, Copy)]
pub struct Test {
    /// Name, for people and for the table of expected results.
    pub name: &'static str,
    /// The test.
    pub run: fn(&mut Session) -> Check,
}

/// Tests by their function names.
#[macro_export]
macro_rules! tests {
    ($area:literal: $( $test:path ),+ $(,)?) => {
        &[ $( $crate::Test { name: concat!($area, ": ", stringify!($test)), run: $test } ),+ ]
    };
}

/// Runs all tests, or with `option = only=TEXT` those with TEXT in their names, then the kernel's check of its ledger; the number of failures.
#[must_use]
pub fn run(start: &'static SessionStart, groups: &[&[Test]]) -> i32 {
    let mut session = match Session::open(start) {
        Ok(session) => session,
        // There is no log yet to tell: the status must do.
        Err(_) => return i32::MAX,
    };
    let (mut passed, mut failed) = (0, 0);
    let only = session.text_option("only").unwrap_or("");
    for test in groups.iter().copied().flatten().filter(|test| test.name.contains(only)) {
        crate::raw::set_current(test.name);
        let outcome = (test.run)(&mut session);
        report(test.name, &outcome, &mut passed, &mut failed);
    }
    if session.has_option("fail") {
        let asked = Err(crate::Failure::new(format_args!("the manifest asks for it")));
        report("option fail", &asked, &mut passed, &mut failed);
    }
    crate::raw::set_current("ledger");
    report("ledger: no violations", &check_ledger(&session), &mut passed, &mut failed);
    line(format_args!("DONE {passed} passed, {failed} failed"));
    failed
}

fn report(name: &str, outcome: &Check, passed: &mut i32, failed: &mut i32) {
    match outcome {
        Ok(()) => {
            *passed += 1;
            line(format_args!("PASS {name}"));
        }
        Err(failure) => {
            *failed += 1;
            line(format_args!("FAIL {name}: {failure}"));
        }
    }
}

/// The kernel's tables agree with its ledger. Only a session with the option `audit` may ask.
fn check_ledger(session: &Session) -> Check {
    let wanted = if session.has_option("audit") { Ok(0) } else { Err(Error::Denied) };
    crate::ensure_eq!(call::ledger_check(session.log), wanted, "ledger check");
    Ok(())
}
