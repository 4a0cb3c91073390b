//! Events: bits, masks, deadlines.

use serix_abi::{Call, Error};
use serix_kernel_tests::child::event;
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::call as sys;

use crate::refuses_bad_slots;

pub(crate) const TESTS: &[Test] = tests!["events":
    bits_are_taken_once, masks_take_only_their_bits, deadlines_come_neither_early_nor_never,
    the_callers_flags_stay_outside, bad_arguments_are_refused];

fn wait(slot: u64, mask: u64, deadline: u64) -> Result<u64, Error> {
    call(Call::EventWait, &[slot, mask, deadline])
}

fn bits_are_taken_once(_: &mut Session) -> Check {
    let slot = u64::from(event()?.0);
    ensure_eq!(wait(slot, u64::MAX, 0), Err(Error::TimedOut), "fresh");
    for bits in [1, 1 << 63, u64::MAX, 0x5A5A] {
        call(Call::EventSignal, &[slot, bits])?;
        ensure_eq!(wait(slot, u64::MAX, 0), Ok(bits));
        ensure_eq!(wait(slot, u64::MAX, 0), Err(Error::TimedOut), "taken");
    }
    call(Call::EventSignal, &[slot, 0])?;
    ensure_eq!(wait(slot, u64::MAX, 0), Err(Error::TimedOut), "no bits");
    sys::unbind(serix_sys::Slot(slot as u32))?;
    Ok(())
}

fn masks_take_only_their_bits(_: &mut Session) -> Check {
    let slot = u64::from(event()?.0);
    call(Call::EventSignal, &[slot, 0b0110])?;
    call(Call::EventSignal, &[slot, 0b1000])?;
    ensure_eq!(wait(slot, 0b0001, 0), Err(Error::TimedOut));
    ensure_eq!(wait(slot, 0b1100, 0), Ok(0b1100));
    ensure_eq!(wait(slot, u64::MAX, 1 << 40), Ok(0b0010), "with a deadline");
    sys::unbind(serix_sys::Slot(slot as u32))?;
    Ok(())
}

fn now(info: u64) -> Result<u64, raw::Fault> {
    let multiplier = raw::read(info + 16)?;
    Ok(((u128::from(serix_sys::time::ticks()) * u128::from(multiplier)) >> 32) as u64)
}

fn deadlines_come_neither_early_nor_never(session: &mut Session) -> Check {
    let slot = u64::from(event()?.0);
    let info = serix_session::INFO_ADDRESS;
    ensure_eq!(wait(slot, 1, 1), Err(Error::TimedOut), "long past");
    for delay in [0, 1, 1_000, 1_000_000, 20_000_000] {
        let deadline = now(info)? + delay;
        ensure_eq!(wait(slot, 1, deadline), Err(Error::TimedOut));
        let after = now(info)?;
        ensure!(after >= deadline, "{} ns early", deadline - after);
        ensure!(after - deadline < 2_000_000_000, "{} ns late", after - deadline);
    }
    let _ = session;
    sys::unbind(serix_sys::Slot(slot as u32))?;
    Ok(())
}

/// Direction, nested task and alignment check: the first turns the kernel's copies round, with the second no IRET goes
/// through, and a call that waits comes back by one.
fn the_callers_flags_stay_outside(session: &mut Session) -> Check {
    const PLAIN: u64 = 0x202;
    const ODD: [u64; 3] = [1 << 10, 1 << 14, 1 << 18];
    let slot = u64::from(event()?.0);
    let text = b"a line that is copied as it is, whatever the direction flag says\n";
    let write = [session.log.0.into(), text.as_ptr() as u64, text.len() as u64, 0, 0, 0];
    for flags in ODD.into_iter().chain([ODD.iter().sum()]) {
        let flags = PLAIN | flags;
        let deadline = now(serix_session::INFO_ADDRESS)? + 1_000_000;
        let wait = [slot, 1, deadline, 0, 0, 0];
        ensure_eq!(raw::call_with_flags(Call::Null, [0; 6], flags), Ok(0), "{flags:#x}");
        raw::call_with_flags(Call::Write, write, flags)?;
        let waited = raw::call_with_flags(Call::EventWait, wait, flags);
        ensure_eq!(waited, Err(Error::TimedOut), "{flags:#x}");
    }
    sys::unbind(serix_sys::Slot(slot as u32))?;
    Ok(())
}

fn bad_arguments_are_refused(session: &mut Session) -> Check {
    let slot = u64::from(event()?.0);
    ensure_eq!(wait(slot, 0, 0), Err(Error::BadArgument), "no mask");
    let others = [session.frames, session.environment, session.log].map(|slot| slot.0.into());
    refuses_bad_slots(Call::EventWait, &others, |slot| [slot, 1, 0, 0, 0, 0])?;
    refuses_bad_slots(Call::EventSignal, &others, |slot| [slot, 1, 0, 0, 0, 0])?;
    sys::unbind(serix_sys::Slot(slot as u32))?;
    ensure_eq!(wait(slot, 1, 0), Err(Error::BadSlot), "after it is gone");
    Ok(())
}
