//! Events: wait, signal, deadline. The kernel lock makes wait and signal one after the other, so no wake-up is lost.
use crate::cpu::dispatcher::State;
use crate::kernel::{Kernel, Outcome};
use serix_abi::token::{Kind, Rights};
use serix_abi::{Error, FOREVER};
use serix_core::NodeId;
use serix_hal::cpu::time;

/// A word of 64 bits and who waits for some of them.
pub(crate) struct Event {
    pub(crate) domain: u32,
    pub(crate) node: NodeId,
    bits: u64,
    /// Waiting dispatchers, linked through `next` and `previous`.
    first: Option<u32>,
}

impl Kernel {
    /// Makes an event of the calling domain.
    pub(crate) fn event_create(&mut self, caller: u32) -> Result<u32, Error> {
        let index = self.events.next().ok_or(Error::TableFull)?;
        let node = self.object_node(caller, Kind::Event, index)?;
        let Some(frame) = self.resources.take_object(caller) else {
            self.drop_node(node);
            return Err(Error::NoFrames);
        };
        self.events.insert(frame, Event { domain: caller, node, bits: 0, first: None });
        let rights = Rights::SIGNAL.with(Rights::WAIT).with(Rights::GRANT);
        self.resources.bind_node(caller, node, rights, index).inspect_err(|_| self.event_end(index))
    }

    /// Sets bits and wakes whoever waits for one of them.
    pub(crate) fn event_signal(&mut self, index: u32, bits: u64) {
        let Some(event) = self.events.get_mut(index) else { return };
        event.bits |= bits;
        let mut at = event.first;
        while let Some(waiter) = at {
            let Some(dispatcher) = self.dispatchers.get(waiter) else { return };
            at = dispatcher.next;
            let mask = dispatcher.waits_for.map_or(0, |(_, mask)| mask);
            let Some(event) = self.events.get_mut(index) else { return };
            let taken = event.bits & mask;
            if taken != 0 {
                event.bits &= !taken;
                self.answer_wait(waiter, 0, taken);
            }
        }
    }

    /// Waits for bits of `mask` until `deadline`; zero polls.
    pub(crate) fn event_wait(
        &mut self,
        index: u32,
        mask: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        if mask == 0 {
            return Err(Error::BadArgument);
        }
        let event = self.events.get_mut(index).ok_or(Error::Dead)?;
        let taken = event.bits & mask;
        if taken != 0 {
            event.bits &= !taken;
            return Ok(Outcome::Value(taken));
        }
        if deadline <= time::now_ns() {
            return Err(Error::TimedOut);
        }
        let waiter = self.core.running.ok_or(Error::Dead)?;
        let first = event.first.replace(waiter);
        if let Some(first) = first.and_then(|first| self.dispatchers.get_mut(first)) {
            first.previous = Some(waiter);
        }
        if deadline != FOREVER {
            self.deadlines.insert(deadline, waiter);
        }
        self.stop_running(State::Waiting);
        if let Some(dispatcher) = self.dispatchers.get_mut(waiter) {
            (dispatcher.previous, dispatcher.next) = (None, first);
            dispatcher.waits_for = Some((index, mask));
        }
        Ok(Outcome::Switch)
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
        let Some((event, _)) = dispatcher.waits_for.take() else { return };
        dispatcher.state = State::Parked;
        let (previous, next) = (dispatcher.previous.take(), dispatcher.next.take());
        match previous.and_then(|previous| self.dispatchers.get_mut(previous)) {
            Some(previous) => previous.next = next,
            None => {
                if let Some(event) = self.events.get_mut(event) {
                    event.first = next;
                }
            }
        }
        if let Some(next) = next.and_then(|next| self.dispatchers.get_mut(next)) {
            next.previous = previous;
        }
        self.deadlines.remove(waiter);
    }

    /// Wakes everybody whose deadline has come.
    pub(crate) fn expire_deadlines(&mut self) {
        let now = time::now_ns();
        while let Some(waiter) = self.deadlines.pop_due(now) {
            self.answer_wait(waiter, Error::TimedOut as u64, 0);
        }
    }

    /// Ends an event: who waits for it is told that it is dead.
    pub(crate) fn event_end(&mut self, index: u32) {
        while let Some(waiter) = self.events.get(index).and_then(|event| event.first) {
            self.answer_wait(waiter, Error::Dead as u64, 0);
        }
        let Some(frame_owner) = self.events.get(index).map(|event| (event.domain, event.node)) else {
            return;
        };
        if let Some(frame) = self.events.remove(index) {
            self.resources.put_object(frame_owner.0, frame);
        }
        self.drop_node(frame_owner.1);
    }
}
