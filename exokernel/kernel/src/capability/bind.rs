//! Binding tables: what a token opened, so that later uses name a slot.
use crate::domain::{Domain, Resources};
use crate::kernel::Kernel;
use core::cell::Cell;
use serix_abi::Error;
use serix_abi::token::{Kind, Rights};
use serix_core::binding::{Binding, BindingTable, LookupError, Slot, SlotStore};
use serix_core::extent::Extent;
use serix_core::grant::{GrantTree, NodeStore, State};
use serix_core::{DomainId, NodeId};
use serix_hal::cpu::time;
use serix_hal::memory::object::FrameBox;

/// Slots in a frame.
const CHUNK: usize = 64;
/// Frames of a domain's table.
const SLOT_CHUNKS: usize = 16;

/// What a look-up finds: a binding without what was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) rights: Rights,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    pub(crate) range: Extent,
    pub(crate) object: u32,
}

impl From<Binding> for Found {
    #[inline(always)]
    fn from(binding: Binding) -> Self {
        let Binding { rights, node, generation, range, object, .. } = binding;
        Self { rights, node, generation, range, object }
    }
}

/// Slots whose last look-up is kept.
const RECENT: usize = 8;

/// A look-up that succeeded, by the slot modulo [`RECENT`]. It holds while no grant node and not the slot has changed since.
#[derive(Clone, Copy)]
struct Recent {
    slot: u32,
    /// [`Resources::changes`] then; zero: none.
    changes: u64,
    binding: Binding,
}

impl Recent {
    const NONE: Self = Self { slot: 0, changes: 0, binding: Binding::NOTHING };
}

/// A domain's slots, in frames that it paid for.
pub(crate) struct Slots {
    chunks: [Option<FrameBox<[Slot; CHUNK]>>; SLOT_CHUNKS],
    recent: [Cell<Recent>; RECENT],
}

impl Slots {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { None }; SLOT_CHUNKS],
            recent: [const { Cell::new(Recent::NONE) }; RECENT],
        }
    }

    #[inline(always)]
    fn recent(&self, slot: u32) -> &Cell<Recent> {
        &self.recent[slot as usize % RECENT]
    }

    #[inline(always)]
    fn is_known(&self, slot: u32, changes: u64) -> bool {
        let known = self.recent(slot).get();
        known.slot == slot && known.changes == changes
    }
}

impl SlotStore for Slots {
    #[inline(always)]
    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.chunks.get(slot as usize / CHUNK)?.as_ref()?.get(slot as usize % CHUNK)
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.recent(slot).set(Recent::NONE);
        self.chunks.get_mut(slot as usize / CHUNK)?.as_mut()?.get_mut(slot as usize % CHUNK)
    }
}

/// What a caller is told of a slot that it cannot use.
fn lookup_error(error: LookupError) -> Error {
    match error {
        LookupError::BadSlot => Error::BadSlot,
        LookupError::Denied => Error::Denied,
        LookupError::Stale => Error::Stale,
    }
}

impl Resources {
    /// What is in a slot, whether its grant holds or not.
    pub(crate) fn slot(&self, domain: u32, slot: u32) -> Result<Binding, Error> {
        let domain = self.domains.get(domain).ok_or(Error::Dead)?;
        domain.table.get(&domain.slots, slot).copied().ok_or(Error::BadSlot)
    }

    /// The binding in a slot, if its grant still holds.
    #[inline(always)]
    pub(crate) fn binding(&self, domain: u32, slot: u32) -> Result<Binding, Error> {
        self.binding_of(self.domains.get(domain).ok_or(Error::Dead)?, slot)
    }

    /// As [`Self::binding`], of one kind and with some rights.
    #[inline(always)]
    pub(crate) fn lookup(
        &self,
        domain: u32,
        slot: u32,
        kind: Kind,
        rights: Rights,
    ) -> Result<Found, Error> {
        self.lookup_of(self.domains.get(domain).ok_or(Error::Dead)?, slot, kind, rights)
    }

    /// As [`Self::binding`]. What a slot held is kept until it or any grant node changes, so most look-ups are two compares. The
    /// index is safe from speculation because it is taken modulo a constant.
    #[inline(always)]
    pub(crate) fn binding_of(&self, domain: &Domain, slot: u32) -> Result<Binding, Error> {
        if !domain.slots.is_known(slot, self.changes) {
            self.look_up(domain, slot, None)?;
        }
        Ok(domain.slots.recent(slot).get().binding)
    }

    /// As [`Self::lookup`].
    #[inline(always)]
    pub(crate) fn lookup_of(
        &self,
        domain: &Domain,
        slot: u32,
        kind: Kind,
        rights: Rights,
    ) -> Result<Found, Error> {
        if !domain.slots.is_known(slot, self.changes) {
            self.look_up(domain, slot, Some((kind, rights)))?;
        }
        let binding = domain.slots.recent(slot).get().binding;
        if binding.kind != kind {
            Err(Error::BadSlot)
        } else if !binding.rights.has(rights) {
            Err(Error::Denied)
        } else {
            Ok(binding.into())
        }
    }

    /// Looks a slot up in the table itself, and keeps what it holds.
    #[inline(never)]
    fn look_up(
        &self,
        domain: &Domain,
        slot: u32,
        wanted: Option<(Kind, Rights)>,
    ) -> Result<(), Error> {
        let (table, slots) = (&domain.table, &domain.slots);
        let binding = match wanted {
            Some((kind, rights)) => {
                *table.lookup(slots, self, slot, kind, rights).map_err(lookup_error)?
            }
            None => *table.get(slots, slot).ok_or(Error::BadSlot)?,
        };
        if !GrantTree::is_current(self, binding.node, binding.generation) {
            return Err(Error::Stale);
        }
        slots.recent(slot).set(Recent { slot, changes: self.changes, binding });
        Ok(())
    }

    /// Enters a binding in a free slot; the table grows by a frame when it is full.
    pub(crate) fn enter(&mut self, domain: u32, binding: Binding) -> Result<u32, Error> {
        if self.domains.get(domain).ok_or(Error::Dead)?.table.is_full() {
            self.grow_table(domain)?;
        }
        let Domain { table, slots, .. } = self.domains.get_mut(domain).ok_or(Error::Dead)?;
        table.insert(slots, binding).ok_or(Error::TableFull)
    }

    fn grow_table(&mut self, domain: u32) -> Result<(), Error> {
        let chunks = &self.domains.get(domain).ok_or(Error::Dead)?.slots.chunks;
        let place = chunks.iter().position(Option::is_none).ok_or(Error::TableFull)?;
        let frame = self.take_object(domain)?;
        let owner = self.domains.get_mut(domain).ok_or(Error::Dead)?;
        owner.slots.chunks[place] = Some(FrameBox::new(frame, [Slot::EMPTY; CHUNK]));
        owner.table.grow(CHUNK as u32);
        Ok(())
    }

    /// Empties a slot, whatever it holds.
    pub(crate) fn clear_slot(&mut self, domain: u32, slot: u32) -> Result<Binding, Error> {
        let Domain { table, slots, .. } = self.domains.get_mut(domain).ok_or(Error::Dead)?;
        table.remove(slots, slot).ok_or(Error::BadSlot)
    }

    /// Gives the frames of a domain's whole table back to its account.
    pub(crate) fn free_slots(&mut self, domain: u32) {
        let Some(owner) = self.domains.get_mut(domain) else { return };
        owner.table = BindingTable::new();
        let slots = core::mem::replace(&mut owner.slots, Slots::new());
        for chunk in slots.chunks.into_iter().flatten() {
            self.put_object(domain, chunk.into_frame());
        }
    }

    /// A binding of a whole live node, for its owner.
    pub(crate) fn bind_node(
        &mut self,
        domain: u32,
        node: NodeId,
        rights: Rights,
        object: u32,
    ) -> Result<u32, Error> {
        let from = self.node(node).ok_or(Error::Stale)?;
        let binding = Binding {
            kind: from.kind(),
            delegation: false,
            rights,
            node,
            generation: from.generation(),
            range: from.range(),
            object,
        };
        self.enter(domain, binding)
    }
}

impl Kernel {
    /// Checks a token and enters it in the table of `domain`.
    pub(crate) fn bind(&mut self, domain: u32, token: &[u8]) -> Result<u32, Error> {
        let id: DomainId = self.resources.domains.get(domain).ok_or(Error::Dead)?.id;
        let claim = self.sealer.verify(token, id, time::now_ns()).map_err(|_| {
            self.info.count_bad_token();
            Error::BadToken
        })?;
        let node_id = NodeId(claim.node);
        let node = self.resources.node(node_id).ok_or(Error::Stale)?;
        let range = Extent::new(claim.base, claim.count.into()).ok_or(Error::BadToken)?;
        // An object is named by its one unit: a part of it is nothing, and an empty part of anything is nobody's.
        let whole = claim.kind.is_range() || range == node.range();
        let holds = whole
            && !range.is_empty()
            && node.generation() == claim.generation
            && node.state() == State::Live
            && node.kind() == claim.kind
            && node.range().contains(range);
        if !holds {
            return Err(Error::Stale);
        }
        let object = object_of(claim.kind, range);
        let binding = Binding {
            kind: claim.kind,
            delegation: false,
            rights: claim.rights,
            node: node_id,
            generation: claim.generation,
            range,
            object,
        };
        self.resources.enter(domain, binding)
    }
}

/// What `Binding::object` is for a range: objects are named by their first unit; blocks and slices carry the
/// device in the upper part of their units.
fn object_of(kind: Kind, range: Extent) -> u32 {
    match kind {
        Kind::Blocks | Kind::Slices => (range.base() >> DEVICE_SHIFT) as u32,
        _ => range.base() as u32,
    }
}

/// Blocks and slices are numbered device << 40 | sector, core << 40 | slice, so that ranges of two devices never overlap.
pub(crate) const DEVICE_SHIFT: u32 = 40;
