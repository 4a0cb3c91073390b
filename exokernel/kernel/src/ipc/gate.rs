//! Gates: entry points to call. The server runs on the caller's slice; registers are the message.
//!
//! A dispatcher in a call is linked with the one that serves it: `callee` from the client, `client` from the server. A server may
//! call on, to a depth of [`MAX_DEPTH`]. The first of such a chain, its *head*, is its domain's current dispatcher; the
//! last one is what a core runs when it comes to the head. If either end of a link goes away, the link does: the client gets an
//! error, and the server goes on alone on its own domain's slices until it replies to nobody.
use crate::cpu::dispatcher::State;
use crate::domain;
use crate::kernel::{Kernel, Outcome};
use serix_abi::layout::USER_END;
use serix_abi::token::{Kind, Rights};
use serix_abi::{Error, FOREVER};
use serix_core::NodeId;
use serix_hal::cpu::time;

/// Calls in a chain.
const MAX_DEPTH: u8 = 8;

/// An entry point of a dispatcher.
pub(crate) struct Gate {
    pub(crate) domain: u32,
    pub(crate) node: NodeId,
    /// The dispatcher and its serial number, by which one that took its place is told from it.
    dispatcher: u32,
    serial: u64,
    entry: u64,
    stack: u64,
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
        if entry >= USER_END || stack >= USER_END {
            return Err(Error::BadArgument);
        }
        let dispatcher = self.dispatcher_of(environment, number)?;
        let server = self.dispatchers.get(dispatcher).ok_or(Error::Dead)?;
        let (domain, serial) = (server.domain, server.serial);
        let index = self.gates.next().ok_or(Error::TableFull)?;
        let owner = self.resources.domains.get(domain).ok_or(Error::Dead)?;
        let place = owner.gates.iter().position(Option::is_none).ok_or(Error::TableFull)?;
        let node = self.object_node(domain, Kind::Gate, index)?;
        let taken = self.resources.take_object(domain);
        let frame = taken.inspect_err(|_| self.drop_node(node))?;
        self.gates.insert(frame, Gate { domain, node, dispatcher, serial, entry, stack });
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
    pub(crate) fn gate_call(
        &mut self,
        caller: u32,
        slot: u32,
        words: [u64; 4],
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let binding = self.resources.lookup(caller, slot, Kind::Gate, Rights::CALL)?;
        let (gate, badge, node) = (binding.object, binding.generation, binding.node);
        let client = self.core().running.ok_or(Error::Dead)?;
        let index = self.server_of(gate).ok_or(Error::Dead)?;
        let depth = self.dispatchers.get(client).ok_or(Error::Dead)?.depth + 1;
        if depth > MAX_DEPTH {
            return Err(Error::TableFull);
        }
        if deadline <= time::now_ns() {
            return Err(Error::TimedOut);
        }
        let gate = self.gates.get(gate).ok_or(Error::Dead)?;
        let (entry, stack, domain) = (gate.entry, gate.stack, gate.domain);
        if self.resources.domains.get(domain).is_none_or(|it| it.state != domain::State::Running) {
            return Err(Error::Dead);
        }
        let server = self.dispatchers.get_mut(index).ok_or(Error::Dead)?;
        if server.state != State::Parked {
            return Err(Error::Busy);
        }
        server.state = State::Serving;
        (server.client, server.depth, server.in_gate) = (Some(client), depth, true);
        server.context.enter_gate(entry, stack, badge, words);
        let calling = self.dispatchers.get_mut(client).ok_or(Error::Dead)?;
        (calling.callee, calling.via) = (Some(index), node);
        if deadline != FOREVER && self.deadlines.insert(client, deadline).is_err() {
            debug_assert!(false, "a deadline slot for each dispatcher");
        }
        Ok(Outcome::Enter(index))
    }

    /// Answers the call that the running dispatcher serves.
    pub(crate) fn gate_reply(&mut self, words: [u64; 4]) -> Result<Outcome, Error> {
        let index = self.core().running.ok_or(Error::Dead)?;
        let server = self.dispatchers.get_mut(index).ok_or(Error::Dead)?;
        if !core::mem::take(&mut server.in_gate) {
            return Err(Error::BadArgument);
        }
        let Some(client) = server.client else {
            // Who called is gone: the server parks until the next call.
            self.stop_running(State::Parked);
            return Ok(Outcome::Switch);
        };
        (server.client, server.depth, server.state) = (None, 0, State::Parked);
        self.deadlines.remove(client);
        let Some(waiting) = self.dispatchers.get_mut(client) else { return Ok(Outcome::Switch) };
        waiting.callee = None;
        waiting.context.reply_words(words);
        let owner = self.resources.domains.get(waiting.domain);
        let runs = owner.is_some_and(|owner| owner.state == domain::State::Running);
        Ok(if runs { Outcome::Enter(client) } else { Outcome::Switch })
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
