//! Gates: entry points to call. The server runs on the caller's slice; registers are the message.
//!
//! A dispatcher in a call is linked with the one that serves it: `callee` from the client, `client` from the server. A server may
//! call on, to a depth of [`MAX_DEPTH`]. The first of such a chain, its *head*, is its domain's current dispatcher; the
//! last one is what a core runs when it comes to the head. If either end of a link goes away, the link does: the client gets an
//! error, and the server goes on alone on its own domain's slices until it replies to nobody.
use crate::cpu::core::Caller;
use crate::cpu::dispatcher::{Dispatcher, State};
use crate::kernel::{Kernel, Outcome};
use serix_abi::token::{Kind, Rights};
use serix_abi::{Error, FOREVER};
use serix_core::NodeId;
use serix_hal::cpu::time;
use serix_hal::cpu::trap::GateEntry;

/// Calls in a chain.
const MAX_DEPTH: u8 = 8;

/// An entry point of a dispatcher.
pub(crate) struct Gate {
    pub(crate) domain: u32,
    pub(crate) node: NodeId,
    /// The dispatcher and its serial number, by which one that took its place is told from it.
    dispatcher: u32,
    serial: u64,
    entry: GateEntry,
}

impl Kernel {
    /// Makes a gate of the domain that has the environment, bound in the table of `caller`.
    pub(crate) fn gate_create(
        &mut self,
        caller: u32,
        environment: u32,
        number: u64,
        entry: u64,
        stack: u64,
    ) -> Result<u32, Error> {
        let entry = GateEntry::new(entry, stack).ok_or(Error::BadArgument)?;
        let dispatcher = self.dispatcher_of(environment, number)?;
        let server = self.dispatchers.get(dispatcher).ok_or(Error::Dead)?;
        let (domain, serial) = (server.domain, server.serial);
        let index = self.gates.next().ok_or(Error::TableFull)?;
        let owner = self.resources.domains.get(domain).ok_or(Error::Dead)?;
        let place = owner.gates.iter().position(Option::is_none).ok_or(Error::TableFull)?;
        let node = self.object_node(domain, Kind::Gate, index)?;
        let taken = self.resources.take_object(domain);
        let frame = taken.inspect_err(|_| self.drop_node(node))?;
        self.gates.insert(frame, Gate { domain, node, dispatcher, serial, entry });
        self.resources.domains.get_mut(domain).ok_or(Error::Dead)?.gates[place] = Some(index);
        let rights = Rights::CALL.with(Rights::GRANT);
        self.resources.bind_node(caller, node, rights, index).inspect_err(|_| self.gate_free(index))
    }

    /// Goes on ending a gate, whose call in progress gets an error; false when it is gone.
    pub(crate) fn gate_end_step(&mut self, index: u32) -> bool {
        self.abort_call_of(index, Error::Dead, None);
        let Some((domain, node)) = self.gates.get(index).map(|gate| (gate.domain, gate.node))
        else {
            return false;
        };
        if self.delegations_end_step(domain, node) {
            return true;
        }
        self.gate_free(index);
        false
    }

    fn gate_free(&mut self, index: u32) {
        let Some((frame, gate)) = self.gates.remove_value(index) else { return };
        if let Some(owner) = self.resources.domains.get_mut(gate.domain)
            && let Some(place) = owner.gates.iter().position(|known| *known == Some(index))
        {
            owner.gates[place] = None;
        }
        self.resources.put_object(gate.domain, frame);
        self.drop_node(gate.node);
    }

    /// The dispatcher behind a gate, if it is still there.
    fn server_of(&self, gate: u32) -> Option<u32> {
        let gate = self.gates.get(gate)?;
        let server = self.dispatchers.get(gate.dispatcher)?;
        (server.serial == gate.serial).then_some(gate.dispatcher)
    }

    /// Calls the gate in a slot.
    #[inline(always)]
    pub(crate) fn gate_call(
        &mut self,
        caller: Caller,
        slot: u32,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let found = self.resources.lookup(caller.domain, slot, Kind::Gate, Rights::CALL)?;
        let gate = self.gates.get(found.object).ok_or(Error::Dead)?;
        let Gate { domain, dispatcher: server, serial, entry, .. } = *gate;
        if deadline != FOREVER && deadline <= time::now_ns() {
            return Err(Error::TimedOut);
        }
        // Of the caller's own domain that is known.
        if domain != caller.domain
            && self.resources.domains.get(domain).is_none_or(|domain| !domain.runs())
        {
            return Err(Error::Dead);
        }
        let client = caller.dispatcher;
        let Some((serving, Some(calling))) = self.dispatchers.box_and_other(server, client) else {
            return Err(if server == client { Error::Busy } else { Error::Dead });
        };
        if serving.serial != serial {
            return Err(Error::Dead);
        }
        if calling.depth >= MAX_DEPTH {
            return Err(Error::TableFull);
        }
        if serving.state != State::Parked {
            return Err(Error::Busy);
        }
        let is_orphan = calling.state == State::Orphaned;
        (calling.callee, calling.via) = (Some(server), found.node);
        let at: &mut Dispatcher = &mut *serving;
        at.state = State::Serving;
        (at.client, at.depth, at.in_gate) = (Some(client), calling.depth + 1, true);
        at.context.enter_gate();
        let environment = at.environment;
        serving.make_current(Some(&mut calling.context));
        let now = Caller { domain, environment, dispatcher: server, core: caller.core };
        self.entered(now, Some(client), is_orphan);
        if deadline != FOREVER && self.deadlines.insert(client, deadline).is_err() {
            debug_assert!(false, "a deadline slot for each dispatcher");
        }
        Ok(Outcome::Call { gate: entry, badge: found.generation })
    }

    /// Answers the call that the caller serves.
    #[inline(always)]
    pub(crate) fn gate_reply(&mut self, caller: Caller, words: [u64; 4]) -> Result<Outcome, Error> {
        let server = self.dispatchers.get_mut(caller.dispatcher).ok_or(Error::Dead)?;
        if !core::mem::take(&mut server.in_gate) {
            return Err(Error::BadArgument);
        }
        let Some(client) = server.client else {
            // Who called is gone: the server parks until the next call.
            self.stop_running(State::Parked);
            return Ok(Outcome::Switch);
        };
        if self.deadlines.has(client) {
            self.deadlines.remove(client);
        }
        let both = self.dispatchers.box_and_other(client, caller.dispatcher);
        let Some((waiting, Some(server))) = both else { return Ok(Outcome::Switch) };
        (server.client, server.depth, server.state) = (None, 0, State::Parked);
        waiting.callee = None;
        let (domain, environment) = (waiting.domain, waiting.environment);
        // Of the caller's own domain that is known.
        let runs = domain == caller.domain
            || self.resources.domains.get(domain).is_some_and(|domain| domain.runs());
        if !runs {
            waiting.context.reply_words(words);
            return Ok(Outcome::Switch);
        }
        waiting.make_current(Some(&mut server.context));
        let now = Caller { domain, environment, dispatcher: client, core: caller.core };
        self.entered(now, Some(caller.dispatcher), false);
        Ok(Outcome::Reply)
    }

    /// Ends the call in progress through a gate, if it was made through the grant node `via`, or any if that is none.
    pub(crate) fn abort_call_of(&mut self, gate: u32, error: Error, via: Option<NodeId>) {
        let server = self.server_of(gate).and_then(|server| self.dispatchers.get(server));
        let Some(client) = server.and_then(|server| server.client) else { return };
        let calling = self.dispatchers.get(client);
        if calling.is_some_and(|client| via.is_none_or(|node| client.via == node)) {
            self.abort_call(client, error);
        }
    }

    /// Ends the calls into a domain, and those that its servers are in.
    pub(crate) fn abort_calls_of(&mut self, gates: &[Option<u32>]) {
        for gate in gates.iter().flatten() {
            self.abort_call_of(*gate, Error::Dead, None);
            if let Some(server) = self.server_of(*gate) {
                self.abort_call(server, Error::Dead);
            }
        }
    }

    /// Ends the call that a dispatcher is in, if it is: it gets an error, and its server goes on alone.
    pub(crate) fn abort_call(&mut self, client: u32, error: Error) {
        let Some(dispatcher) = self.dispatchers.get_mut(client) else { return };
        let Some(index) = dispatcher.callee.take() else { return };
        dispatcher.context.set_reply(error as u64, 0);
        self.deadlines.remove(client);
        let head = self.head_of(client);
        if self.dispatchers.get(head).is_some_and(|head| head.state == State::Waiting) {
            // It waited because the server does.
            self.wake(head);
        }
        self.leave_client(index);
    }

    /// A server has no client any more. It goes on on its own domain's slices as soon as no core has it loaded.
    fn leave_client(&mut self, index: u32) {
        // Which context a core has loaded is that of the end of the chain.
        let loaded = self.core_of(self.last_of(index));
        let here = self.core_of(index).is_some();
        let Some(server) = self.dispatchers.get_mut(index) else { return };
        (server.client, server.depth) = (None, 0);
        if server.state != State::Serving {
            return;
        }
        if here {
            server.state = State::Orphaned;
        } else {
            server.state = State::Parked;
            self.wake(index);
        }
        if let Some(core) = loaded {
            self.look_again(core);
        }
    }

    /// The first of the chain of calls that a dispatcher serves: itself if it serves none.
    pub(crate) fn head_of(&self, index: u32) -> u32 {
        let mut at = index;
        while let Some(client) = self.dispatchers.get(at).and_then(|server| server.client) {
            at = client;
        }
        at
    }

    /// The last of the chain of calls that a dispatcher began: itself if it is in none.
    #[inline]
    pub(crate) fn last_of(&self, index: u32) -> u32 {
        let mut at = index;
        while let Some(callee) = self.dispatchers.get(at).and_then(|client| client.callee) {
            at = callee;
        }
        at
    }
}
