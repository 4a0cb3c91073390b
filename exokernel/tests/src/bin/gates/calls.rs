//! Calls that are answered, and those that cannot be made.
use super::setting::{gate, helper, later, soon};
use serix_abi::layout::USER_END;
use serix_abi::token::Rights;
use serix_abi::{Call, Error, FOREVER};
use serix_kernel_tests::child::{self, BYTES, Child, Operation, SCRIPT, event, grant, until_done};
use serix_kernel_tests::raw::{self, NEXT, Server, call, gate_call};
use serix_kernel_tests::session::Session;
use serix_kernel_tests::{Check, Test, arena, ensure, ensure_eq, tests};
use serix_sys::Slot;

pub(crate) const TESTS: &[Test] = tests!["gates":
    words_go_there_and_back,
    the_badge_is_the_grant,
    nothing_else_arrives,
    bad_arguments_are_refused,
    a_right_is_needed,
    a_domain_has_sixteen,
    nesting_is_bounded,
    a_server_may_wait,
    who_does_not_run_is_not_called,
    a_reply_to_nobody_is_refused];

fn words_go_there_and_back(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let echo = gate(server.environment, Server::Echo)?;
    for round in 0..100 {
        let words = [round, 7 * round, u64::MAX - round, 2 * round];
        let [badge, a, b, sum] = gate_call(echo, words, later())?;
        ensure!(badge != 0, "no badge");
        ensure_eq!((a, b), (words[0] + 1, words[1] + 1), "round {round}");
        ensure_eq!(sum, words[2].wrapping_add(words[3]), "round {round}");
    }
    until_done(Call::EnvironmentDestroy, server.environment)?;
    let gone = gate_call(echo, [0; 4], later());
    ensure_eq!(gone, Err(Error::Dead), "the server's environment is gone");
    serix_sys::call::unbind(Slot(echo as u32))?;
    Ok(())
}

/// A child finds in its reply the generation of the grant that its token names.
fn the_badge_is_the_grant(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let echo = gate(server.environment, Server::Echo)?;
    let [own, ..] = gate_call(echo, [0; 4], later())?;
    let (delegation, token) = grant_to_self(Slot(echo as u32), Rights::CALL)?;
    let generation = u64::from_le_bytes(token[8..16].try_into().expect("eight bytes"));
    ensure!(generation != own, "two grants with one generation");
    arena::put(0, &token);
    let bound = call(Call::Bind, &[arena::address(0), 48])?;
    let [badge, ..] = gate_call(bound, [0; 4], later())?;
    ensure_eq!(badge, generation, "of the delegation");
    until_done(Call::Revoke, delegation)?;
    ensure_eq!(gate_call(bound, [0; 4], later()), Err(Error::Stale), "after revocation");
    let [still, ..] = gate_call(echo, [0; 4], later())?;
    ensure_eq!(still, own, "the maker's own grant");
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(echo as u32))?;
    Ok(())
}

/// A bearer token.
fn grant_to_self(slot: Slot, rights: Rights) -> Result<(Slot, [u8; 48]), Error> {
    grant(slot, 0, 1, rights, Slot(serix_abi::NO_SLOT))
}

fn nothing_else_arrives(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let registers = gate(server.environment, Server::Registers)?;
    let [found, ..] = gate_call(registers, [u64::MAX; 4], later())?;
    ensure_eq!(found, 0, "bits of other registers");
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(registers as u32))?;
    Ok(())
}

fn bad_arguments_are_refused(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let space = u64::from(server.environment.0);
    for bad in [USER_END, 0x8000_0000_0000, u64::MAX] {
        ensure_eq!(call(Call::GateCreate, &[space, 0, bad, 0]), Err(Error::BadArgument));
        ensure_eq!(call(Call::GateCreate, &[space, 0, 0, bad]), Err(Error::BadArgument));
    }
    for number in [1, 15, 16, 1 << 32, u64::MAX] {
        ensure_eq!(call(Call::GateCreate, &[space, number, 0, 0]), Err(Error::BadArgument));
    }
    for slot in [session.frames.0, session.log.0, 0xFFFF, u32::MAX] {
        let answer = call(Call::GateCreate, &[slot.into(), 0, 0, 0]);
        ensure_eq!(answer, Err(Error::BadSlot), "slot {slot}");
        ensure_eq!(gate_call(slot.into(), [0; 4], later()), Err(Error::BadSlot), "slot {slot}");
    }
    let echo = gate(server.environment, Server::Echo)?;
    ensure_eq!(gate_call(echo, [0; 4], 0), Err(Error::TimedOut), "a deadline that is over");
    gate_call(echo, [0; 4], FOREVER)?;
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(echo as u32))?;
    Ok(())
}

fn a_right_is_needed(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let echo = gate(server.environment, Server::Echo)?;
    let (delegation, token) = grant_to_self(Slot(echo as u32), Rights::GRANT)?;
    arena::put(0, &token);
    let bound = call(Call::Bind, &[arena::address(0), 48])?;
    ensure_eq!(gate_call(bound, [0; 4], later()), Err(Error::Denied));
    until_done(Call::Revoke, delegation)?;
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(echo as u32))?;
    Ok(())
}

fn a_domain_has_sixteen(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let mut gates = [0; 16];
    for place in &mut gates {
        *place = gate(server.environment, Server::Echo)?;
    }
    ensure_eq!(gate(server.environment, Server::Echo), Err(Error::TableFull));
    for gate in gates {
        gate_call(gate, [0; 4], later())?;
        serix_sys::call::unbind(Slot(gate as u32))?;
    }
    until_done(Call::EnvironmentDestroy, server.environment)?;
    Ok(())
}

/// Server n calls server n + 1. The ninth is not called.
fn nesting_is_bounded(session: &mut Session) -> Check {
    let mut servers = [const { None }; 9];
    for place in &mut servers {
        *place = Some(helper(session, &[])?);
    }
    let mut gates = [0; 9];
    for (place, server) in gates.iter_mut().zip(servers.iter().flatten()) {
        *place = gate(server.environment, Server::Forward)?;
    }
    for (server, next) in servers.iter().flatten().zip(&gates[1..]) {
        raw::write(server.script_page + (NEXT - SCRIPT), *next)?;
    }
    let [status, depth, ..] = gate_call(gates[0], [0; 4], later())?;
    ensure_eq!(status, 0, "the second call");
    // Each server adds one to what it hears; the last one's call fails, and rdi is clear then.
    ensure_eq!(depth, 8, "servers in the chain");
    for (gate, server) in gates.into_iter().zip(servers.into_iter().flatten()) {
        serix_sys::call::unbind(Slot(gate as u32))?;
        until_done(Call::EnvironmentDestroy, server.environment)?;
    }
    Ok(())
}

/// The client waits with its server, and gets the reply that comes after the wait.
fn a_server_may_wait(session: &mut Session) -> Check {
    let server = helper(session, &[])?;
    let event = event()?;
    let waits = gate(server.environment, Server::Wait)?;
    let [status, ..] = gate_call(waits, [event.0.into(), soon(), 0, 0], later())?;
    ensure_eq!(status, Error::TimedOut as u64, "what the server's wait answered");
    call(Call::EventSignal, &[event.0.into(), 1])?;
    let [status, ..] = gate_call(waits, [event.0.into(), later(), 0, 0], later())?;
    ensure_eq!(status, 0, "a bit that was set");
    let answer = gate_call(waits, [event.0.into(), later(), 0, 0], soon());
    ensure_eq!(answer, Err(Error::TimedOut), "the client's own deadline");
    ensure_eq!(gate_call(waits, [0; 4], soon()), Err(Error::Busy), "it waits still");
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(waits as u32))?;
    serix_sys::call::unbind(event)?;
    Ok(())
}

/// A gate into the caller itself, and into one that waits for slices.
fn who_does_not_run_is_not_called(session: &mut Session) -> Check {
    let own = call(Call::GateCreate, &[session.environment.0.into(), 0, 0, 0])?;
    ensure_eq!(gate_call(own, [0; 4], later()), Err(Error::Busy), "itself");
    serix_sys::call::unbind(Slot(own as u32))?;
    let event = event()?;
    let child = Child::new(session, event, 0, child::Script::default())?;
    raw::dispatcher(child.environment, &child.parameters())?;
    let ready = gate(child.environment, Server::Echo)?;
    ensure_eq!(gate_call(ready, [0; 4], later()), Err(Error::Busy), "one that is ready to run");
    serix_sys::call::unbind(Slot(ready as u32))?;
    child.end()?;
    serix_sys::call::unbind(event)?;
    Ok(())
}

fn a_reply_to_nobody_is_refused(session: &mut Session) -> Check {
    ensure_eq!(call(Call::GateReply, &[1, 2, 3, 4]), Err(Error::BadArgument));
    // Nor may a server give its client's slice away.
    let own = u64::from(session.environment.0);
    let yields = Operation::Call(Call::YieldTo, [own, 0, 0, 0, 0, 0], Some(Error::Busy));
    let reply = Operation::Call(Call::GateReply, [BYTES, 0, 0, 0, 0, 0], None);
    let server = helper(session, &[yields, reply])?;
    let script = gate(server.environment, Server::Script)?;
    let [word, ..] = gate_call(script, [0; 4], later())?;
    ensure_eq!(word, BYTES, "the reply");
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(script as u32))?;
    Ok(())
}
