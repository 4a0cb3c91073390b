//! Binding tables: what a domain may use, checked once.
//!
//! Owns the discipline of the slots; they lie in frames that the domain paid for, 64 to a frame. The hot path is
//! [`BindingTable::lookup`]: one bounds check, one masked load, a compare of kind and of rights, and the compare of
//! the generation. Invariant: a slot is either empty and in the free list or past `fresh`, or holds one binding.

use crate::extent::Extent;
use crate::grant::{GrantTree, NodeStore};
use crate::ids::NodeId;
use crate::nospec::mask_index;
use serix_abi::NO_SLOT;
use serix_abi::token::{Kind, Rights};

/// A checked capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What it is for.
    pub kind: Kind,
    /// Made by a grant: it names what was delegated away, for taking it back.
    pub delegation: bool,
    /// What may be done.
    pub rights: Rights,
    /// The grant node it stands on.
    pub node: NodeId,
    /// Generation that the grant node had.
    pub generation: u64,
    /// The units.
    pub range: Extent,
    /// The kernel's: index of an object, or the device of a range.
    pub object: u32,
}

impl Binding {
    /// No units of anything, and no right.
    pub const NOTHING: Self = Self {
        kind: Kind::Frames,
        delegation: false,
        rights: Rights::NONE,
        node: NodeId::NONE,
        generation: 0,
        range: Extent::EMPTY,
        object: 0,
    };
}

/// A slot: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Slot(Content);

#[derive(Clone, Copy, Debug)]
enum Content {
    Free { next: u32 },
    Bound(Binding),
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    /// What fresh storage is filled with.
    pub const EMPTY: Self = Self(Content::Free { next: NO_SLOT });

    /// What the slot holds.
    #[inline(always)]
    #[must_use]
    pub fn binding(&self) -> Option<&Binding> {
        match &self.0 {
            Content::Bound(binding) => Some(binding),
            Content::Free { .. } => None,
        }
    }
}

/// Where the slots lie.
pub trait SlotStore {
    /// The slot with this number; `None` if no storage is behind it.
    fn slot(&self, slot: u32) -> Option<&Slot>;
    /// As [`SlotStore::slot`], to be changed.
    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot>;
}

/// Why a slot cannot be used for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// Past the end, empty, or of another kind.
    BadSlot,
    /// A right is missing.
    Denied,
    /// The grant that it stands on was revoked.
    Stale,
}

/// The table of one domain. The slots are in a [`SlotStore`].
#[derive(Debug)]
pub struct BindingTable {
    capacity: u32,
    /// Slots from here on were never used.
    fresh: u32,
    free: u32,
    used: u32,
}

impl BindingTable {
    /// A table without slots.
    #[must_use]
    pub const fn new() -> Self {
        Self { capacity: 0, fresh: 0, free: NO_SLOT, used: 0 }
    }

    /// `slots` more, whose storage holds [`Slot::EMPTY`].
    pub fn grow(&mut self, slots: u32) {
        self.capacity = self.capacity.saturating_add(slots);
    }

    /// How many slots there are.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many are not empty.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Whether the next [`BindingTable::insert`] needs [`BindingTable::grow`] first.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used == self.capacity
    }

    /// What a slot holds, whatever it is; speculation-safe.
    #[inline(always)]
    #[must_use]
    pub fn get<'a>(&self, store: &'a impl SlotStore, slot: u32) -> Option<&'a Binding> {
        if slot >= self.capacity {
            return None;
        }
        // Below `capacity`, hence a u32.
        let masked = mask_index(slot as usize, self.capacity as usize) as u32;
        store.slot(masked)?.binding()
    }

    /// The binding in a slot, if it is of `kind`, carries all of `rights`, and its grant still holds.
    ///
    /// # Errors
    /// See [`LookupError`], in this order.
    #[inline(always)]
    pub fn lookup<'a>(
        &self,
        store: &'a impl SlotStore,
        nodes: &impl NodeStore,
        slot: u32,
        kind: Kind,
        rights: Rights,
    ) -> Result<&'a Binding, LookupError> {
        let binding = self.get(store, slot).ok_or(LookupError::BadSlot)?;
        if binding.kind != kind {
            return Err(LookupError::BadSlot);
        }
        if !binding.rights.has(rights) {
            return Err(LookupError::Denied);
        }
        if !GrantTree::is_current(nodes, binding.node, binding.generation) {
            return Err(LookupError::Stale);
        }
        Ok(binding)
    }

    /// Enters a binding in a free slot. `None` if the table is full.
    pub fn insert(&mut self, store: &mut impl SlotStore, binding: Binding) -> Option<u32> {
        let slot = if self.free == NO_SLOT { self.fresh } else { self.free };
        if slot >= self.capacity {
            return None;
        }
        let place = store.slot_mut(slot)?;
        match place.0 {
            Content::Bound(_) => return None,
            Content::Free { next } if self.free != NO_SLOT => self.free = next,
            Content::Free { .. } => self.fresh += 1,
        }
        place.0 = Content::Bound(binding);
        self.used += 1;
        Some(slot)
    }

    /// Empties a slot and says what it held.
    pub fn remove(&mut self, store: &mut impl SlotStore, slot: u32) -> Option<Binding> {
        let held = *self.get(store, slot)?;
        store.slot_mut(slot)?.0 = Content::Free { next: self.free };
        self.free = slot;
        self.used -= 1;
        Some(held)
    }
}

impl Default for BindingTable {
    fn default() -> Self {
        Self::new()
    }
}
