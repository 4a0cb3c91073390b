//! Who runs next on a core: slices in turn, and within a domain whom the domain chose on that core.
//!
//! A dispatcher is current on one core at most. A domain's other dispatchers that can run queue in the domain, for the first
//! of its cores that has nobody current.
use super::core::Caller;
use super::dispatcher::State;
use crate::capability::DEVICE_SHIFT;
use crate::domain;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::dispatcher::reason;
use serix_core::DomainId;
use serix_core::extent::Extent;
use serix_core::slices::SliceVector;
use serix_hal::cpu::apic::{self, RESCHEDULE_VECTOR};
use serix_hal::cpu::{local, time};

impl Kernel {
    /// Makes a dispatcher the one that gets its domain's slices on a core, unless the domain has ended.
    pub(crate) fn make_current(&mut self, index: u32, core: usize) {
        let Some(dispatcher) = self.dispatchers.get_mut(index) else { return };
        let owner = self.resources.domains.get_mut(dispatcher.domain);
        if let Some(owner) = owner.filter(|owner| owner.state == domain::State::Running) {
            dispatcher.state = State::Current;
            dispatcher.core = core;
            owner.current[core] = Some(index);
        }
    }

    /// A dispatcher that waited can go on: it becomes current on the core where it was last, or queues for any. A core that
    /// has nothing else to do is told.
    pub(crate) fn wake(&mut self, index: u32) {
        let index = self.wake_head(index);
        let Some(dispatcher) = self.dispatchers.get(index) else { return };
        let (domain, core) = (dispatcher.domain, dispatcher.core);
        let Some(owner) = self.resources.domains.get(domain) else { return };
        if owner.state != domain::State::Running {
            return;
        }
        if owner.current[core].is_none() && owner.may_run_on(core) {
            self.make_current(index, core);
            self.kick_if_idle(core);
        } else {
            self.enqueue(index, domain);
            self.kick_idle_core_of(domain);
        }
    }

    /// Who is woken when a dispatcher can go on: the head of the chain of calls that it serves, if that still runs.
    fn wake_head(&mut self, index: u32) -> u32 {
        let head = self.head_of(index);
        if head == index {
            return index;
        }
        let domain = self.dispatchers.get(head).map_or(0, |head| head.domain);
        let runs = |owner: &domain::Domain| owner.state == domain::State::Running;
        let head_runs = self.resources.domains.get(domain).is_some_and(|owner| runs(owner));
        if let Some(server) = self.dispatchers.get_mut(index) {
            if head_runs {
                server.state = State::Serving;
                return head;
            }
            // Whom it served is gone: it goes on alone.
            if let Some(client) = server.client.take().and_then(|it| self.dispatchers.get_mut(it)) {
                client.callee = None;
            }
        }
        index
    }

    /// Tells a core to look who should run.
    pub(crate) fn look_again(&mut self, core: usize) {
        if core != local::core_number() {
            apic::send(core, RESCHEDULE_VECTOR);
        }
    }

    /// Tells a core that idles to look again.
    fn kick_if_idle(&mut self, core: usize) -> bool {
        let idle = core != local::core_number() && self.cores[core].idle;
        if idle {
            self.cores[core].idle = false;
            apic::send(core, RESCHEDULE_VECTOR);
        }
        idle
    }

    /// Tells one idle core on which a domain has slices that there is work.
    fn kick_idle_core_of(&mut self, domain: u32) {
        let Some(cores) = self.resources.domains.get(domain).map(|owner| owner.cores) else {
            return;
        };
        let mut left = cores;
        while left != 0 {
            let core = left.trailing_zeros() as usize;
            if self.kick_if_idle(core) {
                return;
            }
            left &= left - 1;
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

    /// Nobody is current in a domain on a core any more: the first in its queue takes the place.
    pub(crate) fn next_ready(&mut self, domain: u32, core: usize) {
        let Some(owner) = self.resources.domains.get_mut(domain) else { return };
        owner.current[core] = None;
        if let Some((first, _)) = owner.ready {
            self.leave_queue(first);
            self.make_current(first, core);
        }
    }

    /// The running dispatcher stops being its domain's current one, in state `state`; with it stops whom it serves.
    pub(crate) fn stop_running(&mut self, state: State) {
        let Some(index) = self.core().running else { return };
        let head = self.head_of(index);
        for stopped in [index, head] {
            if let Some(dispatcher) = self.dispatchers.get_mut(stopped) {
                dispatcher.state = state;
            }
        }
        let (core, domain) = (local::core_number(), self.dispatchers.get(head).map(|at| at.domain));
        // One that lost its client runs in a slice where another is current.
        let is_current = |owner: &domain::Domain| owner.current[core] == Some(head);
        if let Some(domain) = domain
            && self.resources.domains.get(domain).is_some_and(|owner| is_current(owner))
        {
            self.next_ready(domain, core);
        }
    }

    /// Whether a core has a dispatcher's context loaded.
    pub(crate) fn core_of(&self, index: u32) -> Option<usize> {
        self.cores.iter().position(|core| core.running == Some(index))
    }

    /// Gives the rest of the slice to a dispatcher of the same domain that does not wait and runs on no other core.
    pub(crate) fn yield_to(&mut self, target: u32) -> Result<(), Error> {
        let this = local::core_number();
        let running = self.core().running.ok_or(Error::Dead)?;
        if target == running {
            return Ok(());
        }
        if self.dispatchers.get(running).is_some_and(|running| running.client.is_some()) {
            return Err(Error::Busy);
        }
        let dispatcher = self.dispatchers.get(target).ok_or(Error::Dead)?;
        let (domain, core) = (dispatcher.domain, dispatcher.core);
        if dispatcher.callee.is_some() {
            return Err(Error::Busy);
        }
        match dispatcher.state {
            State::Waiting | State::Serving | State::Orphaned | State::Ending => {
                return Err(Error::Busy);
            }
            State::Ready => self.leave_queue(target),
            State::Parked => {}
            // Its domain's next on another core, where another domain runs now.
            State::Current if self.cores[core].running != Some(target) => {
                self.next_ready(domain, core);
            }
            State::Current => return Err(Error::Busy),
        }
        if let Some(dispatcher) = self.dispatchers.get_mut(running) {
            dispatcher.state = State::Parked;
        }
        self.make_current(target, this);
        Ok(())
    }

    /// The slice of the running domain is over, or given up: the next turn. The same dispatcher going on is told.
    pub(crate) fn end_slice(&mut self) {
        self.core_mut().slice_end = 0;
    }

    /// Moves slices, which carry their core in the upper part of their units, from one domain to another.
    pub(crate) fn assign_slices(
        &mut self,
        units: Extent,
        from: DomainId,
        to: DomainId,
    ) -> Result<(), Error> {
        let core = (units.base() >> DEVICE_SHIFT) as usize;
        let base = units.base() & ((1 << DEVICE_SHIFT) - 1);
        let units = Extent::new(base, units.count()).ok_or(Error::BadArgument)?;
        let at = self.cores.get_mut(core).ok_or(Error::BadArgument)?;
        at.slices.assign(units, from, to).map_err(|_| Error::Busy)?;
        for domain in [from, to] {
            if let Some(index) = self.resources.index_of(domain) {
                self.note_slices(core, index, domain);
            }
        }
        Ok(())
    }

    /// All slices of a domain that is gone become `heir`'s.
    pub(crate) fn leave_slices(&mut self, index: u32, from: DomainId, heir: DomainId) {
        let heir_index = self.resources.index_of(heir);
        for core in 0..self.cores.len() {
            if self.cores[core].slices.reassign_all(from, heir) > 0 {
                self.note_slices(core, index, from);
                heir_index.inspect(|index| self.note_slices(core, *index, heir));
            }
        }
    }

    /// Notes whether a domain has slices on a core: it moves from a core where it lost the last one, and starts on one where it
    /// got the first.
    fn note_slices(&mut self, core: usize, index: u32, id: DomainId) {
        let has = self.cores[core].slices.has(id);
        let Some(owner) = self.resources.domains.get_mut(index) else { return };
        let had = owner.cores & 1 << core != 0;
        owner.cores = owner.cores & !(1 << core) | u32::from(has) << core;
        if has == had {
            return;
        }
        self.gather(index);
        self.kick_idle_core_of(index);
    }

    /// Who is current on a core where its domain has no slices, as one is that was woken while it had none at all, queues for
    /// others: at once, or when the core lets go of it.
    fn gather(&mut self, domain: u32) {
        for core in 0..self.cores.len() {
            let current = self.resources.domains.get(domain).and_then(|owner| owner.current[core]);
            let Some(current) = current else { continue };
            if self.cores[core].running == Some(self.last_of(current)) {
                self.cores[core].lost_slices = true;
            } else {
                self.move_on(current, domain, core);
            }
        }
    }

    /// As [`Self::move_on`], for whoever's slice a dispatcher ran in on this core.
    #[cold]
    fn move_current_on(&mut self, index: u32) {
        let head = self.head_of(index);
        if let Some(domain) = self.dispatchers.get(head).map(|head| head.domain) {
            self.move_on(head, domain, local::core_number());
        }
    }

    /// A dispatcher that is current on a core where its domain has no slices queues for others.
    fn move_on(&mut self, index: u32, domain: u32, core: usize) {
        let Some(owner) = self.resources.domains.get_mut(domain) else { return };
        if owner.current[core] == Some(index) && !owner.may_run_on(core) {
            owner.current[core] = None;
            self.enqueue(index, domain);
            self.kick_idle_core_of(domain);
        }
    }

    /// Takes what runs on a core away from it: at once on this core, by an interrupt on another.
    pub(crate) fn evict(&mut self, core: usize) {
        if core == local::core_number() {
            self.cores[core].running = None;
            local::clear_current();
        } else {
            self.cores[core].evicted = true;
            apic::send(core, RESCHEDULE_VECTOR);
        }
    }

    /// Whether a domain would use a slice of this core.
    #[inline(always)]
    fn is_runnable(&self, domain: u32, core: usize) -> bool {
        let owner = self.resources.domains.get(domain);
        owner.is_some_and(|owner| owner.current[core].is_some() || owner.ready.is_some())
    }

    /// Brings this core to the dispatcher that should run; false if there is none.
    pub(crate) fn schedule(&mut self) -> bool {
        let core = local::core_number();
        let now = time::now_ns();
        let mut fresh = false;
        self.cores[core].evicted = false;
        if now >= self.cores[core].slice_end || !self.is_runnable(self.cores[core].owner, core) {
            if !self.next_turn(core, now) {
                return false;
            }
            fresh = true;
        }
        let owner = self.cores[core].owner;
        if self.resources.domains.get(owner).is_some_and(|owner| owner.current[core].is_none()) {
            self.next_ready(owner, core);
        }
        let next = self.resources.domains.get(owner).and_then(|owner| owner.current[core]);
        let Some(head) = next else { return false };
        let next = self.last_of(head);
        self.enter(next);
        if fresh
            && next == head
            && let Some(dispatcher) = self.dispatchers.get_mut(next)
        {
            let asking = self.resources.domains.get_mut(owner).and_then(|at| at.asking.as_mut());
            if let Some(asking) = asking.filter(|asking| asking.upcall_due) {
                let told = dispatcher.context.deliver_event(reason::REVOKE, asking.generation);
                asking.upcall_due = !told;
            }
            dispatcher.start_slice();
        }
        self.set_timer(now);
        true
    }

    /// Goes on in the slice with a dispatcher of a chain of calls whose head is current; false if the slice is over.
    pub(crate) fn enter_in_slice(&mut self, next: u32) -> bool {
        let now = time::now_ns();
        let core = self.core();
        if now >= core.slice_end || core.evicted {
            return false;
        }
        self.enter(next);
        self.set_timer(now);
        true
    }

    /// Takes the next slice of a core whose owner would use it; false if there is none.
    fn next_turn(&mut self, core: usize, now: u64) -> bool {
        let end = self.cores[core].slice_end;
        if end != 0 && now > end && self.cores[core].running.is_some() {
            self.info.note_lateness(now - end);
        }
        // Moved out while owners are asked: a vector without slices stands in for it.
        let mut slices =
            core::mem::replace(&mut self.cores[core].slices, SliceVector::new(&mut []));
        let turn = slices.next(|owner| {
            self.resources.index_of(owner).is_some_and(|index| self.is_runnable(index, core))
        });
        let at = &mut self.cores[core];
        at.slices = slices;
        match turn {
            Some(turn) => {
                at.owner = self.resources.index_of(turn.slice.owner).unwrap_or(0);
                at.slice_end = now + u64::from(turn.slice.length_ns);
            }
            None => at.slice_end = 0,
        }
        turn.is_some()
    }

    /// Prepares this core for waiting for an interrupt: it has no user tables loaded, so nobody has to tell it of changes.
    pub(crate) fn idle(&mut self) {
        self.leave();
        local::clear_current();
        self.core_mut().idle = true;
        self.set_timer(time::now_ns());
        self.info.count_halt();
    }

    fn enter(&mut self, next: u32) {
        let core = self.core_mut();
        core.idle = false;
        if core.running == Some(next) {
            return;
        }
        self.leave();
        if let Some(dispatcher) = self.dispatchers.get_mut(next) {
            dispatcher.make_current();
            let (domain, environment) = (dispatcher.domain, dispatcher.environment);
            let core = self.core_mut();
            core.running = Some(next);
            core.caller = Caller { domain, environment, dispatcher: next };
            self.info.count_switch();
        }
    }

    /// Saves what the running dispatcher has live on this core.
    fn leave(&mut self) {
        if let Some(index) = self.core_mut().running.take()
            && let Some(dispatcher) = self.dispatchers.get_mut(index)
        {
            dispatcher.context.save_live_state();
            let orphaned = dispatcher.state == State::Orphaned;
            local::forget_current();
            self.info.count_foreign();
            if orphaned {
                dispatcher.state = State::Parked;
                self.wake(index);
            }
            if core::mem::take(&mut self.core_mut().lost_slices) {
                self.move_current_on(index);
            }
        }
    }

    /// Sets the timer for the end of the slice or the next deadline, unless it is set for then already. Whoever set a deadline
    /// comes here after it, so each deadline has a core that wakes for it.
    fn set_timer(&mut self, now: u64) {
        let core = self.core();
        let slice = if core.running.is_some() { core.slice_end } else { u64::MAX };
        let deadline = self.deadlines.peek().map_or(u64::MAX, |(deadline, _)| deadline);
        let wanted = slice.min(deadline);
        if wanted == core.timer && wanted > now {
            return;
        }
        self.core_mut().timer = wanted;
        let delay = (wanted != u64::MAX).then(|| wanted.saturating_sub(now));
        apic::set_timer(delay);
    }

    /// The timer fired: forget what it was set for.
    pub(crate) fn timer_fired(&mut self) {
        self.core_mut().timer = 0;
    }
}
