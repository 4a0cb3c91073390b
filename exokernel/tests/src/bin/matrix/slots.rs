//! Slots that are empty, of another kind, without a right, or stale.

use serix_abi::token::{Kind, Rights};
use serix_abi::{Call, Error};
use serix_kernel_tests::uses::{Argument, Stage};
use serix_kernel_tests::{Check, Failure, Session};
use serix_sys::{Slot, call as sys};

use crate::{Tally, each_argument};

/// Numbers that are no slot: empty ones, those past the table, and those with something in the upper half of the register.
const NO_SLOTS: [u64; 7] =
    [1000, 1023, 1024, u32::MAX as u64 - 1, 1 << 32, (1 << 32) + 1, u64::MAX];

/// Of a row that is a slot: kinds, if they matter, and rights.
fn slot(row: Argument) -> Option<(&'static [Kind], Rights)> {
    match row {
        Argument::Slot(kinds, rights) | Argument::OptionalSlot(kinds, rights) => {
            Some((kinds, rights))
        }
        Argument::AnySlot(rights) => Some((Kind::ALL, rights)),
        _ => None,
    }
}

/// The slot that a right use has in a place, with its kind and rights; `None` if there is none.
fn used(
    session: &mut Session,
    stage: &mut Stage,
    (what, place): (Call, usize),
    kinds: &[Kind],
) -> Result<Option<(u64, Kind, Rights)>, Failure> {
    let Some(right) = stage.prepare(session, what)? else { return Ok(None) };
    let mut slot = right.arguments[place];
    right.undo(what, None);
    // What is made for each use anew, or is optional, is stood for by what the stage has of the kind.
    if sys::slot_query(Slot(slot as u32)).is_err() {
        let own = own_slots(session, stage);
        let found = own.iter().find(|(kind, _)| kinds.contains(kind));
        slot = found.map_or(slot, |(_, slot)| *slot);
    }
    let Ok(info) = sys::slot_query(Slot(slot as u32)) else { return Ok(None) };
    let kind = Kind::from_number(info.kind as u8);
    Ok(kind.map(|kind| (slot, kind, Rights(info.rights))))
}

/// A slot of each kind.
fn own_slots(session: &Session, stage: &Stage) -> [(Kind, u64); 9] {
    let slices = session.slices.unwrap_or(Slot::NONE);
    [
        (Kind::Frames, session.frames),
        (Kind::Slices, slices),
        (Kind::Domain, stage.domain),
        (Kind::Environment, stage.space),
        (Kind::Gate, stage.gate),
        (Kind::Event, stage.event),
        (Kind::Console, session.log),
        (Kind::Subtree, stage.subtree),
        (Kind::Ring, stage.ring),
    ]
    .map(|(kind, slot)| (kind, slot.0.into()))
}

pub(crate) fn empty_ones_are_refused(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        if slot(row).is_none() && !matches!(row, Argument::Name | Argument::Delegation) {
            return Ok(());
        }
        NO_SLOTS
            .iter()
            .try_for_each(|slot| tally.wrong((session, stage), at, *slot, Error::BadSlot))
    })?;
    tally.end("slots that are none", 250)
}

pub(crate) fn other_kinds_are_refused(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let Some((kinds, _)) = slot(row) else { return Ok(()) };
        for (kind, slot) in own_slots(session, stage) {
            if !kinds.contains(&kind) {
                tally.wrong((session, stage), at, slot, Error::BadSlot)?;
            }
        }
        Ok(())
    })?;
    tally.end("slots of other kinds", 250)
}

pub(crate) fn each_right_is_needed(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let Some((kinds, needed)) = slot(row) else { return Ok(()) };
        let Some((slot, kind, all)) = used(session, stage, at, kinds)? else { return Ok(()) };
        for (_, right) in Rights::NAMES.iter().filter(|(_, right)| needed.has(*right)) {
            let rest = Rights(all.0 & !right.0);
            let Some(odd) = stage.narrowed(session, kind, slot, rest) else {
                tally.leave_out();
                continue;
            };
            let result = tally.wrong((session, stage), at, odd.slot, Error::Denied);
            odd.end();
            result?;
        }
        Ok(())
    })?;
    tally.end("slots without a right", 30)
}

pub(crate) fn stale_ones_are_refused(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        let Some((kinds, _)) = slot(row) else { return Ok(()) };
        let Some((slot, kind, all)) = used(session, stage, at, kinds)? else { return Ok(()) };
        let Some(odd) = stage.stale(kind, slot, all) else {
            tally.leave_out();
            return Ok(());
        };
        let result = tally.wrong((session, stage), at, odd.slot, Error::Stale);
        odd.end();
        result
    })?;
    tally.end("stale slots", 25)
}

pub(crate) fn only_delegations_are_revoked(session: &mut Session) -> Check {
    let mut tally = Tally::default();
    each_argument(session, |session, stage, at, row| {
        if !matches!(row, Argument::Delegation) {
            return Ok(());
        }
        own_slots(session, stage)
            .iter()
            .try_for_each(|(_, slot)| tally.wrong((session, stage), at, *slot, Error::Denied))
    })?;
    tally.end("slots that are no delegation", 8)
}
