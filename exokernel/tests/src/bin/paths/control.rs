//! Calls, gates, events, and switches that are asked for.

use super::measure::{empty, measure};
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{SCRIPT, event, until_done};
use serix_kernel_tests::partner::{gate, helper, partner};
use serix_kernel_tests::raw::{self, ROUNDS, Server};
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};

pub(crate) const TESTS: &[Test] = tests!["paths":
    null, foreign, gate_call_reply, event_ping_pong, yield_to, signal_and_poll];

fn null(_: &mut Session) -> Check {
    measure("null", 1, || raw::measured(Call::Null, [0; 6]))
}

fn foreign(_: &mut Session) -> Check {
    ensure_eq!(raw::foreign(39).1, 40);
    measure("foreign-round-trip", 1, || Ok(raw::foreign(39).0))
}

/// Four words there and four back, from one address space to another.
fn gate_call_reply(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let echo = gate(server.environment, Server::Echo)?;
    let mut round = 0;
    measure("gate-call-reply", 1, || {
        round += 1;
        let ([_, a, b, sum], cost) = raw::gate_call_measured(echo, [round, 7 * round, 5, round])?;
        let is_right = (a, b, sum) == (round + 1, 7 * round + 1, round + 5);
        if is_right { Ok(cost) } else { Err(Error::BadArgument) }
    })?;
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(serix_sys::Slot(echo as u32))?;
    Ok(())
}

/// Two environments wake each other in turn: signal and wait here, wait and signal there.
fn event_ping_pong(session: &mut Session) -> Check {
    let (there, here) = (event()?, event()?);
    let [there_slot, here_slot] = [there, here].map(|event| u64::from(event.0));
    let other = partner(session, Server::Pong, [there_slot, here_slot])?;
    raw::call(Call::DispatcherStart, &[other.environment.0.into(), 0])?;
    // While nothing comes here the partner gets to its first wait.
    let soon = raw::now_ns() + 1_000_000;
    ensure_eq!(raw::call(Call::EventWait, &[here_slot, 1, soon]), Err(Error::TimedOut));
    let mut rounds = 0;
    measure("event-ping-pong", 1, || {
        rounds += 1;
        let (bits, cost) = raw::ping_measured(there_slot, here_slot)?;
        if bits == 1 { Ok(cost) } else { Err(Error::BadArgument) }
    })?;
    let counted = raw::read(other.script_page + (ROUNDS - SCRIPT))?;
    ensure!(counted >= rounds, "the partner woke {counted} times in {rounds} rounds");
    until_done(Call::EnvironmentDestroy, other.environment)?;
    for event in [there, here] {
        serix_sys::call::unbind(event)?;
    }
    Ok(())
}

/// To another environment and back.
fn yield_to(session: &mut Session) -> Check {
    let other = partner(session, Server::Yield, [session.environment.0.into(), 0])?;
    let environment = other.environment.0.into();
    let mut rounds = 0;
    measure("yield-to-round-trip", 1, || {
        rounds += 1;
        raw::measured(Call::YieldTo, [environment, 0, 0, 0, 0, 0])
    })?;
    let counted = raw::read(other.script_page + (ROUNDS - SCRIPT))?;
    ensure_eq!(counted, rounds, "rounds of the partner");
    until_done(Call::EnvironmentDestroy, other.environment)?;
    Ok(())
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
