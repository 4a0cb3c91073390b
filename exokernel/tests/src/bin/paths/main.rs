//! Lengths of the kernel's paths, in guest instructions where the machine counts them (`--icount`).
#![cfg_attr(target_os = "none", no_std, no_main)]

use serix_abi::{Call, Error};
use serix_kernel_tests::child::event;
use serix_kernel_tests::log::line;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, ensure, ensure_eq, program, raw, run, tests};
use serix_session::{Purpose, SessionStart};
use serix_sys::time::ticks;

program!(session);

/// Repetitions; the median is printed.
const ROUNDS: usize = 101;

fn session(start: &'static SessionStart) -> i32 {
    run(
        start,
        &[
            tests!["paths": null, foreign, fault_and_resume, fault_map_resume, map_one, map_batch, bind, signal_and_poll,
            refusing_a_token_tells_nothing],
        ],
    )
}

/// Prints minimum, median and 99th percentile of `ROUNDS` measurements, less the cost of the measurement.
fn measure(name: &str, units: u64, mut once: impl FnMut() -> Result<u64, Error>) -> Check {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        *place = once()?;
    }
    all.sort_unstable();
    let cost = empty();
    let [min, median, p99] =
        [0, ROUNDS / 2, ROUNDS * 99 / 100].map(|at| all[at].saturating_sub(cost) / units);
    line(format_args!("BENCH {name} {min} {median} {p99} {ROUNDS}"));
    ensure!(median > 0, "{name}: the clock stands still");
    Ok(())
}

/// What two readings of the clock cost.
fn empty() -> u64 {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        let before = ticks();
        *place = ticks() - before;
    }
    all.sort_unstable();
    all[ROUNDS / 2]
}

fn null(_: &mut Session) -> Check {
    measure("null", 1, || raw::measured(Call::Null, [0; 6]))
}

fn foreign(_: &mut Session) -> Check {
    ensure_eq!(raw::foreign(39).1, 40);
    measure("foreign-round-trip", 1, || Ok(raw::foreign(39).0))
}

/// A fault that the stub answers at once: the kernel's share, plus about 25 instructions of the stub.
fn fault_and_resume(_: &mut Session) -> Check {
    measure("fault-resume", 1, || {
        let before = ticks();
        let fault = raw::read(raw::NOWHERE);
        let cost = ticks() - before;
        fault.map_or(Ok(cost), |_| Err(Error::BadAddress))
    })
}

/// As a libOS handles a fault of a program: fault, map, and the access again.
fn fault_map_resume(session: &mut Session) -> Check {
    let (unit, address) = (session.take_frames(1), session.take_addresses(1));
    let (environment, frames) = (session.environment.0.into(), session.frames.0.into());
    measure("fault-map-resume", 1, || {
        session.unmap(session.environment, address, 1)?;
        let before = ticks();
        let fault = raw::read(address);
        raw::call(Call::MapRange, &[environment, address, frames, unit, 1, DATA.0])?;
        let value = raw::read(address);
        let cost = ticks() - before;
        if fault.is_ok() || value.is_err() { Err(Error::BadAddress) } else { Ok(cost) }
    })
}

fn map_one(session: &mut Session) -> Check {
    map(session, "map-one", 1)
}

fn map_batch(session: &mut Session) -> Check {
    map(session, "map-per-page-of-64", 64)
}

fn map(session: &mut Session, name: &str, count: u64) -> Check {
    let (unit, address) = (session.take_frames(count), session.take_addresses(count));
    let (environment, frames) = (session.environment.0.into(), session.frames.0.into());
    measure(name, count, || {
        session.unmap(session.environment, address, count)?;
        raw::measured(Call::MapRange, [environment, address, frames, unit, count, DATA.0])
    })
}

fn bind(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    measure("bind-no-caveat", 1, || {
        let before = ticks();
        let slot = serix_sys::call::bind(&token)?;
        let cost = ticks() - before;
        serix_sys::call::unbind(slot)?;
        Ok(cost)
    })
}

fn signal_and_poll(_: &mut Session) -> Check {
    let slot: u64 = event()?.0.into();
    let empty = empty();
    measure("signal-and-poll", 1, || {
        let signal = raw::measured(Call::EventSignal, [slot, 1, 0, 0, 0, 0])?;
        let poll = raw::measured(Call::EventWait, [slot, 1, 0, 0, 0, 0])?;
        Ok(signal + poll - empty)
    })
}

/// A forged token costs the same wherever its first wrong byte is, so that tags cannot be guessed byte by byte. Only a clock that counts
/// instructions shows it.
fn refusing_a_token_tells_nothing(session: &mut Session) -> Check {
    let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
    let mut costs = [0; serix_abi::token::TAG_SIZE];
    let mut is_counted = true;
    for (at, cost) in costs.iter_mut().enumerate() {
        let mut forged = token;
        forged[serix_abi::token::HEADER_SIZE + at] ^= 1;
        let (median, is_exact) = refusal(&forged)?;
        *cost = median;
        is_counted &= is_exact;
    }
    line(format_args!("BENCH bind-refused {0} {0} {0} {ROUNDS}", costs[0]));
    line(format_args!("CLOCK {}", if is_counted { "instructions" } else { "time" }));
    if is_counted {
        ensure_eq!(costs, [costs[0]; serix_abi::token::TAG_SIZE], "instructions by position");
    }
    Ok(())
}

/// The median cost of a refused bind, and whether four in five cost exactly that: no clock but one that counts
/// instructions says so.
fn refusal(token: &[u8]) -> Result<(u64, bool), Error> {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        let before = ticks();
        let answer = serix_sys::call::bind(token);
        *place = ticks() - before;
        answer.map_or(Ok(()), |slot| serix_sys::call::unbind(slot).map(drop))?;
    }
    all.sort_unstable();
    Ok((all[ROUNDS / 2], all[ROUNDS / 10] == all[ROUNDS * 9 / 10]))
}
