//! The shortest right use of each native call, in guest instructions where the machine counts them (`--icount`): what docs/abi.md says of
//! path lengths. `CALL name instructions calls`, or `CALL name -` of one that cannot be counted so.
#![cfg_attr(target_os = "none", no_std, no_main)]

use serix_abi::{Call, Error};
use serix_kernel_tests::log::line;
use serix_kernel_tests::uses::Stage;
use serix_kernel_tests::{Check, Session, ensure, program, raw, run, tests};
use serix_session::SessionStart;
use serix_sys::time::ticks;

program!(session);

/// Repetitions; the shortest is printed.
const ROUNDS: usize = 15;

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[tests!["lengths": of_each_call]])
}

/// What two readings of the clock cost.
fn empty() -> u64 {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let before = ticks();
        least = least.min(ticks() - before);
    }
    least
}

fn of_each_call(session: &mut Session) -> Check {
    let mut stage = Stage::new(session)?;
    let empty = empty();
    for what in Call::ALL {
        let mut least = None;
        for _ in 0..ROUNDS {
            let Some(right) = stage.prepare(session, *what)? else { break };
            let answer = raw::measured_whole(*what, right.arguments);
            right.undo(*what, answer.ok().map(|(value, ..)| value));
            stage.done(*what);
            let (_, spent, calls) = answer.map_err(|error: Error| {
                serix_kernel_tests::Failure::new(format_args!("{what:?}: {error:?}"))
            })?;
            let spent = spent.saturating_sub(calls * empty);
            least =
                Some(least.map_or((spent, calls), |least: (u64, u64)| least.min((spent, calls))));
        }
        if *what == Call::LedgerCheck {
            // How many parts it has is a matter of the machine's memory.
            least = least.map(|(spent, calls)| (spent / calls, 1));
        }
        let name = what.signature().0;
        match least {
            Some((spent, calls)) => line(format_args!("CALL {name} {spent} {calls}")),
            None => line(format_args!("CALL {name} -")),
        }
        ensure!(least.is_none_or(|(spent, _)| spent > 0), "{name}: the clock stands still");
    }
    Ok(())
}
