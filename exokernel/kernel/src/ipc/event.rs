//! Events: wait, signal, deadline. The kernel lock makes wait and signal one after the other, so no wake-up is lost.
use crate::cpu::core::Caller;
use crate::cpu::dispatcher::{Dispatcher, State};
use crate::cpu::schedule::wake_in;
use crate::domain::Signal;
use crate::kernel::{Kernel, Outcome};
use crate::object::Table;
use serix_abi::token::{Kind, Rights};
use serix_abi::{Error, FOREVER};
use serix_core::NodeId;
use serix_core::grant::GrantTree;
use serix_core::watch::{Wait, Waiter, WaiterId, WaiterStore, Watch};
use serix_hal::cpu::time;

/// Waiters that one step may wake.
const WAITERS_PER_STEP: usize = 32;

/// A word of 64 bits and who waits for some of them.
pub(crate) struct Event {
    pub(crate) domain: u32,
    pub(crate) node: NodeId,
    watch: Watch,
}

impl WaiterStore for Table<Dispatcher> {
    fn waiter_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        self.get_mut(id.0).map(|dispatcher| &mut dispatcher.waiter)
    }
}

impl Kernel {
    /// Names bits of the event in a slot for a later [`Self::send`].
    pub(crate) fn signal_for(&self, caller: u32, slot: u32, bits: u64) -> Result<Signal, Error> {
        let event = self.resources.lookup(caller, slot, Kind::Event, Rights::SIGNAL)?;
        Ok(Signal { event: event.object, node: event.node, generation: event.generation, bits })
    }

    /// Sets the bits of a signal, unless its event ended.
    pub(crate) fn send(&mut self, signal: Signal) {
        if GrantTree::is_current(&self.resources, signal.node, signal.generation) {
            self.event_signal(signal.event, signal.bits);
        }
    }

    /// Clears the bits of a signal, as if it had not been sent.
    pub(crate) fn unsend(&mut self, signal: Signal) {
        if GrantTree::is_current(&self.resources, signal.node, signal.generation)
            && let Some(event) = self.events.get_mut(signal.event)
        {
            event.watch.poll(signal.bits);
        }
    }

    /// Makes an event of the calling domain.
    pub(crate) fn event_create(&mut self, caller: u32) -> Result<u32, Error> {
        let index = self.events.next().ok_or(Error::TableFull)?;
        let node = self.object_node(caller, Kind::Event, index)?;
        let taken = self.resources.take_object(caller);
        let frame = taken.inspect_err(|_| self.drop_node(node))?;
        self.events.insert(frame, Event { domain: caller, node, watch: Watch::new() });
        self.resources.count_object(caller, Kind::Event, true);
        let rights = Rights::SIGNAL.with(Rights::WAIT).with(Rights::GRANT);
        self.resources.bind_node(caller, node, rights, index).inspect_err(|_| {
            self.event_end_step(index);
        })
    }

    /// Sets bits and wakes whoever waits for one of them: at most 64, since each bit goes to one waiter.
    #[inline(always)]
    pub(crate) fn event_signal(&mut self, index: u32, bits: u64) {
        let Some(event) = self.events.get_mut(index) else { return };
        if let Some(WaiterId(waiter)) = event.watch.only_waiter()
            && let Some(dispatcher) = self.dispatchers.get_mut(waiter)
            && dispatcher.client.is_none()
            && let Some(owner) = self.resources.domains.get_mut(dispatcher.domain)
        {
            let Some(ready) = event.watch.signal_only(&mut dispatcher.waiter, bits) else { return };
            (dispatcher.waits_for, dispatcher.state) = (None, State::Parked);
            dispatcher.context.set_reply(0, ready);
            let woken = wake_in(dispatcher, waiter, owner);
            if self.deadlines.has(waiter) {
                self.deadlines.remove(waiter);
            }
            return self.woke(waiter, woken);
        }
        self.signal_many(index, bits);
    }

    #[inline(never)]
    fn signal_many(&mut self, index: u32, bits: u64) {
        let Some(event) = self.events.get_mut(index) else { return };
        let mut at = event.watch.set(bits);
        while let Some((waiter, ready)) = self
            .events
            .get_mut(index)
            .and_then(|event| event.watch.next_woken(&mut self.dispatchers, &mut at))
        {
            self.end_wait(waiter.0, ready);
        }
    }

    /// Ends the wait of one that the event has let go of.
    fn end_wait(&mut self, waiter: u32, ready: u64) {
        if self.deadlines.has(waiter) {
            self.deadlines.remove(waiter);
        }
        let Some(dispatcher) = self.dispatchers.get_mut(waiter) else { return };
        (dispatcher.waits_for, dispatcher.state) = (None, State::Parked);
        dispatcher.context.set_reply(0, ready);
        self.wake(waiter);
    }

    /// Waits for bits of `mask` until `deadline`; zero polls.
    #[inline(always)]
    pub(crate) fn event_wait(
        &mut self,
        caller: Caller,
        index: u32,
        mask: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        if mask == 0 {
            return Err(Error::BadArgument);
        }
        let waiter = caller.dispatcher;
        let event = self.events.get_mut(index).ok_or(Error::Dead)?;
        let ready = event.watch.poll(mask);
        if ready != 0 {
            return Ok(Outcome::Value(ready));
        }
        if deadline != FOREVER && deadline <= time::now_ns() {
            return Err(Error::TimedOut);
        }
        let Some(dispatcher) = self.dispatchers.get_mut(waiter) else {
            return Err(Error::Dead);
        };
        if event.watch.waiters() > 0 {
            match event.watch.wait(&mut self.dispatchers, WaiterId(waiter), mask) {
                Wait::Ready(ready) => return Ok(Outcome::Value(ready)),
                Wait::Refused => return Err(Error::TableFull),
                Wait::Blocked => {}
            }
        } else if !event.watch.wait_first(&mut dispatcher.waiter, WaiterId(waiter), mask) {
            return Err(Error::TableFull);
        }
        if deadline != FOREVER && self.deadlines.insert(waiter, deadline).is_err() {
            debug_assert!(false, "a deadline slot for each dispatcher");
        }
        let Some(dispatcher) = self.dispatchers.get_mut(waiter) else {
            return Err(Error::Dead);
        };
        dispatcher.waits_for = Some(index);
        if dispatcher.client.is_some() {
            self.stop_running(State::Waiting);
            return Ok(Outcome::Switch);
        }
        dispatcher.state = State::Waiting;
        Ok(self.wait_alone(caller).map_or(Outcome::Switch, Outcome::Enter))
    }

    /// Ends a wait with a reply.
    fn answer_wait(&mut self, waiter: u32, status: u64, value: u64) {
        self.stop_waiting(waiter);
        if let Some(dispatcher) = self.dispatchers.get_mut(waiter) {
            dispatcher.context.set_reply(status, value);
        }
        self.wake(waiter);
    }

    /// Takes a dispatcher out of its event's waiters and the deadlines, if it waits.
    pub(crate) fn stop_waiting(&mut self, waiter: u32) {
        let Some(dispatcher) = self.dispatchers.get_mut(waiter) else { return };
        let Some(event) = dispatcher.waits_for.take() else { return };
        dispatcher.state = State::Parked;
        if let Some(event) = self.events.get_mut(event) {
            event.watch.cancel(&mut self.dispatchers, WaiterId(waiter));
        }
        self.deadlines.remove(waiter);
    }

    /// Wakes those whose deadline has come; if there are many, the timer comes again for the rest.
    pub(crate) fn expire_deadlines(&mut self) {
        let now = time::now_ns();
        let mut left = WAITERS_PER_STEP;
        while left > 0
            && let Some(waiter) = self.deadlines.pop_due(now)
        {
            left -= 1;
            if self.dispatchers.get(waiter).is_some_and(|client| client.callee.is_some()) {
                self.abort_call(waiter, Error::TimedOut);
            } else {
                self.answer_wait(waiter, Error::TimedOut as u64, 0);
            }
        }
    }

    /// Goes on ending an event, whose waiters are told that it is dead; false when it is gone.
    pub(crate) fn event_end_step(&mut self, index: u32) -> bool {
        for _ in 0..WAITERS_PER_STEP {
            let event = self.events.get_mut(index);
            let Some(waiter) = event.and_then(|event| event.watch.evict(&mut self.dispatchers))
            else {
                return self.event_free_step(index);
            };
            self.answer_wait(waiter.0, Error::Dead as u64, 0);
        }
        true
    }

    fn event_free_step(&mut self, index: u32) -> bool {
        let Some(event) = self.events.get(index) else { return false };
        let (domain, node) = (event.domain, event.node);
        if self.delegations_end_step(domain, node) {
            return true;
        }
        if let Some(frame) = self.events.remove(index) {
            self.resources.put_object(domain, frame);
            self.resources.count_object(domain, Kind::Event, false);
        }
        self.drop_node(node);
        false
    }
}
