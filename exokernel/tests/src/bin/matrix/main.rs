//! Each native call of the table in `uses`, used rightly, and with one argument after the other wrong.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod addresses;
mod slots;

use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{call, harms};
use serix_kernel_tests::uses::{Argument, Stage, arguments, whole};
use serix_kernel_tests::{Check, Session, ensure, ensure_eq, program, run, tests};
use serix_session::SessionStart;

program!(session);

/// Arguments of a call.
const REGISTERS: usize = 6;

fn session(start: &'static SessionStart) -> i32 {
    run(
        start,
        &[tests!["matrix":
            rows_are_as_declared, right_uses_succeed, registers_without_a_meaning_do_not_matter,
            slots::empty_ones_are_refused, slots::other_kinds_are_refused,
            slots::each_right_is_needed, slots::stale_ones_are_refused,
            slots::only_delegations_are_revoked, addresses::bad_ones_are_refused,
            addresses::ends_of_pages_are_seen, addresses::read_only_pages_are_not_written,
            addresses::bad_pages_are_refused, numbers_have_bounds, right_uses_succeed_once_more]],
    )
}

/// How often something was looked at, and how often it could not be.
#[derive(Default)]
pub(crate) struct Tally {
    seen: usize,
    left_out: usize,
}

impl Tally {
    pub(crate) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// Says it; so much must have been seen, or the test looks at less than it seems.
    pub(crate) fn end(&self, what: &str, least: usize) -> Check {
        line(format_args!("SEEN {what}: {} times, left out {}", self.seen, self.left_out));
        ensure!(self.seen >= least, "{what}: only {} of at least {least}", self.seen);
        Ok(())
    }

    /// A right use, but with `value` as argument `place`, answers `wanted`.
    pub(crate) fn wrong(
        &mut self,
        (session, stage): (&mut Session, &mut Stage),
        (what, place): (Call, usize),
        value: u64,
        wanted: Error,
    ) -> Check {
        let Some(right) = stage.prepare(session, what)? else {
            self.leave_out();
            return Ok(());
        };
        let mut arguments = right.arguments;
        arguments[place] = value;
        if harms(what, &arguments) {
            right.undo(what, None);
            self.leave_out();
            return Ok(());
        }
        let answer = call(what, &arguments);
        right.undo(what, answer.ok());
        self.seen += 1;
        ensure!(
            answer == Err(wanted),
            "{what:?}, argument {place} = {value:#x}: {answer:x?} instead of {wanted:?}"
        );
        Ok(())
    }
}

/// Goes over all arguments of all calls.
pub(crate) fn each_argument(
    session: &mut Session,
    mut look: impl FnMut(&mut Session, &mut Stage, (Call, usize), Argument) -> Check,
) -> Check {
    let mut stage = Stage::new(session)?;
    let result = Call::ALL.iter().try_for_each(|what| {
        let rows = arguments::of(*what).iter().enumerate();
        rows.into_iter()
            .try_for_each(|(place, row)| look(session, &mut stage, (*what, place), *row))
    });
    stage.end()?;
    result
}

fn rows_are_as_declared(_: &mut Session) -> Check {
    for what in Call::ALL {
        let (name, declared) = what.signature();
        ensure_eq!(arguments::of(*what).len(), declared.len(), "arguments of {name}");
    }
    Ok(())
}

fn right_uses(session: &mut Session, change: impl Fn(&mut [u64; REGISTERS], usize)) -> Check {
    let (mut stage, mut tally) = (Stage::new(session)?, Tally::default());
    for what in Call::ALL {
        let Some(right) = stage.prepare(session, *what)? else {
            tally.leave_out();
            continue;
        };
        let mut arguments = right.arguments;
        change(&mut arguments, arguments::of(*what).len());
        let answer = whole(*what, &arguments);
        right.undo(*what, answer.ok());
        ensure!(answer.is_ok(), "{what:?} {arguments:x?}: {answer:?}");
        stage.done(*what);
        tally.seen += 1;
    }
    stage.end()?;
    tally.end("right uses", 38)
}

fn right_uses_succeed(session: &mut Session) -> Check {
    right_uses(session, |_, _| {})
}

/// After all that was refused.
fn right_uses_succeed_once_more(session: &mut Session) -> Check {
    right_uses(session, |_, _| {})
}

/// What is in registers that carry no argument changes nothing.
fn registers_without_a_meaning_do_not_matter(session: &mut Session) -> Check {
    for garbage in [u64::MAX, NO_SLOT.into(), 0x5555_5555_5555_5555] {
        right_uses(session, |arguments, used| {
            arguments[used..].iter_mut().for_each(|argument| *argument = garbage);
        })?;
    }
    Ok(())
}

fn numbers_have_bounds(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let Argument::Number(values, error) = row else { return Ok(()) };
        values.iter().try_for_each(|value| tally.wrong((session, stage), at, *value, error))
    })?;
    tally.end("numbers", 100)
}
