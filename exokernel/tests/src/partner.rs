//! Servers and partners: environments with the code of [`crate::raw::Server`].

use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error};
use serix_sys::Slot;

use crate::child::{self, CODE, Child, Helper, Operation, SCRIPT, STACK_END, Script};
use crate::raw::{self, ENTRY_SIZE, NEXT, Server, call};
use crate::session::Session;

/// Where servers have their code.
const SERVERS: u64 = CODE + 4096;

/// Where a server begins.
#[must_use]
pub fn entry(server: Server) -> u64 {
    SERVERS + server as u64 * ENTRY_SIZE
}

/// A gate into an environment that [`helper`] made.
///
/// # Errors
/// As `GateCreate`.
pub fn gate(environment: Slot, server: Server) -> Result<u64, Error> {
    gate_of(environment, 0, server)
}

/// A gate to a dispatcher of an environment that has the servers' code.
///
/// # Errors
/// As `GateCreate`.
pub fn gate_of(environment: Slot, number: u64, server: Server) -> Result<u64, Error> {
    let arguments = [environment.0.into(), number, entry(server), STACK_END - 8];
    call(Call::GateCreate, &arguments)
}

/// An environment of the test's own domain with the servers' code, and this script.
///
/// # Errors
/// Of the call that failed.
pub fn helper(session: &mut Session, operations: &[Operation]) -> Result<Helper, Error> {
    let helper = Helper::new(session, operations)?;
    let unit = session.take_frames(1);
    child::fill(session, unit, raw::server_code())?;
    session.map(helper.environment, SERVERS, unit, 1, MapFlags::default())?;
    Ok(helper)
}

/// As [`helper`], whose dispatcher is that server, which finds these slots at [`NEXT`].
///
/// # Errors
/// Of the call that failed.
///
/// # Panics
/// If the script's page cannot be written.
pub fn partner(session: &mut Session, server: Server, slots: [u64; 2]) -> Result<Helper, Error> {
    let partner = helper(session, &[Operation::Jump(entry(server))])?;
    for (slot, at) in slots.into_iter().zip((partner.script_page + (NEXT - SCRIPT)..).step_by(8)) {
        raw::write(at, slot).expect("the page is mapped");
    }
    Ok(partner)
}

/// Another domain with the servers' code and no dispatcher yet.
///
/// # Errors
/// Of the call that failed.
pub fn other_domain(session: &mut Session, event: Slot) -> Result<Child, Error> {
    let child = Child::with_code(session, event, Script::default(), raw::server_code())?;
    child.map(SERVERS, child.count - 1, MapFlags::default())?;
    Ok(child)
}

/// Parameters of its first dispatcher, to run a server.
#[must_use]
pub fn runs(child: &Child, server: Server) -> DispatcherParameters {
    DispatcherParameters { rip: entry(server), ..child.parameters() }
}
