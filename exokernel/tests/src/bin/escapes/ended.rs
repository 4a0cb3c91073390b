//! What has ended does nothing any more.

use serix_abi::start::EndReason;
use serix_abi::token::Rights;
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, encode, event, grant, until_done,
};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::{Check, Session, Test, ensure_eq, tests};
use serix_sys::call as sys;

pub(crate) const TESTS: &[Test] = tests!["ended":
    a_waiting_dispatcher_is_woken, no_dispatcher_outlives_its_domain];

/// When the child's dispatcher is woken, after it began to wait, in nanoseconds.
const NAP_NS: u64 = 400_000_000;

/// A child whose one dispatcher waits, and then tells the test; whose other ends the domain meanwhile, or does not.
fn told_after(session: &mut Session, ends_before: bool) -> Result<Result<u64, Error>, Error> {
    let (end, told) = (event()?, event()?);
    let wake = raw::now_ns() + NAP_NS;
    let idle = [Operation::Spin(0)];
    let exit = [Operation::Call(Call::Exit, [5, 0, 0, 0, 0, 0], None)];
    let waits = [
        Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None),
        Operation::Call(Call::EventCreate, [0; 6], None),
        Operation::Call(Call::EventWait, [1, 1, wake, 0, 0, 0], Some(Error::TimedOut)),
        Operation::Call(Call::EventSignal, [0, 1, 0, 0, 0, 0], None),
        Operation::Spin(0),
    ];
    let first = Script { operations: if ends_before { &exit } else { &idle }, ..Script::default() };
    let (child, delegation) = Child::with_page_for(session, end, first, |domain| {
        let (delegation, token) = grant(told, 0, 1, Rights::SIGNAL, domain)?;
        Ok((encode(Script { operations: &waits, bytes: &token }), delegation))
    })?;
    let second = child.second_environment()?;
    child.give_slice(session)?;
    // The waiting one goes first: it is the domain's current one, and alone.
    let _ = call(Call::EventWait, &[end.0.into(), 1, wake - NAP_NS / 2]);
    if ends_before {
        raw::dispatcher(child.environment, &child.parameters())?;
        call(Call::EventWait, &[end.0.into(), 1, wake + NAP_NS])?;
        let status = call(Call::DomainStatus, &[child.domain.0.into()])?;
        if status != (EndReason::Exit as u64) << 32 | 5 {
            return Err(Error::Unsupported);
        }
    }
    let outcome = call(Call::EventWait, &[told.0.into(), 1, wake + 2 * NAP_NS]);
    child.end()?;
    until_done(Call::Revoke, delegation)?;
    for slot in [second, end, told] {
        sys::unbind(slot)?;
    }
    Ok(outcome)
}

fn a_waiting_dispatcher_is_woken(session: &mut Session) -> Check {
    ensure_eq!(told_after(session, false)?, Ok(1));
    Ok(())
}

fn no_dispatcher_outlives_its_domain(session: &mut Session) -> Check {
    ensure_eq!(told_after(session, true)?, Err(Error::TimedOut));
    Ok(())
}
