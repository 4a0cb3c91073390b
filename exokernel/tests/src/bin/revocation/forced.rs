//! What the kernel itself uses for a domain is taken too, and so is what has many delegations.
use serix_abi::start::EndReason;
use serix_abi::token::Rights;
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{Child, Operation, Script, event, grant, until_done};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::Session;
use serix_kernel_tests::{Check, Test, ensure, ensure_eq, tests};
use serix_sys::Slot;

pub(crate) const TESTS: &[Test] = tests!["forced":
    frames_of_an_account_end_their_domain,
    an_event_with_many_delegations_ends_in_steps,
    a_delegation_in_use_is_taken_at_once];

/// All frames of a child are revoked while it runs: its account, its dispatcher's page and its page tables are among them.
fn frames_of_an_account_end_their_domain(session: &mut Session) -> Check {
    let ended = event()?;
    let spin = [Operation::Spin(0)];
    let child = Child::new(session, ended, 0, Script { operations: &spin, bytes: &[] })?;
    raw::dispatcher(child.environment, &child.parameters())?;
    child.give_slice(session)?;
    until_done(Call::Revoke, child.frames)?;
    call(Call::EventWait, &[ended.0.into(), 1, raw::now_ns() + 5_000_000_000])?;
    let status = call(Call::DomainStatus, &[child.domain.0.into()])?;
    ensure_eq!(status >> 32, EndReason::Revoked as u64, "why it ended");
    until_done(Call::DomainDestroy, child.domain)?;
    serix_sys::call::unbind(ended)?;
    Ok(())
}

fn an_event_with_many_delegations_ends_in_steps(session: &mut Session) -> Check {
    let _ = session;
    let event = event()?;
    let mut delegations = [Slot(0); 300];
    for place in &mut delegations {
        (*place, _) = grant(event, 0, 1, Rights::SIGNAL, Slot(serix_abi::NO_SLOT))?;
    }
    let mut steps = 0;
    while call(Call::Unbind, &[event.0.into()]) == Err(Error::Again) {
        steps += 1;
    }
    ensure!(steps > 100, "{steps} steps for 300 delegations");
    for delegation in delegations {
        until_done(Call::Revoke, delegation)?;
    }
    Ok(())
}

/// A right of a delegation that is not one to revoke with.
fn a_delegation_in_use_is_taken_at_once(session: &mut Session) -> Check {
    ensure_eq!(call(Call::Revoke, &[session.frames.0.into(), 0, 0, 0]), Err(Error::Denied));
    ensure_eq!(call(Call::Revoke, &[0xFFFF, 0, 0, 0]), Err(Error::BadSlot));
    let event = event()?;
    let (delegation, _) = grant(event, 0, 1, Rights::SIGNAL, Slot(serix_abi::NO_SLOT))?;
    let bad_event = [delegation.0.into(), raw::now_ns() + 1_000_000_000, 0xFFFF, 1];
    ensure_eq!(call(Call::Revoke, &bad_event), Err(Error::BadSlot));
    until_done(Call::Revoke, delegation)?;
    serix_sys::call::unbind(event)?;
    Ok(())
}
