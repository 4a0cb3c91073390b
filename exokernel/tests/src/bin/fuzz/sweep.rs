//! Ending all that the players made.

use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::call;
use serix_sys::Slot;

use crate::{is_kept, neighbours, own};

/// Slots of a domain.
const SLOTS: u64 = 1024;
/// Top-level slots from here on are the program's.
const LIBOS_TOP_SLOT: u64 = 252;
/// What a slot may have to be ended by, in this order for all slots: domains hold what others need.
const ENDS: [Call; 6] = [
    Call::DomainDestroy,
    Call::RingDestroy,
    Call::EnvironmentDestroy,
    Call::SubtreeDestroy,
    Call::Revoke,
    Call::Unbind,
];
/// Parts that one end may have.
const PARTS: usize = 10_000;

/// Ends what was made, as far as it can be ended: another player may be at it.
pub(crate) fn all() {
    // A subtree lives as long as it is attached somewhere.
    for space in [own(1), neighbours::environment(0, 0), neighbours::environment(1, 0)] {
        for top in 0..LIBOS_TOP_SLOT {
            let _ = call(Call::Attach, &[space, top, NO_SLOT.into(), 0]);
        }
    }
    for what in ENDS {
        for slot in (0..SLOTS).filter(|slot| !is_kept(*slot)) {
            if !(0..PARTS).any(|_| call(what, &[slot]) != Err(Error::Again)) {
                line(format_args!("WRONG {what:?} of slot {slot} does not end"));
            }
        }
    }
}

/// Slots that are in use and were not from the start.
pub(crate) fn slots_left() -> usize {
    let is_used = |slot: &u64| call(Call::Unbind, &[*slot]) == Err(Error::Busy);
    let left = (0..SLOTS).filter(|slot| !is_kept(*slot)).filter(is_used);
    left.inspect(|slot| {
        let kind = serix_sys::call::slot_query(Slot(*slot as u32));
        line(format_args!("WRONG slot {slot} stays: {kind:x?}"));
    })
    .count()
}
