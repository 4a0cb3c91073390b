//! Who runs next on this core: slices in turn, and within a domain whom the domain chose.
use super::dispatcher::State;
use crate::domain;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::dispatcher::reason;
use serix_hal::cpu::time;

/// What this core does.
pub(crate) struct Core {
    /// The dispatcher whose context is current.
    pub(crate) running: Option<u32>,
    /// The domain whose slice it is.
    owner: u32,
    /// When the slice ends.
    slice_end: u64,
    /// For when the timer is set.
    timer: u64,
}

impl Core {
    pub(crate) const fn new() -> Self {
        Self { running: None, owner: 0, slice_end: 0, timer: 0 }
    }
}

impl Kernel {
    /// Makes a dispatcher the one that gets its domain's slices, unless the domain has ended.
    pub(crate) fn make_current(&mut self, index: u32) {
        let Some(dispatcher) = self.dispatchers.get_mut(index) else { return };
        let owner = self.resources.domains.get_mut(dispatcher.domain);
        if let Some(owner) = owner.filter(|owner| owner.state == domain::State::Running) {
            dispatcher.state = State::Current;
            owner.current = Some(index);
        }
    }

    /// A dispatcher that waited can go on: it becomes current, or queues behind who is.
    pub(crate) fn wake(&mut self, index: u32) {
        let Some(dispatcher) = self.dispatchers.get(index) else { return };
        let domain = dispatcher.domain;
        match self.resources.domains.get(domain).map(|owner| (owner.state, owner.current)) {
            Some((domain::State::Running, Some(_))) => self.enqueue(index, domain),
            Some((domain::State::Running, None)) => self.make_current(index),
            _ => {}
        }
    }

    fn enqueue(&mut self, index: u32, domain: u32) {
        let Some(owner) = self.resources.domains.get_mut(domain) else { return };
        let last = owner.ready.map(|(_, last)| last);
        owner.ready = Some((owner.ready.map_or(index, |(first, _)| first), index));
        if let Some(last) = last.and_then(|last| self.dispatchers.get_mut(last)) {
            last.next = Some(index);
        }
        if let Some(dispatcher) = self.dispatchers.get_mut(index) {
            (dispatcher.previous, dispatcher.next) = (last, None);
            dispatcher.state = State::Ready;
        }
    }

    /// Takes a dispatcher out of its domain's queue, if it is there.
    pub(crate) fn leave_queue(&mut self, index: u32) {
        let Some(dispatcher) = self.dispatchers.get_mut(index) else { return };
        if dispatcher.state != State::Ready {
            return;
        }
        dispatcher.state = State::Parked;
        let (previous, next) = (dispatcher.previous.take(), dispatcher.next.take());
        let domain = dispatcher.domain;
        if let Some(previous) = previous.and_then(|previous| self.dispatchers.get_mut(previous)) {
            previous.next = next;
        }
        if let Some(next) = next.and_then(|next| self.dispatchers.get_mut(next)) {
            next.previous = previous;
        }
        if let Some(owner) = self.resources.domains.get_mut(domain)
            && let Some((first, last)) = owner.ready
        {
            let first = if first == index { next } else { Some(first) };
            let last = if last == index { previous } else { Some(last) };
            owner.ready = first.zip(last);
        }
    }

    /// The domain's current dispatcher stopped: the first in the queue takes its place.
    pub(crate) fn next_ready(&mut self, domain: u32) {
        let first = self.resources.domains.get(domain).and_then(|owner| owner.ready);
        match first {
            Some((first, _)) => {
                self.leave_queue(first);
                self.make_current(first);
            }
            None => {
                if let Some(owner) = self.resources.domains.get_mut(domain) {
                    owner.current = None;
                }
            }
        }
    }

    /// The running dispatcher stops being its domain's current one, in state `state`.
    pub(crate) fn stop_running(&mut self, state: State) {
        let Some(index) = self.core.running else { return };
        let Some(dispatcher) = self.dispatchers.get_mut(index) else { return };
        dispatcher.state = state;
        let domain = dispatcher.domain;
        self.next_ready(domain);
    }

    /// Gives the rest of the slice to a dispatcher of the same domain that is parked or ready.
    pub(crate) fn yield_to(&mut self, target: u32) -> Result<(), Error> {
        let running = self.core.running.ok_or(Error::Dead)?;
        if target == running {
            return Ok(());
        }
        match self.dispatchers.get(target).ok_or(Error::Dead)?.state {
            State::Waiting | State::Current => return Err(Error::Busy),
            State::Ready => self.leave_queue(target),
            State::Parked => {}
        }
        if let Some(dispatcher) = self.dispatchers.get_mut(running) {
            dispatcher.state = State::Parked;
        }
        self.make_current(target);
        Ok(())
    }

    /// The slice of the running domain is over, or given up: the next turn. The same dispatcher going on is told.
    pub(crate) fn end_slice(&mut self) {
        self.core.slice_end = 0;
    }

    /// Brings the core to the dispatcher that should run; false if there is none.
    pub(crate) fn schedule(&mut self) -> bool {
        let now = time::now_ns();
        let mut fresh = false;
        if now >= self.core.slice_end || !self.resources.is_runnable(self.core.owner) {
            let resources = &self.resources;
            let turn = self.slices.next(|owner| {
                resources.index_of(owner).is_some_and(|index| resources.is_runnable(index))
            });
            let Some(turn) = turn else {
                self.core.slice_end = 0;
                self.leave();
                return false;
            };
            fresh = true;
            self.core.owner = self.resources.index_of(turn.slice.owner).unwrap_or(0);
            self.core.slice_end = now + u64::from(turn.slice.length_ns);
        }
        let next = self.resources.domains.get(self.core.owner).and_then(|owner| owner.current);
        let Some(next) = next else { return false };
        self.enter(next);
        if fresh && let Some(dispatcher) = self.dispatchers.get_mut(next) {
            dispatcher.context.deliver_event(reason::SLICE_START, 0);
        }
        self.set_timer(now);
        true
    }

    fn enter(&mut self, next: u32) {
        if self.core.running == Some(next) {
            return;
        }
        self.leave();
        if let Some(dispatcher) = self.dispatchers.get_mut(next) {
            dispatcher.make_current();
            self.core.running = Some(next);
            self.info.count_switch();
        }
    }

    /// Saves what the running dispatcher has live on this core.
    fn leave(&mut self) {
        if let Some(index) = self.core.running.take()
            && let Some(dispatcher) = self.dispatchers.get_mut(index)
        {
            dispatcher.context.save_live_state();
            serix_hal::cpu::local::forget_current();
            self.info.count_foreign();
        }
    }

    /// Sets the timer for the end of the slice or the next deadline, unless it is set for then already.
    pub(crate) fn set_timer(&mut self, now: u64) {
        let slice = if self.core.running.is_some() { self.core.slice_end } else { u64::MAX };
        let deadline = self.deadlines.peek().map_or(u64::MAX, |(deadline, _)| deadline);
        let wanted = slice.min(deadline);
        if wanted == self.core.timer && wanted > now {
            return;
        }
        self.core.timer = wanted;
        let delay = (wanted != u64::MAX).then(|| wanted.saturating_sub(now));
        self.apic.set_timer(delay);
    }

    /// The timer fired: forget what it was set for.
    pub(crate) fn timer_fired(&mut self) {
        self.core.timer = 0;
    }
}
