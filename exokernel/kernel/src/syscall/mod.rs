//! Native calls: decode registers, check, act. Only this module sees registers.
mod authority;
mod control;
mod device;
mod memory;

use crate::kernel::{Kernel, Outcome, lock, run, run_in_slice};
use serix_abi::{Call, Error, NO_SLOT};
use serix_hal::cpu::trap::Reply;

/// Arguments of a call.
type Arguments = [u64; 6];
type CallResult = Result<Outcome, Error>;

/// The handler of native calls.
pub(crate) extern "sysv64" fn native(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    number: u64,
) -> Reply {
    if number as u32 == Call::Null as u32 {
        return Reply { status: 0, value: 0 };
    }
    call_kernel([a, b, c, d, e, f], number as u32)
}

/// Every call but the first: kept apart, so that the shortest way in and out saves no register that it does not need.
#[inline(never)]
fn call_kernel(arguments: Arguments, number: u32) -> Reply {
    let Some(call) = Call::from_number(number) else {
        return Reply { status: Error::BadCall as u64, value: 0 };
    };
    let mut kernel = lock();
    if kernel.core().evicted {
        run(kernel);
    }
    let caller = kernel.core().running;
    let reply = match kernel.dispatch(call, arguments) {
        Ok(Outcome::Value(value)) => Reply { status: 0, value },
        Ok(Outcome::Switch) => run(kernel),
        Ok(Outcome::Enter(next)) => run_in_slice(kernel, next),
        Err(error) => Reply { status: error as u64, value: 0 },
    };
    if kernel.core().running != caller {
        // The call ended its own caller: there is nobody to reply to.
        run(kernel);
    }
    reply
}

/// Who called.
#[derive(Clone, Copy, Debug)]
struct Caller {
    domain: u32,
    environment: u32,
    dispatcher: u32,
}

/// A slot number: the upper half of the register must be zero.
fn slot(argument: u64) -> Result<u32, Error> {
    u32::try_from(argument).map_err(|_| Error::BadSlot)
}

/// A slot number, or none.
fn optional_slot(argument: u64) -> Result<Option<u32>, Error> {
    slot(argument).map(|slot| (slot != NO_SLOT).then_some(slot))
}

fn value(result: Result<impl Into<u64>, Error>) -> CallResult {
    result.map(|value| Outcome::Value(value.into()))
}

fn done(result: Result<(), Error>) -> CallResult {
    result.map(|()| Outcome::Value(0))
}

/// A restartable call: `Again` while there is more to do.
fn step(more: bool) -> CallResult {
    if more { Err(Error::Again) } else { Ok(Outcome::Value(0)) }
}

impl Kernel {
    fn caller(&self) -> Result<Caller, Error> {
        let dispatcher = self.core().running.ok_or(Error::Dead)?;
        let running = self.dispatchers.get(dispatcher).ok_or(Error::Dead)?;
        Ok(Caller { domain: running.domain, environment: running.environment, dispatcher })
    }

    fn dispatch(&mut self, call: Call, arguments: Arguments) -> CallResult {
        let caller = self.caller()?;
        match call {
            Call::Null => Ok(Outcome::Value(0)),
            Call::Write => self.call_write(caller, arguments),
            Call::Exit => self.call_exit(arguments),
            Call::Yield => self.call_yield(caller),
            Call::YieldTo => self.call_yield_to(caller, arguments),
            Call::Bind => self.call_bind(caller, arguments),
            Call::Unbind => self.call_unbind(caller, arguments),
            Call::Grant => self.call_grant(caller, arguments),
            Call::Revoke => self.call_revoke(caller, arguments),
            Call::RecordSet => self.call_record_set(caller, arguments),
            Call::Surrender => done(self.surrender(caller.domain, arguments[0])),
            Call::Map => self.call_map(caller, arguments),
            Call::MapRange => self.call_map_range(caller, arguments),
            Call::Unmap => self.call_unmap(caller, arguments),
            Call::Protect => self.call_protect(caller, arguments),
            Call::CopyRange => self.call_copy_range(caller, arguments),
            Call::SubtreeCreate => self.call_subtree_create(caller, arguments),
            Call::Attach => self.call_attach(caller, arguments),
            Call::SubtreeDestroy => self.call_subtree_destroy(caller, arguments),
            Call::EnvironmentCreate => self.call_environment_create(caller, arguments),
            Call::EnvironmentDestroy => self.call_environment_destroy(caller, arguments),
            Call::DispatcherCreate => self.call_dispatcher_create(caller, arguments),
            Call::DomainCreate => self.call_domain_create(caller, arguments),
            Call::DomainDestroy => self.call_domain_destroy(caller, arguments),
            Call::DomainStatus => self.call_domain_status(caller, arguments),
            Call::Fund => self.call_fund(caller, arguments),
            Call::EventCreate => value(self.event_create(caller.domain)),
            Call::EventSignal => self.call_event_signal(caller, arguments),
            Call::EventWait => self.call_event_wait(caller, arguments),
            Call::RingCreate => self.call_ring_create(caller, arguments),
            Call::RingSubmit => self.call_ring_submit(caller, arguments),
            Call::RingDestroy => self.call_ring_destroy(caller, arguments),
            Call::InfoMap => self.call_info_map(caller, arguments),
            Call::SliceAssign => self.call_slice_assign(caller, arguments),
            Call::EnvironmentLeave => self.call_environment_leave(caller, arguments),
            Call::SlotQuery => self.call_slot_query(caller, arguments),
            Call::LedgerCheck => self.call_ledger_check(caller, arguments),
            Call::DispatcherEntries => self.call_dispatcher_entries(caller, arguments),
            Call::MappingCount => self.call_mapping_count(caller, arguments),
            Call::GateCreate => self.call_gate_create(caller, arguments),
            Call::GateCall => self.call_gate_call(caller, arguments),
            Call::GateReply => {
                let [a, b, c, d, ..] = arguments;
                self.gate_reply([a, b, c, d])
            }
            Call::DispatcherStart => self.call_dispatcher_start(caller, arguments),
            Call::InterruptBind => self.call_interrupt_bind(caller, arguments),
            Call::InterruptAcknowledge => self.call_interrupt_acknowledge(caller, arguments),
            Call::PortRead => self.call_port_read(caller, arguments),
            Call::PortWrite => self.call_port_write(caller, arguments),
        }
    }
}
