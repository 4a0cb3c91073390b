//! Ending objects and domains, in bounded steps.
//!
//! Invariant: each step does a bounded part and leaves what it touched whole, so anything may happen between two. How far it came is
//! kept in the domain that ends.
use crate::domain::{MAX_GATES, State};
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::start::EndReason;
use serix_abi::token::Kind;
use serix_core::grant::{NodeStore, Progress};
use serix_core::{DomainId, NodeId};
use serix_hal::cpu::local::MAX_CORES;

/// Nodes that one step may visit.
const NODES_PER_STEP: u32 = 64;
/// Table entries that one step may look at.
const ENTRIES_PER_STEP: u32 = 512;
/// Frames of an account that one step may give back.
const FRAMES_PER_STEP: usize = 512;
/// Generations of domains that one step may go down.
const GENERATIONS_PER_STEP: usize = 16;

/// An object of a domain, looked for.
enum Found {
    /// There is none.
    None,
    /// This one.
    One(u32),
    /// Not among those looked at: look again.
    Later,
}

/// What a step in the end of one domain did.
enum Step {
    /// A part.
    More,
    /// Nothing: this child has to end first.
    Child(u32),
    /// Nothing: only the domain itself is left.
    Done,
}

impl Kernel {
    /// Ends the node of an object that is gone, of which nothing is delegated any more.
    pub(crate) fn drop_node(&mut self, node: NodeId) {
        let Some(mut cursor) = self.grants.revoke(&mut self.resources, node) else { return };
        // Without children: to the node, its mark, its end.
        while let Progress::Again | Progress::Reclaim(_) =
            self.grants.revoke_step(&mut self.resources, &mut cursor, NODES_PER_STEP)
        {
            self.grants.finish_node(&mut self.resources, &mut cursor);
        }
    }

    /// Goes on ending the delegations of an object; false when there is none. `owner` is the domain that has the object.
    pub(crate) fn delegations_end_step(&mut self, owner: u32, node: NodeId) -> bool {
        let child = self.resources.node(node).and_then(|node| node.first_child());
        let Some(child) = child else { return false };
        let made = self.resources.node(child).map_or(0, |child| child.made());
        let Some(mut revocation) = self.revocation_of(owner, child, made) else { return true };
        // Objects are used by name: what their delegations hold needs no taking back.
        let done = self.revoke_step(&mut revocation.cursor, None);
        if done != Ok(true) {
            self.keep_revocation(owner, revocation);
        }
        true
    }

    /// Ends a domain: nothing of it runs any more, whoever waits for it is told. Its objects go step by step in
    /// [`Self::domain_end_step`].
    pub(crate) fn domain_stop(&mut self, index: u32, reason: EndReason, status: u32) {
        let Some(domain) = self.resources.domains.get_mut(index) else { return };
        if domain.state != State::Running {
            return;
        }
        domain.state = State::Ended(reason, status);
        let (end_signal, gates) = (domain.end_signal, domain.gates);
        let current = core::mem::replace(&mut domain.current, [None; MAX_CORES]);
        domain.ready = None;
        // Who serves one of them goes on alone.
        for head in current.into_iter().flatten() {
            self.abort_call(head, Error::Dead);
        }
        for core in 0..self.cores.len() {
            let running = self.cores[core].running;
            let running = running.and_then(|running| self.dispatchers.get(running));
            if running.is_some_and(|running| running.domain == index) {
                self.evict(core);
            }
        }
        const { assert!(MAX_GATES <= 16, "all of them are looked at in one step") };
        self.abort_calls_of(&gates);
        self.lines_end_domain(index);
        if let Some(signal) = end_signal {
            self.send(signal);
        }
    }

    /// Goes on destroying a stopped domain and those that it made, the youngest first; false when only the domain itself is left.
    pub(crate) fn domain_end_step(&mut self, index: u32) -> Result<bool, Error> {
        let mut at = self.youngest_ending(index);
        for _ in 0..GENERATIONS_PER_STEP {
            match self.own_end_step(at)? {
                Step::More => break,
                Step::Child(child) => {
                    self.domain_stop(child, EndReason::Destroyed, 0);
                    at = child;
                }
                Step::Done if at == index => return Ok(false),
                Step::Done => {
                    let parent = self.domain_payer(at);
                    self.domain_free(at);
                    at = parent;
                    break;
                }
            }
        }
        if let Some(domain) = self.resources.domains.get_mut(index) {
            domain.descent = (at != index).then_some(at);
        }
        Ok(true)
    }

    /// Where the end of a domain goes on: at the descendant that the last step came to, unless another has ended that meanwhile.
    fn youngest_ending(&self, index: u32) -> u32 {
        let known = self.resources.domains.get(index).and_then(|domain| domain.descent);
        let ends = |at: &u32| self.resources.domains.get(*at).is_some_and(|domain| !domain.runs());
        known.filter(ends).filter(|at| self.is_ancestor(index, *at)).unwrap_or(index)
    }

    /// One step in the end of a domain's own objects.
    fn own_end_step(&mut self, index: u32) -> Result<Step, Error> {
        for kind in [Kind::Environment, Kind::Subtree, Kind::Ring, Kind::Event] {
            match self.find_of(index, kind) {
                Found::None => {}
                Found::Later => return Ok(Step::More),
                Found::One(object) => {
                    return self.object_end_step(kind, object).map(|()| Step::More);
                }
            }
        }
        let gates = self.resources.domains.get(index).map(|domain| domain.gates);
        if let Some(gate) = gates.and_then(|gates| gates.into_iter().flatten().next()) {
            self.gate_end_step(gate);
            return Ok(Step::More);
        }
        match self.find_of(index, Kind::Domain) {
            Found::None => {}
            Found::Later => return Ok(Step::More),
            Found::One(child) => return Ok(Step::Child(child)),
        }
        self.record_end(index);
        if let Some(node) = self.resources.first_node(index) {
            return self.revoke_node_step(index, node).map(|()| Step::More);
        }
        let node = self.resources.domains.get(index).map_or(NodeId::NONE, |domain| domain.node);
        if self.delegations_end_step(index, node) {
            return Ok(Step::More);
        }
        self.resources.free_slots(index);
        if self.resources.dissolve_account_step(index) {
            return Ok(Step::More);
        }
        Ok(Step::Done)
    }

    fn object_end_step(&mut self, kind: Kind, object: u32) -> Result<(), Error> {
        match kind {
            Kind::Environment => {
                self.environment_end_step(object);
            }
            Kind::Subtree => {
                self.subtree_end_step(object);
            }
            Kind::Ring => {
                self.abandon_transfers(object);
                return match self.ring_end_step(object) {
                    // The disk still writes to the domain's frames: it ends by itself.
                    Err(Error::Busy | Error::Again) => Ok(()),
                    other => other,
                };
            }
            _ => {
                self.event_end_step(object);
            }
        }
        Ok(())
    }

    fn revoke_node_step(&mut self, owner: u32, node: NodeId) -> Result<(), Error> {
        let made = self.resources.node(node).ok_or(Error::Stale)?.made();
        let mut revocation = self.revocation_of(owner, node, made).ok_or(Error::Stale)?;
        let result = self.revoke_step(&mut revocation.cursor, Some(owner));
        if result != Ok(true) {
            self.keep_revocation(owner, revocation);
        }
        result.map(drop)
    }

    /// Frees a stopped domain without objects.
    pub(crate) fn domain_free(&mut self, index: u32) {
        let Some(domain) = self.resources.domains.get(index) else { return };
        let (node, id, payer) = (domain.node, domain.id, self.domain_payer(index));
        let heir = self.resources.domains.get(payer).map_or(DomainId::NONE, |payer| payer.id);
        self.leave_slices(index, id, heir);
        let share = self.resources.domains.get(index).map_or(0, |domain| domain.share);
        if let Some(frame) = self.resources.domains.remove(index) {
            self.resources.put_object(payer, frame);
            if let Some(payer) = self.resources.domains.get_mut(payer) {
                payer.left += share;
            }
            self.resources.count_object(payer, Kind::Domain, false);
        }
        self.drop_node(node);
    }

    /// The domain whose account paid for a domain: the owner of its node.
    fn domain_payer(&self, index: u32) -> u32 {
        self.resources
            .domains
            .get(index)
            .and_then(|domain| self.resources.node(domain.node))
            .and_then(|node| self.resources.index_of(node.owner()))
            .unwrap_or(self.first_domain)
    }

    /// Whether a domain is another one, or paid for it, or for one that did.
    pub(crate) fn is_ancestor(&self, index: u32, of: u32) -> bool {
        let mut at = of;
        while at != index {
            if at == self.first_domain {
                return false;
            }
            at = self.domain_payer(at);
        }
        true
    }

    /// Looks for an object of a kind that a domain has, from where it found the last one.
    fn find_of(&mut self, domain: u32, kind: Kind) -> Found {
        let Some(owner) = self.resources.domains.get(domain) else { return Found::None };
        if owner.objects[kind as usize] == 0 {
            return Found::None;
        }
        let (start, capacity) = (owner.scan, self.capacity_of(kind));
        let place = |step: u32| (start % capacity + step) % capacity;
        let steps = 0..ENTRIES_PER_STEP.min(capacity);
        let found = steps.map(place).find(|index| self.is_of(domain, kind, *index));
        if let Some(owner) = self.resources.domains.get_mut(domain) {
            owner.scan = found.unwrap_or_else(|| place(ENTRIES_PER_STEP));
        }
        found.map_or(Found::Later, Found::One)
    }

    fn capacity_of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Environment => self.environments.capacity(),
            Kind::Subtree => self.subtrees.capacity(),
            Kind::Ring => self.rings.capacity(),
            Kind::Event => self.events.capacity(),
            _ => self.resources.domains.capacity(),
        }
    }

    fn is_of(&self, domain: u32, kind: Kind, index: u32) -> bool {
        let owner = match kind {
            Kind::Environment => self.environments.get(index).map(|object| object.domain),
            Kind::Subtree => self.subtrees.get(index).map(|object| object.domain),
            Kind::Ring => self.rings.get(index).map(|object| object.domain),
            Kind::Event => self.events.get(index).map(|object| object.domain),
            _ if index == domain => None,
            _ => self.resources.domains.get(index).map(|_| self.domain_payer(index)),
        };
        owner == Some(domain)
    }
}

impl crate::domain::Resources {
    /// Counts an object that a domain got or lost.
    pub(crate) fn count_object(&mut self, domain: u32, kind: Kind, made: bool) {
        if let Some(domain) = self.domains.get_mut(domain) {
            let count = &mut domain.objects[kind as usize];
            *count = if made { *count + 1 } else { *count - 1 };
        }
    }

    /// A node that a domain paid for and that is still in use.
    fn first_node(&self, domain: u32) -> Option<NodeId> {
        let domain = self.domains.get(domain)?;
        domain.node_chunks[..domain.node_chunk_count].iter().find_map(|chunk| {
            let place = self.node_chunks.get(*chunk)?.first_used()?;
            Some(super::nodes::node_id(*chunk, place))
        })
    }

    /// Goes on giving the frames of an account back to its domain; false when it is empty.
    fn dissolve_account_step(&mut self, index: u32) -> bool {
        let Some(domain) = self.domains.get_mut(index) else { return false };
        let ledger = &mut self.ledger;
        let given = (0..FRAMES_PER_STEP)
            .take_while(|_| ledger.withdraw(&mut domain.account).is_some())
            .count();
        given == FRAMES_PER_STEP
    }
}
