//! A slot answers with what was entered in it, to those who may use it, while its grant holds.

use super::grant::{Delegation, Grove};
use crate::binding::{Binding, BindingTable, LookupError, Slot, SlotStore};
use crate::extent::Extent;
use crate::ids::NodeId;
use serix_abi::token::{Kind, Rights};

/// Slots in an array.
pub(crate) struct ArrayStore<const N: usize>(pub(crate) [Slot; N]);

impl<const N: usize> SlotStore for ArrayStore<N> {
    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.0.get(slot as usize)
    }
    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.0.get_mut(slot as usize)
    }
}

fn binding(kind: Kind, rights: Rights, object: u32) -> Binding {
    Binding {
        kind,
        delegation: false,
        rights,
        node: NodeId(0),
        generation: 1,
        range: Extent::new(0, 8).unwrap_or_default(),
        object,
    }
}

/// One call, with the slot taken modulo one more than there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Enter a binding with this object.
    Insert(u32),
    /// Empty a slot.
    Remove(u32),
    /// Add a slot, as long as there is storage.
    Grow,
}

/// Any sequence of calls agrees with an array that holds what each slot should.
pub(crate) fn agrees_with_an_array<const N: usize>(steps: &[Step]) {
    let mut store = ArrayStore([Slot::EMPTY; N]);
    let mut table = BindingTable::new();
    let mut model = [None; N];
    for step in steps {
        match *step {
            Step::Insert(object) => {
                let entered =
                    table.insert(&mut store, binding(Kind::Event, Rights::SIGNAL, object));
                let capacity = table.capacity() as usize;
                let room = model[..capacity].iter().any(Option::is_none);
                assert_eq!(entered.is_some(), room);
                if let Some(slot) = entered {
                    assert_eq!(model[slot as usize].replace(object), None, "was in use");
                }
            }
            Step::Remove(slot) => {
                let slot = slot % (N as u32 + 1);
                let known = model.get_mut(slot as usize).and_then(Option::take);
                assert_eq!(table.remove(&mut store, slot).map(|held| held.object), known);
            }
            Step::Grow if (table.capacity() as usize) < N => table.grow(1),
            Step::Grow => {}
        }
        assert_eq!(table.used() as usize, model.iter().flatten().count());
        assert_eq!(table.is_full(), table.used() == table.capacity());
        for slot in 0..=N as u32 {
            let held = table.get(&store, slot).map(|held| held.object);
            assert_eq!(held, model.get(slot as usize).copied().flatten());
        }
    }
}

/// A lookup succeeds for the kind entered, rights among those entered, and a grant that holds; and for nothing else.
pub(crate) fn lookup_needs_everything(kind: usize, asked: usize, rights: u16, wanted: u16) {
    let (kind, asked) = (Kind::ALL[kind % Kind::ALL.len()], Kind::ALL[asked % Kind::ALL.len()]);
    let (rights, wanted) = (Rights(rights), Rights(wanted));
    let mut grove = Grove::<2>::new(kind, 8);
    let node = grove.delegate(Delegation { parent: 0, first: 0, count: 3 }, 2).unwrap_or(NodeId(0));
    let generation = grove.store.nodes[node.0 as usize].generation;
    let mut store = ArrayStore([Slot::EMPTY; 2]);
    let mut table = BindingTable::default();
    table.grow(2);
    let entered = Binding { node, generation, ..binding(kind, rights, 7) };
    assert_eq!(table.insert(&mut store, entered), Some(0));
    let found = table.lookup(&store, &grove.store, 0, asked, wanted);
    let expected = if kind != asked {
        Err(LookupError::BadSlot)
    } else if wanted.0 & !rights.0 != 0 {
        Err(LookupError::Denied)
    } else {
        Ok(&entered)
    };
    assert_eq!(found, expected);
    for slot in [1, 2, u32::MAX] {
        let none = table.lookup(&store, &grove.store, slot, kind, Rights::NONE);
        assert_eq!(none, Err(LookupError::BadSlot));
    }
    grove.tree.revoke(&mut grove.store, node);
    let stale = table.lookup(&store, &grove.store, 0, kind, Rights::NONE);
    assert_eq!(stale, Err(LookupError::Stale));
}

#[cfg(test)]
mod cases {
    use super::*;
    use proptest::prelude::*;

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u32>().prop_map(Step::Insert),
            any::<u32>().prop_map(Step::Remove),
            Just(Step::Grow),
        ]
    }

    proptest! {
        #![proptest_config(crate::properties::config())]

        #[test]
        fn any_order(steps in proptest::collection::vec(any_step(), 0..100)) {
            agrees_with_an_array::<8>(&steps);
        }

        #[test]
        fn lookup(
            kind in 0..4_usize,
            asked in 0..4_usize,
            rights in any::<u16>(),
            wanted in prop_oneof![any::<u16>(), (0..16_u32).prop_map(|bit| 1 << bit)],
        ) {
            lookup_needs_everything(kind, asked, rights, wanted);
        }
    }
}

/// Harnesses for Kani.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;

    fn any_step() -> Step {
        match kani::any::<u8>() % 3 {
            0 => Step::Insert(kani::any()),
            1 => Step::Remove(kani::any()),
            _ => Step::Grow,
        }
    }

    /// Five calls on three slots.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(8))]
    pub fn slots_hold_what_was_entered() {
        let steps = [any_step(), any_step(), any_step(), any_step(), any_step()];
        agrees_with_an_array::<3>(&steps);
    }

    /// Any kind and rights.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(8))]
    pub fn no_lookup_without_authority() {
        lookup_needs_everything(kani::any(), kani::any(), kani::any(), kani::any());
    }
}
