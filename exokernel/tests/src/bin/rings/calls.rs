//! The calls around a ring, and its indices.

use serix_abi::ring::{COMPLETIONS, SUBMISSIONS, Submission, operation, status};
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{Child, Script, event};
use serix_kernel_tests::raw::call;
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

use crate::disk;

pub(crate) const TESTS: &[Test] = tests!["rings":
    creation_refuses_bad_arguments, slots_of_other_kinds_are_no_rings, the_page_is_held,
    a_full_ring_is_worked_off, unseen_completions_hold_it_up, hostile_indices_harm_nobody,
    a_read_of_the_link_may_be_abandoned];

fn creation_refuses_bad_arguments(session: &mut Session) -> Check {
    let (frames, event) = (u64::from(session.frames.0), u64::from(event()?.0));
    let create =
        |frames: u64, unit: u64, event: u64| call(Call::RingCreate, &[frames, unit, event, 1]);
    let unit = session.take_frames(1);
    for slot in [1000, 1024, 1 << 32, session.log.0.into(), session.environment.0.into()] {
        ensure_eq!(create(slot, unit, event), Err(Error::BadSlot), "frames {slot:#x}");
        ensure_eq!(create(frames, unit, slot), Err(Error::BadSlot), "event {slot:#x}");
    }
    for unit in [session.frame_count, 1 << 32, u64::MAX] {
        ensure_eq!(create(frames, unit, event), Err(Error::BadArgument), "unit {unit:#x}");
    }
    session.fund(Slot::NONE, session.frames, unit, 1)?;
    ensure_eq!(create(frames, unit, event), Err(Error::Denied), "a frame of the account");
    let end = serix_kernel_tests::child::event()?;
    // So many frames that the last is past those of the program, whose numbers the guard refuses.
    let child = Child::new(session, end, 200, Script::default())?;
    let foreign = create(child.frames.0.into(), child.count - 1, event);
    ensure_eq!(foreign, Err(Error::Denied), "a delegated frame");
    child.end()?;
    Ok(())
}

fn slots_of_other_kinds_are_no_rings(session: &mut Session) -> Check {
    let others = [session.frames, session.log, session.environment].map(|slot| u64::from(slot.0));
    for slot in others.into_iter().chain([1000, 1024, 1 << 32, u64::MAX]) {
        for what in [Call::RingSubmit, Call::RingDestroy] {
            ensure_eq!(call(what, &[slot]), Err(Error::BadSlot), "{what:?} {slot:#x}");
        }
    }
    Ok(())
}

/// The kernel writes to the page: while there is a ring, the frame is nothing else.
fn the_page_is_held(session: &mut Session) -> Check {
    let ring = TestRing::new(session)?;
    let fund = |session: &Session| {
        call(Call::Fund, &[u32::MAX.into(), session.frames.0.into(), ring.unit, 1])
    };
    ensure_eq!(fund(session), Err(Error::Busy), "mapped and a ring");
    session.unmap(session.environment, ring.page, 1)?;
    ensure_eq!(fund(session), Err(Error::Busy), "a ring");
    ensure_eq!(call(Call::RingDestroy, &[ring.slot.0.into()]), Ok(0));
    ensure_eq!(call(Call::RingSubmit, &[ring.slot.0.into()]), Err(Error::BadSlot), "gone");
    ensure_eq!(fund(session), Ok(1), "free again");
    sys::unbind(ring.event)?;
    Ok(())
}

fn a_full_ring_is_worked_off(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    for round in 0..4 {
        for sector in 0..SUBMISSIONS as u64 {
            ring.put(&ring.read(disk, sector, 512))?;
        }
        ring.submit()?;
        let mut cookies = 0_u64;
        for _ in 0..SUBMISSIONS {
            let outcome = ring.complete()?;
            ensure_eq!((outcome.status, outcome.length), (status::OK, 512), "round {round}");
            cookies |= 1 << (outcome.cookie % SUBMISSIONS as u64);
        }
        ensure_eq!(cookies, u64::from(u32::MAX), "each completed once");
    }
    end(ring)
}

fn end(ring: TestRing) -> Check {
    sys::ring_destroy(ring.slot)?;
    sys::unbind(ring.event)?;
    Ok(())
}

/// The kernel never writes over completions that were not seen.
fn unseen_completions_hold_it_up(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let mut taken = 0;
    for _ in 0..4 * COMPLETIONS {
        // A submission that fails at once.
        ring.put(&ring.read(disk, 0, 0))?;
        taken += ring.submit()?;
    }
    ensure!(taken <= COMPLETIONS as u64, "{taken} taken, nothing seen");
    for number in 0..taken {
        let outcome = ring.complete()?;
        ensure_eq!(outcome.status, status::BAD_ARGUMENT, "completion {number}");
    }
    end(ring)
}

fn hostile_indices_harm_nobody(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    for ahead in [SUBMISSIONS as u32 + 1, 64, 1000, 1 << 31, u32::MAX - 1, u32::MAX] {
        let mut ring = TestRing::new(session)?;
        ring.put(&ring.read(disk, 0, 512))?;
        ring.set_submitted(ahead)?;
        let mut taken = 0;
        for _ in 0..8 {
            taken += call(Call::RingSubmit, &[ring.slot.0.into()])?;
        }
        ensure!(taken <= COMPLETIONS as u64, "{taken} taken with {ahead} announced");
        // Whatever was in flight ends, and then so does the ring.
        let destroyed = loop {
            match call(Call::RingDestroy, &[ring.slot.0.into()]) {
                Err(Error::Busy) => sys::yield_slice()?,
                other => break other,
            };
        };
        ensure_eq!(destroyed, Ok(0), "{ahead} announced");
        sys::unbind(ring.event)?;
    }
    Ok(())
}

/// Nobody may ever send anything: the session ends with this read under way, and `init` must get everything back.
fn a_read_of_the_link_may_be_abandoned(session: &mut Session) -> Check {
    let Some(link) = session.link else { return Ok(()) };
    let mut ring = TestRing::new(session)?;
    let read = Submission { operation: operation::STREAM_READ, ..ring.read(link, 0, 4096) };
    ring.put(&read)?;
    ensure_eq!(ring.submit()?, 1);
    Ok(())
}
