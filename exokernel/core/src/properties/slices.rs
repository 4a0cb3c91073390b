//! The slice vector starves no owner.

use crate::extent::Extent;
use crate::ids::DomainId;
use crate::slices::{Slice, SliceError, SliceVector};

/// Over any vector, with others becoming runnable and blocked as they like, an owner that stays runnable and keeps a
/// slice waits for less than a round; whoever is chosen is runnable and owns the slice.
pub(crate) fn no_owner_starves<const N: usize>(owners: [u8; N], runnable: &[u8], patient: u8) {
    let mut slices = owners.map(|owner| Slice { owner: DomainId(owner.into()), length_ns: 1 });
    let mut vector = SliceVector::new(&mut slices);
    let entitled = patient != 0 && owners.contains(&patient);
    let mut waited = 0;
    for pattern in runnable {
        let is_runnable = |id: DomainId| id.0 == patient.into() || pattern >> (id.0 % 8) & 1 == 1;
        let turn = vector.next(is_runnable);
        if let Some(turn) = turn {
            assert!(is_runnable(turn.slice.owner) && turn.slice.owner != DomainId::NONE);
            assert_eq!(turn.slice.owner.0, owners[turn.index].into());
        } else {
            let idle = |owner: &u8| *owner == 0 || !is_runnable(DomainId((*owner).into()));
            assert!(owners.iter().all(idle), "a runnable owner was passed over");
        }
        let chosen = turn.is_some_and(|turn| turn.slice.owner.0 == patient.into());
        waited = if chosen { 0 } else { waited + 1 };
        assert!(!entitled || waited < N, "waited for {waited} turns of {N}");
    }
}

/// Assigning moves exactly the slices named, if they are the giver's, and else nothing.
pub(crate) fn assignment_is_exact<const N: usize>(owners: [u8; N], base: u64, count: u64) {
    let (from, to) = (DomainId(1), DomainId(99));
    let owner = |owner: u8| DomainId(owner.into());
    let mut slices = owners.map(|o| Slice { owner: owner(o), length_ns: 1 });
    let mut vector = SliceVector::new(&mut slices);
    let Some(range) = Extent::new(base, count) else { return };
    let all = Extent::new(0, N as u64).unwrap_or_default();
    let inside = |index: usize| range.contains(Extent::new(index as u64, 1).unwrap_or_default());
    let expected = if range.is_empty() || !all.contains(range) {
        Err(SliceError::Outside)
    } else if (0..N).any(|index| inside(index) && owner(owners[index]) != from) {
        Err(SliceError::NotOwner)
    } else {
        Ok(())
    };
    assert_eq!(vector.assign(range, from, to), expected);
    for (index, before) in owners.into_iter().enumerate() {
        let moved = expected.is_ok() && inside(index);
        let wanted = if moved { to } else { owner(before) };
        assert_eq!(vector.slice(index).map(|slice| slice.owner), Some(wanted));
    }
}

#[cfg(test)]
mod cases {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Everybody always runnable, the hardest on the patient one, or any.
    fn any_patterns() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![Just([u8::MAX; 100].to_vec()), proptest::collection::vec(any::<u8>(), 0..100)]
    }

    proptest! {
        #![proptest_config(crate::properties::config())]

        #[test]
        fn starvation(
            owners in proptest::array::uniform16(0..6_u8),
            runnable in any_patterns(),
            patient in 0..6_u8,
        ) {
            no_owner_starves(owners, &runnable, patient);
        }

        #[test]
        fn assignment(
            owners in proptest::array::uniform8(0..3_u8),
            base in prop_oneof![0..10_u64, any::<u64>()],
            count in prop_oneof![0..10_u64, any::<u64>()],
        ) {
            assignment_is_exact(owners, base, count);
        }
    }

    #[test]
    fn an_empty_vector_idles() {
        let mut vector = SliceVector::new(&mut []);
        assert_eq!(vector.next(|_| true), None);
        assert!(vector.is_empty());
    }

    #[test]
    fn what_a_dead_domain_had_goes_to_its_heir() {
        let owner = |owner| Slice { owner: DomainId(owner), length_ns: 5 };
        let mut slices = [owner(1), owner(2), owner(1)];
        let mut vector = SliceVector::new(&mut slices);
        assert_eq!(vector.reassign_all(DomainId(1), DomainId(3)), 2);
        let owners = [0, 1, 2].map(|index| vector.slice(index).map_or(0, |slice| slice.owner.0));
        assert_eq!(owners, [3, 2, 3]);
    }
}

/// Harnesses for Kani.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;

    /// Any vector of four slices, eight turns.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(10))]
    pub fn slice_vector_starves_no_owner() {
        let runnable: [u8; 8] = kani::any();
        no_owner_starves::<4>(kani::any(), &runnable, kani::any());
    }

    /// Any range of four slices.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(6))]
    pub fn slices_change_hands_exactly() {
        assignment_is_exact::<4>(kani::any(), kani::any(), kani::any());
    }
}
