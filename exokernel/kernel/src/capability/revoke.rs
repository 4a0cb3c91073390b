//! Taking delegations back, in bounded steps: ask, wait, take by force, and say what was taken.
use crate::domain::{Asking, Resources, Signal};
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::record::{Asked, Taken};
use serix_abi::start::EndReason;
use serix_abi::token::Kind;
use serix_core::grant::{Affected, Cursor, GrantTree, Node, NodeStore, Progress};
use serix_core::ids::Frame;
use serix_core::{DomainId, NodeId};
use serix_hal::FrameNumber;
use serix_hal::cpu::{time, tlb};

/// Nodes that one step may visit.
const NODES_PER_STEP: u32 = 64;
/// Frames that one step may zero: 512 stores each.
const FRAMES_PER_STEP: u64 = 16;
/// Mappings that one step may remove.
const MAPPINGS_PER_STEP: usize = 64;
/// Domains that may be ended for one another's frames in one step.
const MAX_FORCE: u32 = 8;

/// A revocation in progress, and the node it began with.
pub(crate) struct Revocation {
    node: NodeId,
    /// The generation that it was made with.
    made: u64,
    pub(super) cursor: Cursor,
}

impl Kernel {
    /// Goes on revoking a delegation; `Again` until it and all that was made of it are gone. Until `deadline` its holder is
    /// asked for it, and the answer is `Busy`, unless the holder lets go.
    pub(crate) fn revoke(
        &mut self,
        caller: u32,
        slot: u32,
        deadline: u64,
        answer: Option<Signal>,
    ) -> Result<(), Error> {
        let binding = self.resources.slot(caller, slot)?;
        if !binding.delegation {
            return Err(Error::Denied);
        }
        let live = GrantTree::is_current(&self.resources, binding.node, binding.generation);
        if live && deadline > time::now_ns() && !self.ask(binding.node, deadline, answer) {
            return Err(Error::Busy);
        }
        if self.help_revocation(caller, binding.node) {
            return Err(Error::Again);
        }
        let revocation = self.revocation_of(caller, binding.node, binding.generation);
        let Some(mut revocation) = revocation else {
            // Already gone, with whatever it was made of.
            self.resources.clear_slot(caller, slot)?;
            return Ok(());
        };
        match self.revoke_step(&mut revocation.cursor, Some(caller)) {
            Ok(true) => self.resources.clear_slot(caller, slot).map(drop),
            Ok(false) => {
                self.keep_revocation(caller, revocation);
                Err(Error::Again)
            }
            Err(error) => {
                self.keep_revocation(caller, revocation);
                Err(error)
            }
        }
    }

    /// Goes on with the revocation of another node that the domain has under way; false if there is none. Two that took turns and
    /// began anew each time would never end.
    fn help_revocation(&mut self, domain: u32, node: NodeId) -> bool {
        let under_way = self.resources.domains.get_mut(domain).map(|domain| &mut domain.revocation);
        let Some(mut other) =
            under_way.and_then(|under_way| under_way.take_if(|it| it.node != node))
        else {
            return false;
        };
        let is_there = self.resources.node(other.node).is_some_and(|it| it.made() == other.made);
        if is_there && self.revoke_step(&mut other.cursor, Some(domain)) == Ok(false) {
            self.keep_revocation(domain, other);
        }
        is_there
    }

    /// Asks the holder of a node to let go of it; whether it did.
    fn ask(&mut self, node: NodeId, deadline: u64, answer: Option<Signal>) -> bool {
        let Some(asked) = self.resources.node(node).map(asked) else { return true };
        let holder = self.resources.node(node).map_or(DomainId::NONE, Node::owner);
        let holder = self.resources.index_of(holder);
        let Some(domain) = holder.and_then(|holder| self.resources.domains.get_mut(holder)) else {
            return true;
        };
        match &domain.asking {
            Some(known) if known.generation == asked.generation => known.answered,
            // One question at a time: this one is put when the other is over, if its own deadline allows.
            Some(known) if !known.answered && known.deadline > time::now_ns() => false,
            _ => {
                domain.asking = Some(Asking {
                    generation: asked.generation,
                    deadline,
                    answer,
                    answered: false,
                    upcall_due: true,
                });
                let signal =
                    domain.record.as_mut().map(|record| record.ask(Asked { deadline, ..asked }));
                if let Some(signal) = signal {
                    self.send(signal);
                }
                false
            }
        }
    }

    /// The calling domain lets go of what it was asked for.
    pub(crate) fn surrender(&mut self, caller: u32, generation: u64) -> Result<(), Error> {
        let domain = self.resources.domains.get_mut(caller).ok_or(Error::Dead)?;
        let asking = domain.asking.as_mut().filter(|asking| asking.generation == generation);
        let asking = asking.ok_or(Error::Stale)?;
        asking.answered = true;
        if let Some(answer) = asking.answer {
            self.send(answer);
        }
        Ok(())
    }

    /// The revocation of a node that a domain has under way, or a new one; `None` if the node is gone. Each domain has one.
    pub(super) fn revocation_of(
        &mut self,
        domain: u32,
        node: NodeId,
        made: u64,
    ) -> Option<Revocation> {
        match self.resources.domains.get_mut(domain)?.revocation.take() {
            Some(known) if known.node == node && known.made == made => Some(known),
            _ => {
                let cursor = self.grants.revoke_made(&mut self.resources, node, made)?;
                Some(Revocation { node, made, cursor })
            }
        }
    }

    pub(super) fn keep_revocation(&mut self, domain: u32, revocation: Revocation) {
        if let Some(domain) = self.resources.domains.get_mut(domain) {
            domain.revocation = Some(revocation);
        }
    }

    /// Goes on; true when all is gone. `revoker` is who takes the resources back; none if nothing is to be taken.
    pub(super) fn revoke_step(
        &mut self,
        cursor: &mut Cursor,
        revoker: Option<u32>,
    ) -> Result<bool, Error> {
        match self.grants.revoke_step(&mut self.resources, cursor, NODES_PER_STEP) {
            Progress::Again => Ok(false),
            Progress::Done => Ok(true),
            Progress::Reclaim(affected) => {
                if self.reclaim(&affected, &mut cursor.reclaimed, revoker)? {
                    self.record_taken(&affected);
                    self.grants.finish_node(&mut self.resources, cursor);
                }
                Ok(false)
            }
        }
    }

    /// Takes back what a revoked node held; true when done.
    fn reclaim(
        &mut self,
        affected: &Affected,
        reclaimed: &mut u64,
        revoker: Option<u32>,
    ) -> Result<bool, Error> {
        match affected.kind {
            Kind::Slices => {
                // Slices that were never assigned are the heir's already.
                let _ = self.assign_slices(affected.range, affected.owner, affected.heir);
            }
            Kind::Gate => {
                let gate = affected.range.base() as u32;
                self.abort_call_of(gate, Error::Stale, Some(affected.node));
            }
            Kind::Interrupt => self.lines_end_grant(affected.node),
            Kind::Frames | Kind::DeviceFrames => {
                return self.reclaim_frames(affected, reclaimed, revoker);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Takes the next frames: unmapped everywhere, forgotten by all cores, zeroed, the heir's.
    fn reclaim_frames(
        &mut self,
        affected: &Affected,
        reclaimed: &mut u64,
        revoker: Option<u32>,
    ) -> Result<bool, Error> {
        let end = affected.range.count().min(*reclaimed + FRAMES_PER_STEP);
        let place = |resources: &Resources, unit: u64| {
            resources.place(affected.kind, affected.range.base() + unit).0
        };
        let mut left = MAPPINGS_PER_STEP;
        for unit in *reclaimed..end {
            let frame = place(&self.resources, unit);
            if !self.resources.unmap_frame(frame, affected.owner, &mut left) {
                return Ok(false);
            }
        }
        // No core may write to them any more when they are zeroed.
        tlb::finish();
        while *reclaimed < end {
            let frame = place(&self.resources, *reclaimed);
            if !self.resources.take_frame(frame, affected) {
                let more = self.make_let_go(affected.owner, revoker)?;
                // When nothing is left of its owner and a frame is still in use, the use is another's.
                if more || self.resources.take_frame(frame, affected) {
                    return Ok(false);
                }
                return Err(Error::Busy);
            }
            *reclaimed += 1;
        }
        Ok(*reclaimed == affected.range.count())
    }

    /// A frame cannot be taken: a device writes to it, or the kernel uses it for its owner, as a dispatcher's page or as part of
    /// the account. A device is waited for. A domain that gave the kernel what is not its own for good ends.
    /// Whether there is more to do.
    fn make_let_go(&mut self, owner: DomainId, revoker: Option<u32>) -> Result<bool, Error> {
        let index = self.resources.index_of(owner).ok_or(Error::Busy)?;
        let revoker = revoker.ok_or(Error::Busy)?;
        if self.abandon_transfers_of(index) {
            return Ok(true);
        }
        if self.is_ancestor(index, revoker) || self.forced >= MAX_FORCE {
            return Err(Error::Busy);
        }
        self.domain_stop(index, EndReason::Revoked, 0);
        self.forced += 1;
        let more = self.domain_end_step(index);
        self.forced -= 1;
        more
    }

    /// Appends to the record of whoever lost something, and forgets that it was asked for it.
    fn record_taken(&mut self, affected: &Affected) {
        let made = self.resources.node(affected.node).map_or(0, Node::made);
        let Some(index) = self.resources.index_of(affected.owner) else { return };
        let Some(domain) = self.resources.domains.get_mut(index) else { return };
        let asking = domain.asking.take_if(|asking| asking.generation == made);
        let taken = Taken {
            generation: made,
            base: affected.range.base(),
            count: affected.range.count(),
            kind: affected.kind as u32,
            forced: u32::from(asking.is_none_or(|asking| !asking.answered)),
        };
        if let Some(signal) = domain.record.as_mut().map(|record| record.append(taken)) {
            self.send(signal);
        }
    }
}

/// What a holder is told of a node, but the deadline.
fn asked(node: &Node) -> Asked {
    Asked {
        generation: node.made(),
        base: node.range().base(),
        count: node.range().count(),
        deadline: 0,
        kind: node.kind() as u64,
    }
}

impl Resources {
    fn is_owner(&self, frame: u32, owner: DomainId) -> bool {
        self.ledger.word(Frame(frame)).map(|word| word.owner()) == Some(owner)
    }

    /// Removes the mappings of a frame, at most `left`; false if there are more. A frame that is another's was taken already, by
    /// the end of a delegation further down.
    fn unmap_frame(&mut self, frame: u32, owner: DomainId, left: &mut usize) -> bool {
        if !self.is_owner(frame, owner) {
            return true;
        }
        while self.frames.unmap_one(FrameNumber(frame)) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
        }
        true
    }

    /// Zeroes an unmapped frame of RAM and gives it to the heir; false if it is in use.
    fn take_frame(&mut self, frame: u32, affected: &Affected) -> bool {
        let is_device = affected.kind == Kind::DeviceFrames;
        !self.is_owner(frame, affected.owner)
            || (is_device || self.frames.zero_user(FrameNumber(frame)))
                && self.ledger.transfer(Frame(frame), affected.owner, affected.heir).is_ok()
    }
}
