//! Random native calls: live slots mixed with garbage. `option = seed=N` replays a run, `option = calls=N` sets its length.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod arguments;

use arguments::Arguments;
use serix_abi::{Call, Error};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{self, call, call_number, harms};
use serix_kernel_tests::{Check, Random, Session, ensure, ensure_eq, program, run, tests};
use serix_session::{Purpose, SessionStart};
use serix_sys::call as sys;

program!(session);

/// Calls where the manifest says nothing.
const CALLS: u64 = 100_000;
/// Calls between two walks of the ledger.
const CALLS_PER_CHECK: u64 = 10_000;

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[tests!["fuzz": random_calls]])
}

fn random_calls(session: &mut Session) -> Check {
    let seed = session.number_option("seed").unwrap_or_else(raw::now_ns);
    let count = session.number_option("calls").unwrap_or(CALLS);
    line(format_args!("SEED {seed} for {count} calls"));
    let mut arguments = Arguments::new(Random::new(seed), session)?;
    let log = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    let mut answers = [0_u64; 16];
    for round in 0..count {
        let status = one(&mut arguments);
        ensure!(status < 16, "round {round} of seed {seed}: status {status}");
        answers[status as usize] += 1;
        if round % CALLS_PER_CHECK == CALLS_PER_CHECK - 1 {
            check(session, &log, round)?;
        }
    }
    line(format_args!("answers by status: {answers:?}"));
    ensure!(answers[0] > count / 100, "{} calls of {count} succeeded", answers[0]);
    Ok(())
}

/// Makes one call; its status.
fn one(arguments: &mut Arguments) -> u64 {
    loop {
        let number = arguments.random.below(Call::ALL.len() as u64 + 2) as u32;
        let Some(what) = Call::from_number(number) else { return call_number(number) };
        let values = arguments.of(what);
        if harms(what, &values) {
            continue;
        }
        return match call(what, &values) {
            Ok(value) => {
                arguments.learn(what, value);
                0
            }
            Err(error) => error as u64,
        };
    }
}

/// The ledger is exact, asked through a fresh slot: the fuzzer may have emptied the session's own.
fn check(session: &mut Session, log: &[u8], round: u64) -> Check {
    session.log = match sys::bind(log) {
        Ok(slot) => slot,
        Err(Error::NoFrames | Error::TableFull) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    serix_kernel_tests::log::set(session.log);
    if session.has_option("audit") {
        ensure_eq!(sys::ledger_check(session.log), Ok(0), "after round {round}");
    }
    Ok(())
}
