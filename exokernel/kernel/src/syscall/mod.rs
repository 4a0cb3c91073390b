//! Native calls: decode registers, check, act. Only this module sees registers.
mod authority;
mod control;
mod device;
mod memory;

use crate::cpu::core::Caller;
use crate::kernel::{self, Kernel, Outcome, lock, run, run_in_slice};
use serix_abi::{Call, Error, NO_SLOT};
use serix_hal::cpu::local;
use serix_hal::cpu::trap::{NATIVE_HANDLERS, NativeHandler, Reply};

/// Arguments of a call.
type Arguments = [u64; 6];
type CallResult = Result<Outcome, Error>;

/// The handlers of native calls. Those that are made most often have one of their own: the same code, made for one call alone.
pub(crate) static HANDLERS: [NativeHandler; NATIVE_HANDLERS] = {
    assert!(Call::ALL.len() < NATIVE_HANDLERS);
    let mut handlers = [any as NativeHandler; NATIVE_HANDLERS];
    handlers[Call::Null as usize] = null;
    handlers[Call::MapRange as usize] = one::<{ Call::MapRange as u32 }>;
    handlers[Call::Unmap as usize] = one::<{ Call::Unmap as u32 }>;
    handlers[Call::YieldTo as usize] = one::<{ Call::YieldTo as u32 }>;
    handlers[Call::EventSignal as usize] = one::<{ Call::EventSignal as u32 }>;
    handlers[Call::EventWait as usize] = one::<{ Call::EventWait as u32 }>;
    handlers[Call::GateCall as usize] = one::<{ Call::GateCall as u32 }>;
    handlers[Call::GateReply as usize] = one::<{ Call::GateReply as u32 }>;
    handlers
};

extern "sysv64" fn null(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> Reply {
    Reply { status: 0, value: 0 }
}

/// One call, with all that it does in one function.
extern "sysv64" fn one<const CALL: u32>(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    _: u64,
) -> Reply {
    match Call::from_number(CALL) {
        Some(call) => make(call, [a, b, c, d, e, f]),
        None => Reply { status: Error::BadCall as u64, value: 0 },
    }
}

/// Every other call.
extern "sysv64" fn any(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, number: u64) -> Reply {
    match Call::from_number(number as u32) {
        Some(call) => make(call, [a, b, c, d, e, f]),
        None => Reply { status: Error::BadCall as u64, value: 0 },
    }
}

#[inline(always)]
fn make(call: Call, arguments: Arguments) -> Reply {
    let mut locked = lock();
    let kernel = &mut *locked;
    let this = local::core_number();
    let core = &kernel.cores[this];
    let caller = Caller { core: this as u32, ..core.caller };
    if core.evicted {
        run(locked);
    }
    let reply = match kernel.dispatch(call, caller, arguments) {
        Ok(Outcome::Value(value)) => Reply { status: 0, value },
        Ok(Outcome::Switch) => run(locked),
        Ok(Outcome::Enter(next)) => run_in_slice(locked, this, next),
        Ok(Outcome::Call { gate, badge }) => {
            let [_, a, b, c, d, _] = arguments;
            kernel::call(locked, this, gate, badge, [a, b, c, d])
        }
        Ok(Outcome::Reply) => {
            let [a, b, c, d, ..] = arguments;
            kernel::reply(locked, [a, b, c, d])
        }
        Err(error) => Reply { status: error as u64, value: 0 },
    };
    if may_end_caller(call) && kernel.cores[this].running != Some(caller.dispatcher) {
        // The call ended its own caller: there is nobody to reply to.
        run(locked);
    }
    reply
}

/// Whether a call that replies can have ended its own caller. These do not end anything.
#[inline(always)]
const fn may_end_caller(call: Call) -> bool {
    !matches!(
        call,
        Call::MapRange | Call::Unmap | Call::EventSignal | Call::EventWait | Call::GateCall
    )
}

/// A slot number: the upper half of the register must be zero.
#[inline(always)]
fn slot(argument: u64) -> Result<u32, Error> {
    u32::try_from(argument).map_err(|_| Error::BadSlot)
}

/// A slot number, or none.
fn optional_slot(argument: u64) -> Result<Option<u32>, Error> {
    slot(argument).map(|slot| (slot != NO_SLOT).then_some(slot))
}

#[inline(always)]
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
    #[inline(always)]
    fn dispatch(&mut self, call: Call, caller: Caller, arguments: Arguments) -> CallResult {
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
                self.gate_reply(caller, [a, b, c, d])
            }
            Call::DispatcherStart => self.call_dispatcher_start(caller, arguments),
            Call::InterruptBind => self.call_interrupt_bind(caller, arguments),
            Call::InterruptAcknowledge => self.call_interrupt_acknowledge(caller, arguments),
            Call::PortRead => self.call_port_read(caller, arguments),
            Call::PortWrite => self.call_port_write(caller, arguments),
        }
    }
}
