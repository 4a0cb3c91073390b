//! Delegation: a grant node, a sealed token for the receiver, and a slot for taking it back.
use crate::domain::Resources;
use crate::kernel::Kernel;
use serix_abi::map::Grant;
use serix_abi::token::{BEARER, Claim, Kind, Rights};
use serix_abi::{Error, NO_SLOT};
use serix_core::binding::Binding;
use serix_core::extent::Extent;
use serix_core::grant::{GrantError, GrantTree, NodeStore};
use serix_core::ids::Frame;
use serix_core::{DomainId, NodeId};
use serix_hal::cpu::tlb;

/// Frames that change owner in one step.
const OWNERS_PER_STEP: u64 = 256;
/// Of those, frames that may have to be zeroed: 512 stores each.
const CLEANED_PER_STEP: u32 = 16;
/// Mappings that one step of an undone grant may remove.
const MAPPINGS_PER_STEP: usize = 64;

/// Whether the ledger has an owner for each unit.
fn is_owned_by_frame(kind: Kind) -> bool {
    matches!(kind, Kind::Frames | Kind::DeviceFrames)
}

/// A delegation of frames under way: node and slot are made, frames change owner step by step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granting {
    delegation: u32,
    claim: Claim,
    /// Frames from the start of the range that are the receiver's.
    moved: u64,
    /// It failed, or another came before it was done: the frames go back.
    undone: bool,
}

impl Kernel {
    /// Delegates part of a slot's range to a domain; the slot of the delegation and the token.
    ///
    /// Frames change owner step by step, after the delegation is recorded: calling again with the same arguments goes
    /// on. A frame that is mapped, pinned or claimed cannot change owner: then all go back, and the answer is `Busy`.
    pub(crate) fn grant(
        &mut self,
        domain: u32,
        slot: u32,
        wanted: &Grant,
    ) -> Result<(u32, [u8; 48]), Error> {
        let from = self.resources.binding(domain, slot)?;
        let rights = Rights(wanted.rights);
        if !from.rights.has(Rights::GRANT.with(rights)) || from.delegation {
            return Err(Error::Denied);
        }
        let receiver = self.receiver(domain, from.kind, wanted.domain)?;
        let range = from.range.part(wanted.first, wanted.count).ok_or(Error::BadArgument)?;
        let count = u32::try_from(range.count()).map_err(|_| Error::BadArgument)?;
        if wanted.reserved != 0 {
            return Err(Error::BadArgument);
        }
        let claim = Claim {
            kind: from.kind,
            rights,
            node: 0,
            generation: 0,
            base: range.base(),
            count,
            audience: if wanted.domain == NO_SLOT { BEARER } else { receiver.0 },
        };
        if let Some(known) = self.under_way(domain)? {
            let same = Claim { node: 0, generation: 0, ..known.claim } == claim;
            if known.undone || !same {
                self.undo_grant(domain, known)?;
                if same {
                    return Err(Error::Busy);
                }
            }
        }
        let mut granting = self.granting(domain, &from, claim, receiver)?;
        if is_owned_by_frame(from.kind) {
            let giver = self.resources.domains.get(domain).ok_or(Error::Dead)?.id;
            let result = self.resources.move_frames(&mut granting, giver, receiver);
            if result == Err(Error::Busy) {
                self.undo_grant(domain, granting)?;
                return Err(Error::Busy);
            }
            let giver = self.resources.domains.get_mut(domain).ok_or(Error::Dead)?;
            giver.granting = result.is_err().then_some(granting);
            result?;
        }
        Ok((granting.delegation, self.sealer.seal(&granting.claim)))
    }

    /// To whom a delegation is made: the domain in a slot, or for a bearer token the grantor itself. What has one owner at a time
    /// needs one that is named.
    fn receiver(&self, domain: u32, kind: Kind, slot: u32) -> Result<DomainId, Error> {
        let to = match slot {
            NO_SLOT if kind.is_exclusive() => return Err(Error::BadArgument),
            NO_SLOT => domain,
            slot => self.resources.lookup(domain, slot, Kind::Domain, Rights::CONTROL)?.object,
        };
        Ok(self.resources.domains.get(to).ok_or(Error::Dead)?.id)
    }

    /// The delegation under way, unless it was revoked meanwhile: then its frames go back by the revocation.
    fn under_way(&mut self, domain: u32) -> Result<Option<Granting>, Error> {
        let known = self.resources.domains.get(domain).ok_or(Error::Dead)?.granting;
        let live = known.filter(|known| {
            GrantTree::is_current(&self.resources, NodeId(known.claim.node), known.claim.generation)
        });
        if live.is_none() {
            self.resources.domains.get_mut(domain).ok_or(Error::Dead)?.granting = None;
        }
        Ok(live)
    }

    /// Gives the frames of a delegation that did not come about back, step by step, then forgets it.
    fn undo_grant(&mut self, domain: u32, granting: Granting) -> Result<(), Error> {
        let mut granting = Granting { undone: true, ..granting };
        let giver = self.resources.domains.get(domain).ok_or(Error::Dead)?.id;
        let result = self.resources.move_back(&mut granting, giver);
        self.resources.domains.get_mut(domain).ok_or(Error::Dead)?.granting = Some(granting);
        result?;
        self.resources.clear_slot(domain, granting.delegation)?;
        self.drop_node(NodeId(granting.claim.node));
        self.resources.domains.get_mut(domain).ok_or(Error::Dead)?.granting = None;
        Ok(())
    }

    /// The delegation of this claim: the one under way, or a new one.
    fn granting(
        &mut self,
        domain: u32,
        from: &Binding,
        wanted: Claim,
        receiver: DomainId,
    ) -> Result<Granting, Error> {
        let under_way = self.under_way(domain)?;
        if let Some(known) = under_way.filter(|_| is_owned_by_frame(wanted.kind)) {
            return Ok(known);
        }
        let range = Extent::new(wanted.base, wanted.count.into()).ok_or(Error::BadArgument)?;
        let made = self.grants.delegate(&mut self.resources, from.node, range, receiver);
        let node = made.map_err(|failed| self.resources.grant_error(domain, failed))?;
        let generation = self.resources.node(node).ok_or(Error::Stale)?.generation();
        let binding = Binding { delegation: true, node, generation, range, ..*from };
        let delegation =
            self.resources.enter(domain, binding).inspect_err(|_| self.drop_node(node))?;
        let claim = Claim { node: node.0, generation, ..wanted };
        let granting = Granting { delegation, claim, moved: 0, undone: false };
        if is_owned_by_frame(wanted.kind) {
            self.resources.domains.get_mut(domain).ok_or(Error::Dead)?.granting = Some(granting);
        }
        Ok(granting)
    }

    /// Makes the root node of a new object of `domain`, paid by it.
    pub(crate) fn object_node(
        &mut self,
        domain: u32,
        kind: Kind,
        index: u32,
    ) -> Result<NodeId, Error> {
        let owner = self.resources.domains.get(domain).ok_or(Error::Dead)?.id;
        let range = Extent::new(index.into(), 1).ok_or(Error::BadArgument)?;
        let made = self.grants.root(&mut self.resources, kind, range, owner);
        made.map_err(|failed| self.resources.grant_error(domain, failed))
    }
}

impl Resources {
    /// What a domain is told that pays for a node.
    fn grant_error(&self, payer: u32, error: GrantError) -> Error {
        match error {
            GrantError::Stale => Error::Stale,
            GrantError::Outside => Error::BadArgument,
            GrantError::Overlap => Error::Busy,
            GrantError::NoNode => self.no_node(payer),
            GrantError::TooMany => Error::TableFull,
        }
    }

    /// Gives frames that `move_frames` moved back, the last first, a bounded number at a time. One that the receiver uses
    /// already stays with it.
    fn move_back(&mut self, granting: &mut Granting, giver: DomainId) -> Result<(), Error> {
        let receiver = DomainId(granting.claim.audience);
        let mut left = MAPPINGS_PER_STEP;
        for _ in 0..OWNERS_PER_STEP.min(granting.moved) {
            let unit = granting.claim.base + granting.moved - 1;
            let number = self.place(granting.claim.kind, unit);
            while self.frames.unmap_one(number) {
                if left == 0 {
                    return Err(Error::Again);
                }
                left -= 1;
            }
            tlb::finish();
            if self.frames.pins(number) == 0 {
                // The kernel's for the receiver: refused, and stays.
                let _ = self.ledger.transfer(Frame(number.0), receiver, giver);
            }
            granting.moved -= 1;
        }
        if granting.moved > 0 { Err(Error::Again) } else { Ok(()) }
    }

    /// Changes the owner of the next frames of a delegation, a bounded number at a time.
    fn move_frames(
        &mut self,
        granting: &mut Granting,
        giver: DomainId,
        receiver: DomainId,
    ) -> Result<(), Error> {
        let count = u64::from(granting.claim.count);
        let end = count.min(granting.moved + OWNERS_PER_STEP);
        let mut cleaned = 0;
        while granting.moved < end && cleaned < CLEANED_PER_STEP {
            let number = self.place(granting.claim.kind, granting.claim.base + granting.moved);
            if self.frames.mappings(number) > 0 || self.frames.pins(number) > 0 {
                return Err(Error::Busy);
            }
            cleaned += u32::from(self.frames.clean(number));
            self.ledger.transfer(Frame(number.0), giver, receiver).map_err(|_| Error::Busy)?;
            granting.moved += 1;
        }
        if granting.moved < count { Err(Error::Again) } else { Ok(()) }
    }
}
