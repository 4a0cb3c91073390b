//! Who runs next on a core: slices in turn, and within a domain whom the domain chose on that core.
//!
//! A dispatcher is current on one core at most. A domain's other dispatchers that can run queue in the domain, for the first
//! of its cores that has nobody current.
use super::core::Caller;
use super::dispatcher::{Dispatcher, State};
use crate::capability::DEVICE_SHIFT;
use crate::domain::{self, Domain};
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::dispatcher::reason;
use serix_core::DomainId;
use serix_core::extent::Extent;
use serix_core::slices::SliceVector;
use serix_hal::cpu::apic::{self, RESCHEDULE_VECTOR};
use serix_hal::cpu::{local, time};

/// What became of a dispatcher that was woken.
pub(crate) enum Woken {
    /// Its domain has ended.
    Not,
    /// Its domain's current one on a core.
    Current { core: usize },
    /// In its domain's queue, behind another, for these cores.
    Queued { behind: Option<u32>, cores: u32 },
}

/// Makes a dispatcher current where it was last, or lets it queue for any core of its domain.
#[inline(always)]
pub(crate) fn wake_in(dispatcher: &mut Dispatcher, index: u32, owner: &mut Domain) -> Woken {
    let core = dispatcher.core;
    if !owner.runs() {
        return Woken::Not;
    }
    if owner.current[core].is_none() && owner.may_run_on(core) {
        dispatcher.state = State::Current;
        owner.current[core] = Some(index);
        return Woken::Current { core };
    }
    let behind = owner.ready.map(|(_, last)| last);
    owner.ready = Some((owner.ready.map_or(index, |(first, _)| first), index));
    (dispatcher.previous, dispatcher.next) = (behind, None);
    dispatcher.state = State::Ready;
    Woken::Queued { behind, cores: owner.cores }
}

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
        self.wake_alone(index);
    }

    /// As [`Self::wake`], of one that serves nobody.
    #[inline(always)]
    pub(crate) fn wake_alone(&mut self, index: u32) {
        let Some(dispatcher) = self.dispatchers.get_mut(index) else { return };
        let Some(owner) = self.resources.domains.get_mut(dispatcher.domain) else { return };
        let woken = wake_in(dispatcher, index, owner);
        self.woke(index, woken);
    }

    /// Tells whoever has to know that one was woken.
    #[inline(always)]
    pub(crate) fn woke(&mut self, index: u32, woken: Woken) {
        match woken {
            Woken::Not => {}
            Woken::Current { core } => {
                self.kick_if_idle(core);
            }
            Woken::Queued { behind, cores } => {
                if let Some(last) = behind.and_then(|last| self.dispatchers.get_mut(last)) {
                    last.next = Some(index);
                }
                self.kick_idle_core(cores);
            }
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
        let head_runs = self.resources.domains.get(domain).is_some_and(runs);
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
    #[inline(always)]
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
        if let Some(owner) = self.resources.domains.get(domain) {
            self.kick_idle_core(owner.cores);
        }
    }

    /// Tells one idle core of these, a bit each, that there is work.
    #[inline(always)]
    fn kick_idle_core(&mut self, cores: u32) {
        let mut left = cores & !(1 << local::core_number());
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
            && self.resources.domains.get(domain).is_some_and(is_current)
        {
            self.next_ready(domain, core);
        }
    }

    /// As [`Self::stop_running`] for waiting, of one that serves nobody: who of its domain goes on in the slice, if that is known.
    #[inline(always)]
    pub(crate) fn wait_alone(&mut self, caller: Caller) -> Option<u32> {
        let (index, domain, core) = (caller.dispatcher, caller.domain, caller.core as usize);
        let here = self.cores[core].owner == domain;
        let owner = self.resources.domains.get_mut(domain)?;
        if owner.current[core] != Some(index) {
            // It lost its client, and runs in a slice where another is current.
            return None;
        }
        owner.current[core] = None;
        let (first, last) = owner.ready.filter(|_| owner.state == domain::State::Running)?;
        let next = self.dispatchers.get_mut(first)?;
        let behind = next.next.take();
        (next.state, next.core) = (State::Current, core);
        let goes_on = here && next.callee.is_none();
        owner.current[core] = Some(first);
        owner.ready = behind.map(|behind| (behind, last));
        if let Some(behind) = behind.and_then(|behind| self.dispatchers.get_mut(behind)) {
            behind.previous = None;
        }
        goes_on.then_some(first)
    }

    /// Whether a core has a dispatcher's context loaded.
    pub(crate) fn core_of(&self, index: u32) -> Option<usize> {
        self.cores.iter().position(|core| core.running == Some(index))
    }

    /// Gives the rest of the slice to a dispatcher of the caller's domain that does not wait and runs on no other core. The caller
    /// is answered when it runs again.
    #[inline(always)]
    pub(crate) fn yield_to(&mut self, caller: Caller, target: u32) -> Result<(), Error> {
        let this = caller.core as usize;
        let Some((running, next)) = self.dispatchers.pair_mut(caller.dispatcher, target) else {
            return if target == caller.dispatcher { Ok(()) } else { Err(Error::Dead) };
        };
        if running.client.is_some() || next.callee.is_some() {
            return Err(Error::Busy);
        }
        if next.state != State::Parked {
            return self.yield_to_other(caller, target);
        }
        let owner = self.resources.domains.get_mut(caller.domain).ok_or(Error::Dead)?;
        running.state = State::Parked;
        running.context.set_reply(0, 0);
        (next.state, next.core) = (State::Current, this);
        owner.current[this] = Some(target);
        Ok(())
    }

    /// As [`Self::yield_to`], to one that is not parked.
    #[inline(never)]
    fn yield_to_other(&mut self, caller: Caller, target: u32) -> Result<(), Error> {
        self.take_from_elsewhere(target)?;
        if let Some(running) = self.dispatchers.get_mut(caller.dispatcher) {
            running.state = State::Parked;
            running.context.set_reply(0, 0);
        }
        self.make_current(target, caller.core as usize);
        Ok(())
    }

    /// Prepares a dispatcher that is not parked for being yielded to.
    fn take_from_elsewhere(&mut self, target: u32) -> Result<(), Error> {
        let dispatcher = self.dispatchers.get(target).ok_or(Error::Dead)?;
        let (domain, core) = (dispatcher.domain, dispatcher.core);
        match dispatcher.state {
            State::Ready => self.leave_queue(target),
            // Its domain's next on another core, where another domain runs now.
            State::Current if self.cores[core].running != Some(target) => {
                self.next_ready(domain, core);
            }
            State::Parked => {}
            State::Current | State::Waiting | State::Serving | State::Orphaned | State::Ending => {
                return Err(Error::Busy);
            }
        }
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
        self.enter(core, next);
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

    /// Goes on in the slice with a dispatcher. If the slice is over, its end is an interrupt that comes as soon as ring 3 runs.
    #[inline(always)]
    pub(crate) fn enter_in_slice(&mut self, this: usize, next: u32) {
        self.enter(this, next);
        self.note_deadline(this);
    }

    /// A deadline may have been set.
    #[inline(always)]
    pub(crate) fn note_deadline(&mut self, this: usize) {
        if self.deadlines.earliest_ns() < self.cores[this].timer {
            self.set_timer(time::now_ns());
        }
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
        // No slice ends here: only a deadline may wake it.
        self.program_timer(self.deadlines.earliest_ns(), time::now_ns());
        self.info.count_foreign();
        self.info.count_halt();
    }

    /// Makes a dispatcher the one that runs on this core, whose number is `this`.
    #[inline(always)]
    fn enter(&mut self, this: usize, next: u32) {
        let core = &mut self.cores[this];
        core.idle = false;
        let last = core.running;
        if last == Some(next) {
            return;
        }
        let Some((dispatcher, state)) = self.dispatchers.switch(last, next) else {
            core.running = None;
            local::forget_current();
            return;
        };
        let (domain, environment) = (dispatcher.domain, dispatcher.environment);
        let caller = Caller { domain, environment, dispatcher: next, core: this as u32 };
        self.entered(caller, last, state == Some(State::Orphaned));
    }

    /// A dispatcher was made the one that this core runs, after another, which may have lost its client.
    #[inline(always)]
    pub(crate) fn entered(&mut self, now: Caller, last: Option<u32>, is_orphan: bool) {
        let core = &mut self.cores[now.core as usize];
        (core.running, core.caller) = (Some(now.dispatcher), now);
        self.info.count_switch();
        if (core.lost_slices || is_orphan)
            && let Some(last) = last
        {
            self.has_left(last);
        }
    }

    /// Saves what the running dispatcher has live on this core, which goes idle.
    fn leave(&mut self) {
        let Some(last) = self.core_mut().running.take() else { return };
        if let Some(dispatcher) = self.dispatchers.get_mut(last) {
            dispatcher.context.save_live_state();
            local::forget_current();
            self.has_left(last);
        }
    }

    /// A dispatcher that lost its client or its slices while a core had it loaded goes where it belongs.
    #[cold]
    fn has_left(&mut self, last: u32) {
        if let Some(dispatcher) = self.dispatchers.get_mut(last)
            && dispatcher.state == State::Orphaned
        {
            dispatcher.state = State::Parked;
            self.wake(last);
        }
        if core::mem::take(&mut self.core_mut().lost_slices) {
            self.move_current_on(last);
        }
    }

    /// Sets the timer for the end of the slice or the next deadline, unless it comes by then already. Whoever set a deadline
    /// comes here after it, so each deadline has a core that wakes for it. A timer that comes early does no harm: it is set
    /// anew then.
    #[inline(always)]
    fn set_timer(&mut self, now: u64) {
        let wanted = self.core().slice_end.min(self.deadlines.earliest_ns());
        if wanted < self.core().timer {
            self.program_timer(wanted, now);
        }
    }

    #[inline(never)]
    fn program_timer(&mut self, wanted: u64, now: u64) {
        self.core_mut().timer = wanted;
        apic::set_timer((wanted != u64::MAX).then(|| wanted.saturating_sub(now)));
    }

    /// The timer fired: forget what it was set for.
    pub(crate) fn timer_fired(&mut self) {
        self.core_mut().timer = u64::MAX;
    }
}
