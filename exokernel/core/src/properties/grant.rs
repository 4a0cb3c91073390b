//! Revoking never reaches an ancestor; what it reaches is gone; delegations of one parent do not overlap.

use crate::extent::Extent;
use crate::grant::{Affected, Cursor, GrantTree, Node, NodeStore, Progress, State};
use crate::ids::{DomainId, NodeId};
use serix_abi::token::Kind;

/// Nodes in an array.
pub(crate) struct ArrayStore<const N: usize> {
    pub(crate) nodes: [Node; N],
}

impl<const N: usize> NodeStore for ArrayStore<N> {
    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }
    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.0 as usize)
    }
    fn allocate(&mut self, _payer: DomainId) -> Option<NodeId> {
        let free = self.nodes.iter().position(|node| node.state == State::Free)?;
        Some(NodeId(free as u32))
    }
    fn release(&mut self, id: NodeId) {
        assert_eq!(self.nodes[id.0 as usize].state, State::Free);
    }
}

/// A tree and its nodes.
pub(crate) struct Grove<const N: usize> {
    pub(crate) tree: GrantTree,
    pub(crate) store: ArrayStore<N>,
}

/// One change, with numbers taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delegation {
    /// Of which node.
    pub(crate) parent: u32,
    /// First unit within the parent.
    pub(crate) first: u64,
    /// Units.
    pub(crate) count: u64,
}

impl<const N: usize> Grove<N> {
    pub(crate) fn new(kind: Kind, count: u64) -> Self {
        let mut grove =
            Self { tree: GrantTree::new(), store: ArrayStore { nodes: [Node::FREE; N] } };
        let range = Extent::new(0, count).expect("starts at zero");
        grove.tree.root(&mut grove.store, kind, range, DomainId(1)).expect("the store is empty");
        grove
    }

    /// Delegates, if it can be done; the owner is of the number of the delegation.
    pub(crate) fn delegate(&mut self, step: Delegation, owner: u32) -> Option<NodeId> {
        let parent = NodeId(step.parent % N as u32);
        let from = self.store.nodes[parent.0 as usize];
        let range = from.range.part(
            step.first.checked_rem(from.range.count())?,
            step.count.checked_rem(from.range.count())? + 1,
        )?;
        let made = self.tree.delegate(&mut self.store, parent, range, DomainId(owner)).ok();
        assert!(made.is_none() || from.state == State::Live, "made of what is not held");
        made
    }

    fn is_below(&self, mut node: NodeId, top: NodeId) -> bool {
        for _ in 0..N {
            if node == top {
                return true;
            }
            node = self.store.nodes.get(node.0 as usize).map_or(NodeId::NONE, |node| node.parent);
        }
        false
    }

    /// Parents and children name each other; ranges nest; exclusive siblings do not overlap.
    pub(crate) fn check(&self) {
        for (index, node) in self.store.nodes.iter().enumerate() {
            if node.state == State::Free {
                continue;
            }
            let mut at = node.first_child;
            let mut previous = NodeId::NONE;
            for _ in 0..node.children {
                let child = self.store.node(at).expect("counted children exist");
                assert_eq!(child.parent, NodeId(index as u32));
                assert_eq!(child.previous, previous);
                assert!(node.range.contains(child.range));
                if let Some(before) = self.store.node(previous) {
                    assert!(!node.kind.is_exclusive() || before.range.end() <= child.range.base());
                }
                (previous, at) = (at, child.next);
            }
            assert_eq!(at, NodeId::NONE);
        }
    }

    /// Runs a revocation to its end, telling each node that it hands out.
    fn run(
        &mut self,
        mut cursor: Cursor,
        budget: u32,
        mut each: impl FnMut(&ArrayStore<N>, Affected),
    ) {
        // Each node is entered, left and sunk to at most, and each end may start a new descent.
        for _ in 0..(4 * N * N + 4) {
            match self.tree.revoke_step(&mut self.store, &mut cursor, budget) {
                Progress::Done => return,
                Progress::Again => {}
                Progress::Reclaim(affected) => {
                    each(&self.store, affected);
                    self.tree.finish_node(&mut self.store, &mut cursor);
                }
            }
        }
        panic!("the revocation does not end");
    }
}

fn names<const N: usize>(grove: &Grove<N>) -> [(NodeId, u64); N] {
    core::array::from_fn(|i| (NodeId(i as u32), grove.store.nodes[i].generation))
}

/// Revoking a node of a random tree ends exactly the node and what is below it.
pub(crate) fn revoke_ends_exactly_the_subtree<const N: usize>(
    kind: Kind,
    delegations: &[Delegation],
    top: u32,
    budget: u32,
) {
    let mut grove = Grove::<N>::new(kind, 1 << 20);
    for (number, step) in delegations.iter().enumerate() {
        grove.delegate(*step, number as u32 + 2);
    }
    grove.check();
    let top = NodeId(top % N as u32);
    let before = names(&grove);
    let below: [bool; N] = core::array::from_fn(|i| grove.is_below(NodeId(i as u32), top));
    let live: [bool; N] = core::array::from_fn(|i| grove.store.nodes[i].state == State::Live);
    let Some(cursor) = grove.tree.revoke(&mut grove.store, top) else {
        assert!(!live[top.0 as usize]);
        return;
    };
    let mut handed_out = [false; N];
    grove.run(cursor, budget, |store, affected| {
        // Nothing of the subtree can be used any more when the first of it is reclaimed.
        for (i, (id, generation)) in before.iter().enumerate() {
            let usable = live[i] && below[i] && GrantTree::is_current(store, *id, *generation);
            assert!(!usable);
        }
        assert!(!handed_out[affected.node.0 as usize], "handed out twice");
        handed_out[affected.node.0 as usize] = true;
    });
    for (i, (id, generation)) in before.into_iter().enumerate() {
        let kept = live[i] && !below[i];
        assert_eq!(kept, live[i] && GrantTree::is_current(&grove.store, id, generation));
        assert_eq!(handed_out[i], live[i] && below[i]);
    }
    grove.check();
}

/// With two revocations and delegations interleaved, in any order, both end, and nothing of either is left.
pub(crate) fn interleaved_revocations_end<const N: usize>(
    delegations: &[Delegation],
    tops: [u32; 2],
    turns: &[u8],
) {
    let mut grove = Grove::<N>::new(Kind::Frames, 1 << 20);
    let (built, late) = delegations.split_at(delegations.len() / 2);
    for (number, step) in built.iter().enumerate() {
        grove.delegate(*step, number as u32 + 2);
    }
    let tops = tops.map(|top| NodeId(top % N as u32));
    let names = tops.map(|top| (top, grove.store.nodes[top.0 as usize].generation));
    let mut cursors = tops.map(|top| grove.tree.revoke(&mut grove.store, top));
    let mut late = late.iter();
    for turn in turns {
        if *turn % 3 == 2 {
            late.next().map(|step| grove.delegate(*step, 99));
        } else if let Some(cursor) = &mut cursors[usize::from(turn % 3)] {
            let store = &mut grove.store;
            if let Progress::Reclaim(_) = grove.tree.revoke_step(store, cursor, 1) {
                grove.tree.finish_node(store, cursor);
            }
        }
        grove.check();
    }
    for cursor in cursors.into_iter().flatten() {
        grove.run(cursor, 3, |_, _| {});
    }
    for (id, generation) in names {
        assert!(generation == 0 || !GrantTree::is_current(&grove.store, id, generation));
    }
    assert!(grove.store.nodes.iter().all(|node| node.state != State::Revoked));
    grove.check();
}

#[cfg(test)]
mod cases {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const NODES: usize = 24;

    fn any_delegations() -> impl Strategy<Value = Vec<Delegation>> {
        let step = (0..NODES as u32, any::<u64>(), 0..1_u64 << 18)
            .prop_map(|(parent, first, count)| Delegation { parent, first, count });
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(crate::properties::config())]

        #[test]
        fn subtree(
            kind in 0..Kind::ALL.len(),
            delegations in any_delegations(),
            top in any::<u32>(),
            budget in 0..9_u32,
        ) {
            revoke_ends_exactly_the_subtree::<NODES>(Kind::ALL[kind], &delegations, top, budget);
        }

        #[test]
        fn interleaved(
            delegations in any_delegations(),
            tops in any::<[u32; 2]>(),
            turns in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            interleaved_revocations_end::<NODES>(&delegations, tops, &turns);
        }
    }
}

/// What is refused, and that it changes nothing.
#[cfg(test)]
mod refusals {
    use super::*;
    use crate::grant::{GrantError, MAX_CHILDREN};

    const ROOT: NodeId = NodeId(0);
    const CHILD: DomainId = DomainId(2);

    fn delegate<const N: usize>(
        grove: &mut Grove<N>,
        parent: NodeId,
        base: u64,
        count: u64,
    ) -> Result<NodeId, GrantError> {
        let range = Extent::new(base, count).expect("does not wrap");
        grove.tree.delegate(&mut grove.store, parent, range, CHILD)
    }

    #[test]
    fn ranges_must_be_inside_and_free() {
        let mut grove = Grove::<8>::new(Kind::Frames, 100);
        let child = delegate(&mut grove, ROOT, 10, 10).expect("inside");
        for (base, count) in [(0, 101), (100, 1), (50, 0), (1 << 60, 1)] {
            assert_eq!(delegate(&mut grove, ROOT, base, count), Err(GrantError::Outside));
        }
        for (base, count) in [(10, 10), (0, 11), (19, 1), (5, 20), (12, 2)] {
            assert_eq!(delegate(&mut grove, ROOT, base, count), Err(GrantError::Overlap));
        }
        assert_eq!(delegate(&mut grove, child, 9, 1), Err(GrantError::Outside));
        assert!(delegate(&mut grove, ROOT, 0, 10).is_ok());
        assert!(delegate(&mut grove, ROOT, 20, 80).is_ok());
        assert_eq!(grove.store.nodes[0].children(), 3);
        grove.check();
    }

    #[test]
    fn shared_kinds_may_overlap() {
        let mut grove = Grove::<8>::new(Kind::Event, 1);
        assert!(delegate(&mut grove, ROOT, 0, 1).is_ok());
        assert!(delegate(&mut grove, ROOT, 0, 1).is_ok());
        grove.check();
    }

    #[test]
    fn nothing_comes_of_revoked_free_or_missing_nodes() {
        let mut grove = Grove::<8>::new(Kind::Frames, 100);
        let child = delegate(&mut grove, ROOT, 10, 10).expect("inside");
        grove.tree.revoke(&mut grove.store, child).expect("in use");
        for parent in [child, NodeId(5), NodeId(8), NodeId::NONE] {
            assert_eq!(delegate(&mut grove, parent, 10, 1), Err(GrantError::Stale));
        }
        assert!(grove.tree.revoke(&mut grove.store, NodeId(5)).is_none());
        assert_eq!(
            delegate(&mut grove, ROOT, 10, 1),
            Err(GrantError::Overlap),
            "not reclaimed yet"
        );
    }

    #[test]
    fn a_lost_cursor_can_be_had_again_until_the_end() {
        let mut grove = Grove::<8>::new(Kind::Frames, 100);
        let child = delegate(&mut grove, ROOT, 10, 10).expect("inside");
        let grandchild = delegate(&mut grove, child, 12, 2).expect("inside");
        let made = grove.store.nodes[child.0 as usize].made();
        for _ in 0..3 {
            let cursor = grove.tree.revoke_made(&mut grove.store, child, made);
            let mut cursor = cursor.expect("not gone yet");
            let progress = grove.tree.revoke_step(&mut grove.store, &mut cursor, 100);
            assert!(matches!(progress, Progress::Reclaim(leaf) if leaf.node == grandchild));
        }
        let cursor = grove.tree.revoke_made(&mut grove.store, child, made).expect("not gone yet");
        grove.run(cursor, 1, |_, _| {});
        assert!(grove.tree.revoke_made(&mut grove.store, child, made).is_none());
        let reused = delegate(&mut grove, ROOT, 10, 10).expect("free again");
        assert_eq!(reused, child);
        assert!(grove.tree.revoke_made(&mut grove.store, child, made).is_none(), "another's");
    }

    #[test]
    fn room_is_bounded() {
        let mut small = Grove::<2>::new(Kind::Frames, 100);
        assert!(delegate(&mut small, ROOT, 0, 1).is_ok());
        assert_eq!(delegate(&mut small, ROOT, 1, 1), Err(GrantError::NoNode));
        let mut large = Grove::<4>::new(Kind::Event, 1);
        // Set, not made one by one, for Miri's sake.
        large.store.nodes[0].children = MAX_CHILDREN - 1;
        assert!(delegate(&mut large, ROOT, 0, 1).is_ok());
        assert_eq!(delegate(&mut large, ROOT, 0, 1), Err(GrantError::TooMany));
    }
}

/// Harnesses for Kani: trees of up to four nodes.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;

    fn any_delegation() -> Delegation {
        let step = Delegation { parent: kani::any(), first: kani::any(), count: kani::any() };
        kani::assume(step.parent < 4 && step.first < 1 << 20 && step.count < 1 << 20);
        step
    }

    /// Any tree of four nodes, any of them revoked.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(70))]
    pub fn revoke_reaches_no_ancestor() {
        let steps = [any_delegation(), any_delegation(), any_delegation()];
        revoke_ends_exactly_the_subtree::<4>(Kind::Frames, &steps, kani::any(), 1);
    }

    /// Two revocations, four turns.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(70))]
    pub fn two_revocations_end() {
        let steps = [any_delegation(), any_delegation()];
        let turns = [kani::any(), kani::any(), kani::any(), kani::any()];
        interleaved_revocations_end::<4>(&steps, [kani::any(), kani::any()], &turns);
    }
}
