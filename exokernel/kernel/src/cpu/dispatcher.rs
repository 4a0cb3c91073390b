//! Dispatchers: virtual CPUs of environments.
use crate::kernel::Kernel;
use crate::object::Table;
use serix_abi::Error;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::token::{Kind, Rights};
use serix_core::NodeId;
use serix_core::ids::Frame;
use serix_core::watch::Waiter;
use serix_hal::FrameNumber;
use serix_hal::cpu::context::Entries;
use serix_hal::cpu::{Context, local};

/// What a dispatcher does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its domain's current one, running or about to.
    Current,
    /// Woken while another was current: in the domain's queue.
    Ready,
    /// Gave the slice to another by `YieldTo`, or is new: runs when one yields to it.
    Parked,
    /// Waits for an event.
    Waiting,
    /// Serves a call: runs on its client's slices.
    Serving,
    /// Lost its client while a core had its context loaded: goes on when that core lets go of it.
    Orphaned,
    /// Ends as soon as no core has its context loaded.
    Ending,
}

/// A virtual CPU.
pub(crate) struct Dispatcher {
    pub(crate) context: Context,
    pub(crate) environment: u32,
    pub(crate) domain: u32,
    pub(crate) state: State,
    /// The core where it is current, or was last.
    pub(crate) core: usize,
    /// Slices that it began.
    pub(crate) slices: u64,
    /// Tells it from others that had its index before.
    pub(crate) serial: u64,
    /// Whom it serves.
    pub(crate) client: Option<u32>,
    /// It was called through a gate and has not replied.
    pub(crate) in_gate: bool,
    /// Who serves it.
    pub(crate) callee: Option<u32>,
    /// The grant through which it has the gate that it calls.
    pub(crate) via: NodeId,
    /// Calls that it is nested in.
    pub(crate) depth: u8,
    /// Neighbours in the domain's ready queue.
    pub(crate) next: Option<u32>,
    pub(crate) previous: Option<u32>,
    /// The event waited for.
    pub(crate) waits_for: Option<u32>,
    /// Its place among the event's waiters.
    pub(crate) waiter: Waiter,
}

const _: () = assert!(size_of::<Dispatcher>() <= 4096);

impl Dispatcher {
    /// Tells it that a slice begins.
    pub(crate) fn start_slice(&mut self) {
        self.slices += 1;
        self.context.start_slice(self.slices);
    }
}

impl AsMut<Context> for Dispatcher {
    fn as_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

impl Table<Dispatcher> {
    /// Makes a dispatcher the one that user code of this core runs in, after `last`, which keeps what it has live. The
    /// dispatcher, and the state of the one before.
    #[inline(always)]
    pub(crate) fn switch(
        &mut self,
        last: Option<u32>,
        next: u32,
    ) -> Option<(&mut Dispatcher, Option<State>)> {
        let Some(last) = last else {
            let next = self.box_mut(next)?;
            next.make_current(None);
            return Some((next, None));
        };
        let (next, last) = self.box_and_other(next, last)?;
        let state = last.as_ref().map(|last| last.state);
        next.make_current(last.map(|last| &mut last.context));
        Some((next, state))
    }
}

fn entries(parameters: &DispatcherParameters) -> Option<Entries> {
    let entries = Entries {
        fault: parameters.fault_entry,
        foreign: parameters.foreign_entry,
        event: parameters.event_entry,
        restart_start: parameters.restart_start,
        restart_end: parameters.restart_end,
    };
    entries.is_valid().then_some(entries)
}

impl Kernel {
    /// Gives an environment a dispatcher; its number there.
    pub(crate) fn dispatcher_create(
        &mut self,
        caller: u32,
        environment: u32,
        parameters: &DispatcherParameters,
    ) -> Result<u64, Error> {
        let space = self.live_environment(environment)?;
        let (domain, root) = (space.domain, space.root.frame());
        let number = space.dispatchers.iter().position(Option::is_none).ok_or(Error::TableFull)?;
        let entries = entries(parameters).ok_or(Error::BadArgument)?;
        if parameters.upcalls_disabled > 1 {
            return Err(Error::BadArgument);
        }
        let mut context = Context::new(
            parameters.rip,
            parameters.rsp,
            parameters.argument,
            parameters.gs_base,
            root,
        )
        .ok_or(Error::BadArgument)?;
        context.set_entries(&entries);
        let page = self.shared_page(caller, domain, parameters)?;
        let index = self.dispatchers.next().ok_or(Error::TableFull)?;
        let frame = self.resources.take_object(domain)?;
        if !context.set_page(&mut self.resources.frames, page, parameters.page_address) {
            self.resources.put_object(domain, frame);
            return Err(Error::BadArgument);
        }
        context.set_disabled(parameters.upcalls_disabled == 1);
        let dispatcher = Dispatcher {
            context,
            environment,
            domain,
            state: State::Parked,
            core: local::core_number(),
            slices: 0,
            serial: self.next_serial,
            client: None,
            in_gate: false,
            callee: None,
            via: NodeId::NONE,
            depth: 0,
            next: None,
            previous: None,
            waits_for: None,
            waiter: Waiter::IDLE,
        };
        self.next_serial += 1;
        self.dispatchers.insert(frame, dispatcher);
        self.environments.get_mut(environment).ok_or(Error::Dead)?.dispatchers[number] =
            Some(index);
        // The first of a domain runs as soon as the domain has slices.
        if self.resources.domains.get(domain).ok_or(Error::Dead)?.is_blocked() {
            self.wake(index);
        }
        Ok(number as u64)
    }

    /// The frame that becomes the shared page: of the environment's domain.
    fn shared_page(
        &self,
        caller: u32,
        domain: u32,
        parameters: &DispatcherParameters,
    ) -> Result<FrameNumber, Error> {
        let rights = Rights::MAP.with(Rights::WRITE);
        let binding = self.resources.lookup(caller, parameters.frames, Kind::Frames, rights)?;
        let unit = binding.range.unit(parameters.unit.into()).ok_or(Error::BadArgument)?;
        let owner = self.resources.domains.get(domain).ok_or(Error::Dead)?.id;
        let frame = u32::try_from(unit).map_err(|_| Error::BadArgument)?;
        if !self.resources.ledger.is_mappable_by(Frame(frame), owner) {
            return Err(Error::Denied);
        }
        Ok(FrameNumber(frame))
    }

    /// Sets the entries of a dispatcher.
    pub(crate) fn dispatcher_entries(
        &mut self,
        environment: u32,
        number: u64,
        parameters: &DispatcherParameters,
    ) -> Result<(), Error> {
        let index = self.dispatcher_of(environment, number)?;
        let entries = entries(parameters).ok_or(Error::BadArgument)?;
        self.dispatchers.get_mut(index).ok_or(Error::Dead)?.context.set_entries(&entries);
        Ok(())
    }

    /// A dispatcher by its number in the environment.
    pub(crate) fn dispatcher_of(&self, environment: u32, number: u64) -> Result<u32, Error> {
        self.environments.get(environment).ok_or(Error::Dead)?.dispatcher(number)
    }

    /// Lets a parked dispatcher run on any core where its domain has slices.
    pub(crate) fn dispatcher_start(&mut self, environment: u32, number: u64) -> Result<(), Error> {
        let index = self.dispatcher_of(environment, number)?;
        if self.dispatchers.get(index).ok_or(Error::Dead)?.state != State::Parked {
            return Err(Error::Busy);
        }
        self.wake(index);
        Ok(())
    }

    /// Ends a dispatcher, which from now on runs nowhere and waits for nothing; false while another core has still to let go
    /// of it.
    pub(crate) fn dispatcher_end(&mut self, index: u32) -> bool {
        self.stop_waiting(index);
        self.abort_call(index, Error::Dead);
        if let Some(client) = self.dispatchers.get(index).and_then(|server| server.client) {
            self.abort_call(client, Error::Dead);
        }
        self.leave_queue(index);
        let Some(dispatcher) = self.dispatchers.get_mut(index) else { return true };
        let (domain, core) = (dispatcher.domain, dispatcher.core);
        dispatcher.state = State::Ending;
        let owner = self.resources.domains.get(domain);
        if owner.is_some_and(|owner| owner.current[core] == Some(index)) {
            self.next_ready(domain, core);
        }
        if let Some(core) = self.core_of(index) {
            self.evict(core);
            if core != local::core_number() {
                return false;
            }
        }
        if let Some((frame, mut dispatcher)) = self.dispatchers.remove_value(index) {
            dispatcher.context.clear_page(&mut self.resources.frames);
            self.resources.put_object(domain, frame);
        }
        true
    }
}
