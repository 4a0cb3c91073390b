//! Binding tables: what a token opened, so that later uses name a slot.
use crate::domain::Resources;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::token::{Kind, Rights};
use serix_core::grant::{GrantTree, NodeStore, State};
use serix_core::extent::Extent;
use serix_core::nospec::mask_index;
use serix_core::{DomainId, NodeId};
use serix_hal::cpu::time;

/// Slots in a chunk.
const CHUNK: usize = 64;
/// Chunks of a domain's table.
pub(crate) const SLOT_CHUNKS: usize = 16;

/// What a slot holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) kind: Kind,
    /// Made by `Grant`: it names what was delegated away, for taking it back.
    pub(crate) delegation: bool,
    pub(crate) rights: Rights,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    pub(crate) range: Extent,
    /// Device of blocks and consoles, core of slices, index of an object.
    pub(crate) object: u32,
}

/// A frame of slots.
pub(crate) struct BindingChunk {
    slots: [Option<Binding>; CHUNK],
}

const _: () = assert!(size_of::<BindingChunk>() <= 4096);

impl Resources {
    /// The binding in a slot, if its grant still holds. One masked load, one compare of generations.
    #[inline]
    pub(crate) fn binding(&self, domain: u32, slot: u32) -> Result<&Binding, Error> {
        let domain = self.domains.get(domain).ok_or(Error::Dead)?;
        let place = slot as usize;
        if place >= CHUNK * SLOT_CHUNKS {
            return Err(Error::BadSlot);
        }
        let chunk = domain.slots[mask_index(place / CHUNK, SLOT_CHUNKS)].as_ref();
        let binding =
            chunk.and_then(|chunk| chunk.slots[place % CHUNK].as_ref()).ok_or(Error::BadSlot)?;
        if !GrantTree::is_current(self, binding.node, binding.generation) {
            return Err(Error::Stale);
        }
        Ok(binding)
    }

    /// What is in a slot, whether its grant holds or not.
    pub(crate) fn slot(&self, domain: u32, slot: u32) -> Result<Binding, Error> {
        let domain = self.domains.get(domain).ok_or(Error::Dead)?;
        let place = slot as usize;
        if place >= CHUNK * SLOT_CHUNKS {
            return Err(Error::BadSlot);
        }
        let chunk = domain.slots[mask_index(place / CHUNK, SLOT_CHUNKS)].as_ref();
        chunk.and_then(|chunk| chunk.slots[place % CHUNK]).ok_or(Error::BadSlot)
    }

    /// As [`Self::binding`], of one kind and with some rights.
    #[inline]
    pub(crate) fn lookup(
        &self,
        domain: u32,
        slot: u32,
        kind: Kind,
        rights: Rights,
    ) -> Result<&Binding, Error> {
        let binding = self.binding(domain, slot)?;
        if binding.kind != kind {
            return Err(Error::BadSlot);
        }
        if !binding.rights.has(rights) {
            return Err(Error::Denied);
        }
        Ok(binding)
    }

    /// Enters a binding in the first free slot.
    pub(crate) fn enter(&mut self, domain: u32, binding: Binding) -> Result<u32, Error> {
        for chunk in 0..SLOT_CHUNKS {
            if self.domains.get(domain).ok_or(Error::Dead)?.slots[chunk].is_none() {
                let frame = self.take_object(domain).ok_or(Error::NoFrames)?;
                let fresh = BindingChunk { slots: [const { None }; CHUNK] };
                let fresh = serix_hal::memory::object::FrameBox::new(frame, fresh);
                self.domains.get_mut(domain).ok_or(Error::Dead)?.slots[chunk] = Some(fresh);
            }
            let owner = self.domains.get_mut(domain).ok_or(Error::Dead)?;
            let slots = &mut owner.slots[chunk].as_mut().ok_or(Error::Dead)?.slots;
            if let Some(place) = slots.iter().position(Option::is_none) {
                slots[place] = Some(binding);
                return Ok((chunk * CHUNK + place) as u32);
            }
        }
        Err(Error::TableFull)
    }

    /// Empties a slot, whatever it holds.
    pub(crate) fn clear_slot(&mut self, domain: u32, slot: u32) -> Result<Binding, Error> {
        let place = slot as usize;
        if place >= CHUNK * SLOT_CHUNKS {
            return Err(Error::BadSlot);
        }
        let owner = self.domains.get_mut(domain).ok_or(Error::Dead)?;
        let chunk = owner.slots[mask_index(place / CHUNK, SLOT_CHUNKS)].as_mut();
        chunk.and_then(|chunk| chunk.slots[place % CHUNK].take()).ok_or(Error::BadSlot)
    }

    /// Gives the frames of a domain's whole table back to its account.
    pub(crate) fn free_slots(&mut self, domain: u32) {
        for chunk in 0..SLOT_CHUNKS {
            let taken = self.domains.get_mut(domain).and_then(|owner| owner.slots[chunk].take());
            if let Some(taken) = taken {
                self.put_object(domain, taken.into_frame());
            }
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
        let holds = node.generation() == claim.generation
            && node.state() == State::Live
            && node.kind() == claim.kind
            && node.range().contains(range);
        if !holds {
            return Err(Error::Stale);
        }
        let object = self.object_of(claim.kind, node_id, range);
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

    /// What `Binding::object` is for a range: objects are named by their first unit; blocks, slices and consoles carry the
    /// device in the upper half of their units.
    fn object_of(&self, kind: Kind, _: NodeId, range: Extent) -> u32 {
        match kind {
            Kind::Blocks | Kind::Slices => (range.base() >> DEVICE_SHIFT) as u32,
            _ => range.base() as u32,
        }
    }
}

/// Blocks and slices are numbered device << 40 | sector, core << 40 | slice, so that ranges of two devices never overlap.
pub(crate) const DEVICE_SHIFT: u32 = 40;
