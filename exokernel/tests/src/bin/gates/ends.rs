//! One side of a call goes away: the other is told, or left whole.
use super::setting::{gate, helper, later, other_domain, other_gate, soon};
use serix_abi::token::Rights;
use serix_abi::{Call, Error, FOREVER};
use serix_kernel_tests::child::{BYTES, Child, Operation, SCRIPT, event, grant, until_done};
use serix_kernel_tests::raw::{self, Server, call, gate_call};
use serix_kernel_tests::session::Session;
use serix_kernel_tests::{Check, Test, ensure, ensure_eq, tests};
use serix_sys::Slot;

pub(crate) const TESTS: &[Test] = tests!["gates":
    a_server_that_exits,
    a_server_that_faults,
    a_server_that_never_replies,
    a_gate_that_ends_in_mid_call,
    a_gate_revoked_in_mid_call,
    a_caller_that_dies_in_mid_call];

/// Where a script notes how far it came, in its own page.
const MARK: u64 = 3072 + 512;
/// Where the first operation of a script has its first argument.
const FIRST_ARGUMENT: u64 = 8;

fn dies(session: &mut Session, server: Server) -> Check {
    let event = event()?;
    let child = other_domain(session, event)?;
    let gate = other_gate(&child, server)?;
    ensure_eq!(gate_call(gate, [0; 4], later()), Err(Error::Dead));
    call(Call::EventWait, &[event.0.into(), 1, later()])?;
    ensure_eq!(gate_call(gate, [0; 4], later()), Err(Error::Dead), "again");
    child.end()?;
    serix_sys::call::unbind(Slot(gate as u32))?;
    serix_sys::call::unbind(event)?;
    Ok(())
}

fn a_server_that_exits(session: &mut Session) -> Check {
    dies(session, Server::Exit)
}

fn a_server_that_faults(session: &mut Session) -> Check {
    dies(session, Server::Fault)
}

/// The caller goes on at its deadline; the server, which has no slices of its own, stays where it is.
fn a_server_that_never_replies(session: &mut Session) -> Check {
    let event = event()?;
    let child = other_domain(session, event)?;
    let gate = other_gate(&child, Server::Spin)?;
    let before = raw::now_ns();
    ensure_eq!(gate_call(gate, [0; 4], soon()), Err(Error::TimedOut));
    let late = raw::now_ns() - before;
    ensure_eq!(late < 2_000_000_000, true, "the caller waited {late} ns");
    ensure_eq!(gate_call(gate, [0; 4], later()), Err(Error::Busy), "it still spins");
    child.end()?;
    serix_sys::call::unbind(Slot(gate as u32))?;
    serix_sys::call::unbind(event)?;
    Ok(())
}

/// The server itself takes its gate away while it is called.
fn a_gate_that_ends_in_mid_call(session: &mut Session) -> Check {
    let unbind = Operation::Call(Call::Unbind, [0; 6], None);
    let mark = Operation::Write(SCRIPT + MARK, 1);
    let reply = Operation::Call(Call::GateReply, [9, 0, 0, 0, 0, 0], None);
    let server = helper(session, &[unbind, mark, reply])?;
    let own = gate(server.environment, Server::Script)?;
    raw::write(server.script_page + FIRST_ARGUMENT, own)?;
    ensure_eq!(gate_call(own, [0; 4], later()), Err(Error::Dead), "the gate is gone");
    wait_for_mark(server.script_page, 1)?;
    until_done(Call::EnvironmentDestroy, server.environment)?;
    Ok(())
}

/// A client in another domain, with the gate that `token` names bound in its first free slot, calls it and expects `status`.
fn client(
    session: &mut Session,
    ended: Slot,
    gate: u64,
    status: Option<Error>,
) -> Result<(Child, Slot), Error> {
    const GATE: u64 = 0;
    let bind = Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None);
    let calls = Operation::Call(Call::GateCall, [GATE, 0, 0, 0, 0, FOREVER], status);
    Child::with_bytes(session, ended, &[bind, calls], |_, domain| {
        let (delegation, token) = grant(Slot(gate as u32), 0, 1, Rights::CALL, domain)?;
        Ok((token, delegation))
    })
}

/// The server revokes its client's grant in mid-call: the client hears `Stale`, the server goes on and parks.
fn a_gate_revoked_in_mid_call(session: &mut Session) -> Check {
    let ended = event()?;
    let revoke = Operation::Call(Call::Revoke, [0; 6], Some(Error::Again));
    let mark = Operation::Write(SCRIPT + MARK, 1);
    let reply = Operation::Call(Call::GateReply, [9, 0, 0, 0, 0, 0], None);
    let server = helper(session, &[revoke, mark, reply])?;
    let script = gate(server.environment, Server::Script)?;
    let (child, delegation) = client(session, ended, script, Some(Error::Stale))?;
    raw::write(server.script_page + FIRST_ARGUMENT, delegation.0.into())?;
    let (reason, status) = child.run(session, ended, &child.parameters())?;
    ensure_eq!((reason, status), (1, 0), "the client's script");
    until_done(Call::Revoke, delegation)?;
    wait_for_mark(server.script_page, 1)?;
    child.end()?;
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(script as u32))?;
    serix_sys::call::unbind(ended)?;
    Ok(())
}

/// Lets others run until a script has come to its mark.
fn wait_for_mark(page: u64, mark: u64) -> Check {
    let end = later();
    while raw::read(page + MARK)? != mark {
        ensure!(raw::now_ns() < end, "the server did not go on");
        let event = event()?;
        let _ = call(Call::EventWait, &[event.0.into(), 1, soon()]);
        serix_sys::call::unbind(event)?;
    }
    Ok(())
}

/// The server ends its client's domain in mid-call, does the rest of its work, and serves the next call as ever.
fn a_caller_that_dies_in_mid_call(session: &mut Session) -> Check {
    let ended = event()?;
    let destroy = Operation::Call(Call::DomainDestroy, [0; 6], Some(Error::Again));
    let mark = Operation::Write(SCRIPT + MARK, 1);
    let reply = Operation::Call(Call::GateReply, [9, 0, 0, 0, 0, 0], None);
    let server = helper(session, &[destroy, mark, reply])?;
    let script = gate(server.environment, Server::Script)?;
    let echo = gate(server.environment, Server::Echo)?;
    let (child, delegation) = client(session, ended, script, None)?;
    raw::write(server.script_page + FIRST_ARGUMENT, child.domain.0.into())?;
    raw::dispatcher(child.environment, &child.parameters())?;
    child.give_slice(session)?;
    wait_for_mark(server.script_page, 1)?;
    let [_, word, ..] = gate_call(echo, [41, 0, 0, 0], later())?;
    ensure_eq!(word, 42, "the next call");
    until_done(Call::Revoke, delegation)?;
    child.end()?;
    until_done(Call::EnvironmentDestroy, server.environment)?;
    serix_sys::call::unbind(Slot(script as u32))?;
    serix_sys::call::unbind(Slot(echo as u32))?;
    serix_sys::call::unbind(ended)?;
    Ok(())
}
