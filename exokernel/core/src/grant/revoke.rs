//! Taking a delegation back, in bounded steps.
//!
//! First every node of the subtree gets a generation that nobody holds, parents before children; a revoked node
//! takes no new children, so none is missed. Then, children before parents, each node's range is handed
//! to the caller to be reclaimed and the node ends. Between steps anything may happen to the tree: nodes that another
//! revocation ended are noticed by their generation, and the walk starts over from the top. It never leaves the
//! subtree of the top, so no ancestor is reached.

use super::{GrantTree, Node, NodeStore, State, remove};
use crate::extent::Extent;
use crate::ids::{DomainId, NodeId};
use serix_abi::token::Kind;

/// How far a revocation has come. It is the kernel's to keep with the object that is being revoked.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    top: Place,
    at: Place,
    phase: Phase,
    /// Units of the current [`Affected`] that the caller has reclaimed; zero for each new one. The
    /// caller's to advance.
    pub reclaimed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Marking: to enter the node.
    Down,
    /// Marking: done with all below the node.
    Up,
    /// Looking for a node without children.
    Sink,
    /// The node is with the caller.
    Reclaim,
}

/// A node as it was when the cursor came to it.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: NodeId,
    generation: u64,
}

/// What a revoked node held, to be taken from its owner before anybody else gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The node.
    pub node: NodeId,
    /// What kind of resource.
    pub kind: Kind,
    /// Whom to take it from.
    pub owner: DomainId,
    /// To whom the range falls back: the owner of the parent, or nobody.
    pub heir: DomainId,
    /// The units.
    pub range: Extent,
}

/// What a step achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The budget is used up; call again.
    Again,
    /// Reclaim this (page-table entries, TLBs, transfers), then call [`GrantTree::finish_node`]. Until then
    /// every step answers the same, unless another revocation has ended the node: so ask again before
    /// each part of the work.
    Reclaim(Affected),
    /// The node and all that was made of it are gone.
    Done,
}

fn place(store: &impl NodeStore, id: NodeId) -> Place {
    Place { id, generation: store.node(id).map_or(0, |node| node.generation) }
}

fn node_at(store: &impl NodeStore, place: Place) -> Option<Node> {
    store
        .node(place.id)
        .filter(|node| node.state != State::Free && node.generation == place.generation)
        .copied()
}

impl GrantTree {
    /// Begins to revoke `node`: from now on nothing new can be bound under it or made of it.
    /// `None` if it is not in use. A node that is already being revoked may be joined.
    pub fn revoke(&mut self, store: &mut impl NodeStore, node: NodeId) -> Option<Cursor> {
        store.node(node).filter(|node| node.state != State::Free)?;
        self.mark(store, node);
        let top = place(store, node);
        Some(Cursor { top, at: top, phase: Phase::Down, reclaimed: 0 })
    }

    /// As [`GrantTree::revoke`], for the maker of a delegation, who knows the generation that it was `made` with. Also
    /// takes up a revocation whose cursor was lost. `None` if all of it is gone.
    pub fn revoke_made(
        &mut self,
        store: &mut impl NodeStore,
        node: NodeId,
        made: u64,
    ) -> Option<Cursor> {
        store.node(node).filter(|node| node.made == made)?;
        self.revoke(store, node)
    }

    fn mark(&mut self, store: &mut impl NodeStore, id: NodeId) {
        if let Some(node) = store.node_mut(id)
            && node.state == State::Live
        {
            node.state = State::Revoked;
            node.generation = self.fresh_generation();
        }
    }

    /// Goes on for at most `budget` moves, each of a few dozen instructions.
    pub fn revoke_step(
        &mut self,
        store: &mut impl NodeStore,
        cursor: &mut Cursor,
        budget: u32,
    ) -> Progress {
        for _ in 0..=budget {
            let Some(top) = node_at(store, cursor.top) else { return Progress::Done };
            let Some(node) = node_at(store, cursor.at) else {
                cursor.start_over();
                continue;
            };
            if cursor.phase == Phase::Reclaim {
                return Progress::Reclaim(affected(store, cursor.at.id, &node));
            }
            debug_assert!(top.state == State::Revoked);
            self.advance(store, cursor, &node);
        }
        Progress::Again
    }

    /// One move.
    fn advance(&mut self, store: &mut impl NodeStore, cursor: &mut Cursor, node: &Node) {
        match cursor.phase {
            Phase::Down => {
                self.mark(store, cursor.at.id);
                match node.first_child.some() {
                    Some(child) => cursor.at = place(store, child),
                    // Marking changed the generation by which the place is known.
                    None => cursor.go(place(store, cursor.at.id), Phase::Up),
                }
            }
            Phase::Up if cursor.at.id == cursor.top.id => cursor.go(cursor.top, Phase::Sink),
            Phase::Up => match node.next.some() {
                Some(sibling) => cursor.go(place(store, sibling), Phase::Down),
                None => cursor.at = place(store, node.parent),
            },
            Phase::Sink => match node.first_child.some() {
                Some(child) => cursor.at = place(store, child),
                None => cursor.go(cursor.at, Phase::Reclaim),
            },
            Phase::Reclaim => {}
        }
    }

    /// Ends the node that the last step handed out: its range is reclaimed.
    pub fn finish_node(&mut self, store: &mut impl NodeStore, cursor: &mut Cursor) {
        let Some(node) = node_at(store, cursor.at) else { return cursor.start_over() };
        if cursor.phase != Phase::Reclaim {
            return;
        }
        let (id, parent) = (cursor.at.id, node.parent);
        let next = if id == cursor.top.id { cursor.top } else { place(store, parent) };
        remove(store, id);
        cursor.go(next, Phase::Sink);
    }
}

impl Cursor {
    fn go(&mut self, at: Place, phase: Phase) {
        (self.at, self.phase, self.reclaimed) = (at, phase, 0);
    }

    fn start_over(&mut self) {
        self.go(self.top, Phase::Down);
    }
}

fn affected(store: &impl NodeStore, id: NodeId, node: &Node) -> Affected {
    Affected {
        node: id,
        kind: node.kind,
        owner: node.owner,
        heir: store.node(node.parent).map_or(DomainId::NONE, |parent| parent.owner),
        range: node.range,
    }
}
