//! Servers and clients of the tests.
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{self, CODE, Child, Helper, Operation, STACK_END, Script};
use serix_kernel_tests::raw::{self, ENTRY_SIZE, Server, call};
use serix_kernel_tests::session::Session;
use serix_sys::Slot;

/// Where servers have their code.
const SERVERS: u64 = CODE + 4096;

/// A gate into an environment that [`helper`] made.
pub(crate) fn gate(environment: Slot, server: Server) -> Result<u64, Error> {
    gate_of(environment, 0, server)
}

/// A gate into the environment of another domain that [`other_domain`] made.
pub(crate) fn other_gate(child: &Child, server: Server) -> Result<u64, Error> {
    gate_of(child.environment, 1, server)
}

fn gate_of(environment: Slot, number: u64, server: Server) -> Result<u64, Error> {
    let entry = SERVERS + server as u64 * ENTRY_SIZE;
    call(Call::GateCreate, &[environment.0.into(), number, entry, STACK_END - 8])
}

/// An environment of the test's own domain with the servers' code, and this script.
pub(crate) fn helper(session: &mut Session, operations: &[Operation]) -> Result<Helper, Error> {
    let helper = Helper::new(session, operations)?;
    let unit = session.take_frames(1);
    child::fill(session, unit, raw::server_code())?;
    session.map(helper.environment, SERVERS, unit, 1, MapFlags::default())?;
    Ok(helper)
}

/// Another domain with the servers' code, whose only dispatcher never runs by itself: it has no slices.
pub(crate) fn other_domain(session: &mut Session, event: Slot) -> Result<Child, Error> {
    let child = Child::with_code(session, event, Script::default(), raw::server_code())?;
    child.map(SERVERS, child.count - 1, MapFlags::default())?;
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
