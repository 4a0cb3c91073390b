//! Taking delegations back, and ending objects and domains, in bounded steps.
use crate::domain::{Resources, State};
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::start::EndReason;
use serix_abi::token::Kind;
use serix_core::grant::{Affected, Cursor, NodeStore, Progress};
use serix_core::ids::Frame;
use serix_core::{DomainId, NodeId};
use serix_hal::FrameNumber;
use serix_hal::cpu::local::MAX_CORES;
use serix_hal::cpu::tlb;

/// Nodes that one step may visit.
const NODES_PER_STEP: u32 = 64;
/// Frames that one step may zero: 512 stores each.
const FRAMES_PER_STEP: u64 = 16;

/// A revocation in progress, and the node it began with.
pub(crate) struct Revocation {
    pub(crate) node: NodeId,
    /// The generation that it was made with.
    pub(crate) made: u64,
    cursor: Cursor,
}

impl Kernel {
    /// Ends the node of an object that is gone.
    pub(crate) fn drop_node(&mut self, node: NodeId) {
        let Some(mut cursor) = self.grants.revoke(&mut self.resources, node) else { return };
        // An object's node is a leaf or has delegations of the same object, which hold nothing of their own.
        loop {
            match self.grants.revoke_step(&mut self.resources, &mut cursor, NODES_PER_STEP) {
                Progress::Again => {}
                Progress::Reclaim(_) => self.grants.finish_node(&mut self.resources, &mut cursor),
                Progress::Done => return,
            }
        }
    }

    /// Goes on revoking a delegation; `Again` until it and all that was made of it are gone.
    pub(crate) fn revoke(&mut self, caller: u32, slot: u32) -> Result<(), Error> {
        let binding = self.resources.slot(caller, slot)?;
        if !binding.delegation {
            return Err(Error::Denied);
        }
        let Some(mut revocation) = self.revocation_of(binding.node, binding.generation) else {
            // Already gone, with whatever it was made of.
            self.resources.clear_slot(caller, slot)?;
            return Ok(());
        };
        match self.revoke_step(&mut revocation.cursor) {
            Ok(true) => {
                self.resources.clear_slot(caller, slot)?;
                Ok(())
            }
            Ok(false) => {
                self.revocation = Some(revocation);
                Err(Error::Again)
            }
            Err(error) => {
                self.revocation = Some(revocation);
                Err(error)
            }
        }
    }

    /// The revocation of a node that is under way, or a new one; `None` if the node is gone. Two at once take turns: each
    /// begins anew where the other left its mark.
    fn revocation_of(&mut self, node: NodeId, made: u64) -> Option<Revocation> {
        match self.revocation.take() {
            Some(known) if known.node == node && known.made == made => Some(known),
            _ => {
                let cursor = self.grants.revoke_made(&mut self.resources, node, made)?;
                Some(Revocation { node, made, cursor })
            }
        }
    }

    fn revoke_step(&mut self, cursor: &mut Cursor) -> Result<bool, Error> {
        match self.grants.revoke_step(&mut self.resources, cursor, NODES_PER_STEP) {
            Progress::Again => Ok(false),
            Progress::Done => Ok(true),
            Progress::Reclaim(affected) => {
                if self.reclaim(&affected, &mut cursor.reclaimed)? {
                    self.grants.finish_node(&mut self.resources, cursor);
                }
                Ok(false)
            }
        }
    }

    /// Takes back what a revoked node held; true when done.
    fn reclaim(&mut self, affected: &Affected, reclaimed: &mut u64) -> Result<bool, Error> {
        if affected.kind == Kind::Slices {
            // Slices that were never assigned are the heir's already.
            let _ = self.assign_slices(affected.range, affected.owner, affected.heir);
        }
        if affected.kind == Kind::Gate {
            let gate = affected.range.base() as u32;
            self.abort_call_of(gate, Error::Stale, Some(affected.node));
        }
        if affected.kind != Kind::Frames {
            return Ok(true);
        }
        let end = affected.range.count().min(*reclaimed + FRAMES_PER_STEP);
        while *reclaimed < end {
            let frame = (affected.range.base() + *reclaimed) as u32;
            self.resources.reclaim_frame(frame, affected)?;
            *reclaimed += 1;
        }
        Ok(*reclaimed == affected.range.count())
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
        self.abort_calls_of(&gates);
        if let Some(signal) = end_signal {
            self.send(signal);
        }
    }

    /// Goes on destroying a stopped domain; false when only the domain itself is left.
    pub(crate) fn domain_end_step(&mut self, index: u32) -> Result<bool, Error> {
        if let Some(environment) = self.first_of(index, Kind::Environment) {
            self.environment_end_step(environment);
            return Ok(true);
        }
        if let Some(subtree) = self.first_of(index, Kind::Subtree) {
            self.subtree_end_step(subtree);
            return Ok(true);
        }
        if let Some(ring) = self.first_of(index, Kind::Ring) {
            self.abandon_transfers(ring);
            return match self.ring_end(ring) {
                // The disk still writes to the domain's frames: it ends by itself.
                Err(Error::Busy) => Ok(true),
                other => other.map(|()| true),
            };
        }
        let gates = self.resources.domains.get(index).map(|domain| domain.gates);
        if let Some(gate) = gates.and_then(|gates| gates.into_iter().flatten().next()) {
            self.gate_end(gate);
            return Ok(true);
        }
        if let Some(event) = self.first_of(index, Kind::Event) {
            self.event_end(event);
            return Ok(true);
        }
        if let Some(child) = self.first_of(index, Kind::Domain) {
            self.domain_stop(child, EndReason::Destroyed, 0);
            if !self.domain_end_step(child)? {
                self.domain_free(child);
            }
            return Ok(true);
        }
        if let Some(node) = self.resources.first_node(index) {
            return self.revoke_node_step(node).map(|()| true);
        }
        Ok(false)
    }

    fn revoke_node_step(&mut self, node: NodeId) -> Result<(), Error> {
        let made = self.resources.node(node).ok_or(Error::Stale)?.made();
        let mut revocation = self.revocation_of(node, made).ok_or(Error::Stale)?;
        let result = self.revoke_step(&mut revocation.cursor);
        if result != Ok(true) {
            self.revocation = Some(revocation);
        }
        result.map(drop)
    }

    /// Frees a stopped domain without objects.
    pub(crate) fn domain_free(&mut self, index: u32) {
        self.resources.free_slots(index);
        self.resources.dissolve_account(index);
        let Some(domain) = self.resources.domains.get(index) else { return };
        let (node, id, payer) = (domain.node, domain.id, self.domain_payer(index));
        let heir = self.resources.domains.get(payer).map_or(DomainId::NONE, |payer| payer.id);
        self.leave_slices(index, id, heir);
        if let Some(frame) = self.resources.domains.remove(index) {
            self.resources.put_object(payer, frame);
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

    /// Any object of a kind that a domain has.
    fn first_of(&self, domain: u32, kind: Kind) -> Option<u32> {
        match kind {
            Kind::Environment => {
                self.environments.iter().find(|(_, at)| at.domain == domain).map(|(index, _)| index)
            }
            Kind::Subtree => {
                self.subtrees.iter().find(|(_, at)| at.domain == domain).map(|(index, _)| index)
            }
            Kind::Ring => {
                self.rings.iter().find(|(_, at)| at.domain == domain).map(|(index, _)| index)
            }
            Kind::Event => {
                self.events.iter().find(|(_, at)| at.domain == domain).map(|(index, _)| index)
            }
            Kind::Domain => self
                .resources
                .domains
                .iter()
                .map(|(index, _)| index)
                .find(|index| *index != domain && self.domain_payer(*index) == domain),
            _ => None,
        }
    }
}

impl Resources {
    /// Takes one frame from its owner: unmapped, zeroed, the heir's.
    fn reclaim_frame(&mut self, frame: u32, affected: &Affected) -> Result<(), Error> {
        let number = FrameNumber(frame);
        let owner = self.ledger.word(Frame(frame)).map(|word| word.owner());
        if owner != Some(affected.owner) {
            // Taken already, by the end of a delegation further down.
            return Ok(());
        }
        while self.frames.unmap_one(number) {}
        // No core may write to it any more when it is zeroed.
        tlb::finish();
        if self.frames.pins(number) > 0 {
            return Err(Error::Busy);
        }
        if !self.frames.zero_user(number) {
            return Err(Error::Busy);
        }
        self.ledger.transfer(Frame(frame), affected.owner, affected.heir).map_err(|_| Error::Busy)
    }

    /// A node that a domain paid for and that is still in use.
    fn first_node(&self, domain: u32) -> Option<NodeId> {
        let domain = self.domains.get(domain)?;
        domain.node_chunks[..domain.node_chunk_count].iter().find_map(|chunk| {
            let place = self.node_chunks.get(*chunk)?.first_used()?;
            Some(super::nodes::node_id(*chunk, place))
        })
    }

    /// Gives all frames of an account back to its domain.
    fn dissolve_account(&mut self, index: u32) {
        let Some(domain) = self.domains.get_mut(index) else { return };
        while self.ledger.withdraw(&mut domain.account).is_some() {}
    }
}
