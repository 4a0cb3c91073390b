//! The grant tree: the kernel's record of every revocable delegation.
//!
//! Owns the shape of the tree and the generations; the nodes lie in storage that the grantors paid for.
//! A binding or token names a node and the generation it had. Invariants: a node's range is inside its parent's;
//! siblings of an exclusive kind do not overlap; no generation is given twice in one boot, so a node that is
//! reused, even in other storage, never revives an old name.

mod revoke;

pub use revoke::{Affected, Cursor, Progress};

use crate::extent::Extent;
use crate::ids::{DomainId, NodeId};
use serix_abi::token::Kind;

/// Children of one node; bounds the search for an overlap to about 10,000 instructions.
pub const MAX_CHILDREN: u32 = 1024;

/// Whether a node's delegation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not in use.
    Free,
    /// The delegation holds.
    Live,
    /// Revoked: its generation is nobody's, its range is still to be reclaimed.
    Revoked,
}

/// One delegation. 64 bytes, so that a frame holds 64.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Node {
    pub(crate) range: Extent,
    pub(crate) generation: u64,
    /// The generation that it was made with; names the node itself, revoked or not.
    pub(crate) made: u64,
    pub(crate) parent: NodeId,
    pub(crate) first_child: NodeId,
    pub(crate) next: NodeId,
    pub(crate) previous: NodeId,
    pub(crate) children: u32,
    pub(crate) owner: DomainId,
    pub(crate) kind: Kind,
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Node>() == 64);

impl Node {
    /// A node that is not in use; what fresh storage is filled with.
    pub const FREE: Self = Self {
        range: Extent::EMPTY,
        generation: 0,
        made: 0,
        parent: NodeId::NONE,
        first_child: NodeId::NONE,
        next: NodeId::NONE,
        previous: NodeId::NONE,
        children: 0,
        owner: DomainId::NONE,
        kind: Kind::Frames,
        state: State::Free,
    };

    fn live(generation: u64) -> Self {
        Self { generation, made: generation, state: State::Live, ..Self::FREE }
    }

    /// The units delegated.
    #[inline]
    #[must_use]
    pub fn range(&self) -> Extent {
        self.range
    }

    /// The generation that bindings and tokens of this node must have.
    #[inline(always)]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation that it was made with. While a delegation is being revoked, this still tells whether the
    /// node is the one that its maker knows.
    #[inline]
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// The domain that received the delegation.
    #[inline]
    #[must_use]
    pub fn owner(&self) -> DomainId {
        self.owner
    }

    /// What kind of resource.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the delegation holds.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The delegation that this one was made of.
    #[inline]
    #[must_use]
    pub fn parent(&self) -> Option<NodeId> {
        self.parent.some()
    }

    /// Delegations made of this one.
    #[inline]
    #[must_use]
    pub fn first_child(&self) -> Option<NodeId> {
        self.first_child.some()
    }

    /// How many nodes were made of it directly.
    #[inline]
    #[must_use]
    pub fn children(&self) -> u32 {
        self.children
    }
}

/// Where nodes lie. The kernel keeps them in frames of the grantors' accounts.
pub trait NodeStore {
    /// The node with this id; `None` if no storage is behind it.
    fn node(&self, id: NodeId) -> Option<&Node>;
    /// As [`NodeStore::node`], to be changed.
    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node>;
    /// A free node of storage that `payer` paid for; `None` if there is none.
    fn allocate(&mut self, payer: DomainId) -> Option<NodeId>;
    /// Takes back a node that [`NodeStore::allocate`] gave. It is [`Node::FREE`] by then.
    fn release(&mut self, id: NodeId);
}

/// Why a delegation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// The parent is free or revoked.
    Stale,
    /// The range is empty or not inside the parent's.
    Outside,
    /// Some of the range is already delegated.
    Overlap,
    /// The payer has no free node.
    NoNode,
    /// The parent has [`MAX_CHILDREN`].
    TooMany,
}

/// The generations. The nodes are in a [`NodeStore`].
#[derive(Debug, Default)]
pub struct GrantTree {
    last_generation: u64,
}

impl GrantTree {
    /// A tree without nodes.
    #[must_use]
    pub const fn new() -> Self {
        Self { last_generation: 0 }
    }

    /// At one per nanosecond this lasts for 584 years.
    fn fresh_generation(&mut self) -> u64 {
        self.last_generation += 1;
        self.last_generation
    }

    /// Whether `node` still has `generation`, so that what was made under it holds.
    #[inline(always)]
    #[must_use]
    pub fn is_current(store: &impl NodeStore, node: NodeId, generation: u64) -> bool {
        store.node(node).is_some_and(|node| node.generation == generation)
    }

    /// Makes the root of a resource, made of nothing. For boot, and for objects that a domain makes.
    ///
    /// # Errors
    /// `NoNode`.
    pub fn root(
        &mut self,
        store: &mut impl NodeStore,
        kind: Kind,
        range: Extent,
        owner: DomainId,
    ) -> Result<NodeId, GrantError> {
        let id = store.allocate(owner).ok_or(GrantError::NoNode)?;
        let generation = self.fresh_generation();
        let node = store.node_mut(id).ok_or(GrantError::NoNode)?;
        *node = Node { range, owner, kind, ..Node::live(generation) };
        Ok(id)
    }

    /// Records that `owner` received `range`, inside the parent's. The parent's owner pays for the node.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing has changed then.
    pub fn delegate(
        &mut self,
        store: &mut impl NodeStore,
        parent: NodeId,
        range: Extent,
        owner: DomainId,
    ) -> Result<NodeId, GrantError> {
        let from = *live(store, parent).ok_or(GrantError::Stale)?;
        if range.is_empty() || !from.range.contains(range) {
            return Err(GrantError::Outside);
        }
        if from.children >= MAX_CHILDREN {
            return Err(GrantError::TooMany);
        }
        let previous = if from.kind.is_exclusive() {
            sibling_before(store, &from, range)?
        } else {
            NodeId::NONE
        };
        let id = store.allocate(from.owner).ok_or(GrantError::NoNode)?;
        let generation = self.fresh_generation();
        let node = store.node_mut(id).ok_or(GrantError::NoNode)?;
        let kind = from.kind;
        *node = Node { range, owner, kind, parent, ..Node::live(generation) };
        link(store, id, parent, previous);
        Ok(id)
    }
}

fn live(store: &impl NodeStore, id: NodeId) -> Option<&Node> {
    store.node(id).filter(|node| node.state == State::Live)
}

/// The child after which `range` belongs (children of exclusive kinds are in the order of their ranges).
fn sibling_before(
    store: &impl NodeStore,
    parent: &Node,
    range: Extent,
) -> Result<NodeId, GrantError> {
    let mut before = NodeId::NONE;
    let mut at = parent.first_child;
    while let Some(child) = store.node(at) {
        if child.range.overlaps(range) {
            return Err(GrantError::Overlap);
        }
        if child.range.base() > range.base() {
            break;
        }
        (before, at) = (at, child.next);
    }
    Ok(before)
}

/// Enters a node among its parent's children, after `previous` or first.
fn link(store: &mut impl NodeStore, id: NodeId, parent: NodeId, previous: NodeId) {
    let next = match store.node_mut(previous) {
        Some(previous) => core::mem::replace(&mut previous.next, id),
        None => store
            .node_mut(parent)
            .map_or(NodeId::NONE, |parent| core::mem::replace(&mut parent.first_child, id)),
    };
    if let Some(next) = store.node_mut(next) {
        next.previous = id;
    }
    if let Some(node) = store.node_mut(id) {
        (node.next, node.previous) = (next, previous);
    }
    if let Some(parent) = store.node_mut(parent) {
        parent.children += 1;
    }
}

/// Takes a node without children out of the tree and gives its storage back.
fn remove(store: &mut impl NodeStore, id: NodeId) {
    let Some(node) = store.node_mut(id) else { return };
    let gone = core::mem::replace(node, Node::FREE);
    match store.node_mut(gone.previous) {
        Some(previous) => previous.next = gone.next,
        None => {
            if let Some(parent) = store.node_mut(gone.parent) {
                parent.first_child = gone.next;
            }
        }
    }
    if let Some(next) = store.node_mut(gone.next) {
        next.previous = gone.previous;
    }
    if let Some(parent) = store.node_mut(gone.parent) {
        parent.children -= 1;
    }
    store.release(id);
}
