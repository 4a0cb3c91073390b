//! The heap answers what a plain array of deadlines would.

use crate::deadline::{DeadlineSlot, Deadlines};

/// One call, with the id taken modulo one more than there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Set a deadline.
    Insert(u32, u64),
    /// Remove one.
    Remove(u32),
    /// Pop what is due.
    Pop(u64),
}

/// Any sequence of calls on ids below `N` agrees with an array that holds each id's deadline.
pub(crate) fn agrees_with_an_array<const N: usize>(steps: &[Step]) {
    let mut slots = [DeadlineSlot::EMPTY; N];
    let mut heap = Deadlines::new(&mut slots);
    let mut model = [None; N];
    let id = |id: u32| id % (N as u32 + 1);
    for step in steps {
        match *step {
            Step::Insert(number, at) => {
                let inside = model.get_mut(id(number) as usize).map(|known| *known = Some(at));
                assert_eq!(heap.insert(id(number), at).is_ok(), inside.is_some());
            }
            Step::Remove(number) => {
                let known = model.get_mut(id(number) as usize).and_then(Option::take);
                assert_eq!(heap.remove(id(number)), known.is_some());
            }
            Step::Pop(now) => {
                let due = heap.pop_due(now);
                let earliest = model.iter().flatten().min().copied();
                assert_eq!(due.is_some(), earliest.is_some_and(|at| at <= now));
                if let Some(id) = due {
                    assert_eq!(model[id as usize].take(), earliest);
                }
            }
        }
        assert_eq!(heap.len(), model.iter().flatten().count());
        assert_eq!(heap.is_empty(), heap.peek().is_none());
        assert_eq!(heap.peek().map(|(at, _)| at), model.iter().flatten().min().copied());
        if let Some((at, id)) = heap.peek() {
            assert_eq!(model[id as usize], Some(at));
        }
    }
}

#[cfg(test)]
mod cases {
    use super::*;
    use proptest::prelude::*;

    fn any_step() -> impl Strategy<Value = Step> {
        let at = prop_oneof![0..20_u64, any::<u64>()];
        prop_oneof![
            3 => (any::<u32>(), at.clone()).prop_map(|(id, at)| Step::Insert(id, at)),
            1 => any::<u32>().prop_map(Step::Remove),
            1 => at.prop_map(Step::Pop),
        ]
    }

    proptest! {
        #![proptest_config(crate::properties::config())]

        #[test]
        fn any_order(steps in proptest::collection::vec(any_step(), 0..200)) {
            agrees_with_an_array::<24>(&steps);
        }
    }

    #[test]
    fn pops_in_order() {
        let mut slots = [DeadlineSlot::EMPTY; 64];
        let mut heap = Deadlines::new(&mut slots);
        for id in 0..64 {
            heap.insert(id, u64::from(id * 37 % 64)).expect("inside");
        }
        let popped: std::vec::Vec<u32> = core::iter::from_fn(|| heap.pop_due(63)).collect();
        let deadlines: std::vec::Vec<u32> = popped.iter().map(|id| id * 37 % 64).collect();
        assert!(deadlines.is_sorted() && deadlines.len() == 64);
    }
}

/// Harnesses for Kani.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;

    fn any_step() -> Step {
        match kani::any::<u8>() % 3 {
            0 => Step::Insert(kani::any(), kani::any()),
            1 => Step::Remove(kani::any()),
            _ => Step::Pop(kani::any()),
        }
    }

    /// Five calls on three ids.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(8))]
    pub fn deadlines_come_in_order() {
        let steps = [any_step(), any_step(), any_step(), any_step(), any_step()];
        agrees_with_an_array::<3>(&steps);
    }
}
