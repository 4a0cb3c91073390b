//! Servers and clients of the tests.
use serix_abi::Error;
use serix_abi::dispatcher::DispatcherParameters;
use serix_kernel_tests::child::{Child, STACK_END};
use serix_kernel_tests::partner::{self, gate_of};
use serix_kernel_tests::raw::{self, Server};
use serix_kernel_tests::session::Session;
use serix_sys::Slot;

pub(crate) use serix_kernel_tests::partner::{gate, helper};

/// A gate into the environment of another domain that [`other_domain`] made.
pub(crate) fn other_gate(child: &Child, server: Server) -> Result<u64, Error> {
    gate_of(child.environment, 1, server)
}

/// Another domain with the servers' code, whose only dispatcher never runs by itself: it has no slices.
pub(crate) fn other_domain(session: &mut Session, event: Slot) -> Result<Child, Error> {
    let child = partner::other_domain(session, event)?;
    // The first dispatcher of a domain waits for slices; the second is parked, for calls.
    raw::dispatcher(child.environment, &child.parameters())?;
    // Nobody needs the stack: its frame becomes the second's page.
    raw::dispatcher(
        child.environment,
        &DispatcherParameters { unit: 3, page_address: STACK_END - 4096, ..child.parameters() },
    )?;
    Ok(child)
}

/// A moment from now, for calls that shall not last.
pub(crate) fn soon() -> u64 {
    const MOMENT_NS: u64 = 20_000_000;
    raw::now_ns() + MOMENT_NS
}

/// Longer than any call of these tests lasts, for calls that shall not hang the test.
pub(crate) fn later() -> u64 {
    const PATIENCE_NS: u64 = 5_000_000_000;
    raw::now_ns() + PATIENCE_NS
}
