//! Restartable sequences (`rseq`): a thread names a piece of code that is given up when the thread is interrupted in it.
//!
//! One core runs a session, so the number of the core is always 0, and what remains is the giving up: after a
//! preemption and before a signal handler, a thread inside its critical section goes on at the section's abort address.
use crate::memory::UserAddress;
use crate::raw::PROGRAM_END;
use crate::raw::entry::TrapFrame;
use crate::sched::current;
use crate::signal::set::SIGSEGV;
use crate::signal::{self, SignalInfo};
use crate::{Errno, Result};
use core::ops::Range;

/// Bytes of `struct rseq`, and its alignment.
const AREA_SIZE: u32 = 32;
/// Words of `struct rseq` before the address of the critical section: the core's number as a hint, and as it is.
const UNREGISTERED: [u32; 2] = [0, u32::MAX];
/// Byte offsets in `struct rseq`.
const SECTION: u64 = 8;
const FLAGS: u64 = 16;
/// Bytes of code before the abort address that hold the signature.
const SIGNATURE_SIZE: u64 = 4;
const FLAG_UNREGISTER: u32 = 1;

/// What a thread has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    area: u64,
    length: u32,
    signature: u32,
}

/// A critical section as the program describes it (`struct rseq_cs`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    code: Range<u64>,
    abort: u64,
}

impl Section {
    /// From version and flags, start, length and abort address.
    fn decode(words: [u64; 4]) -> Result<Self> {
        let [version, start, length, abort] = words;
        let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
        let section = Self { code: start..end, abort };
        // The version is the lower half; flags have lost their meaning.
        let is_legal = version as u32 == 0
            && end <= PROGRAM_END
            && (SIGNATURE_SIZE..PROGRAM_END).contains(&abort)
            && !section.code.contains(&abort);
        if is_legal { Ok(section) } else { Err(Errno::EINVAL) }
    }
}

/// The call: registers an area, or ends that. `before` is what the thread has.
///
/// # Errors
/// As Linux: EINVAL for a bad or another area, EPERM for another signature, EBUSY if it is registered already.
fn decide(
    before: Option<Registration>,
    asked: Registration,
    flags: u32,
) -> Result<Option<Registration>> {
    let is_same = |before: Registration| match before {
        _ if (before.area, before.length) != (asked.area, asked.length) => Err(Errno::EINVAL),
        _ if before.signature != asked.signature => Err(Errno::EPERM),
        _ => Ok(()),
    };
    match (flags, before) {
        (FLAG_UNREGISTER, None) => Err(Errno::EINVAL),
        (FLAG_UNREGISTER, Some(before)) => is_same(before).map(|()| None),
        (0, Some(before)) => is_same(before).and(Err(Errno::EBUSY)),
        (0, None) if asked.length < AREA_SIZE => Err(Errno::EINVAL),
        (0, None) if !asked.area.is_multiple_of(u64::from(AREA_SIZE)) => Err(Errno::EINVAL),
        (0, None) if asked.area >= PROGRAM_END - u64::from(asked.length) => Err(Errno::EFAULT),
        (0, None) => Ok(Some(asked)),
        _ => Err(Errno::EINVAL),
    }
}

/// `rseq`.
///
/// # Errors
/// As `decide`, and EFAULT.
pub fn register(area: u64, length: u32, flags: u32, signature: u32) -> Result<()> {
    let me = current();
    let asked = Registration { area, length, signature };
    let after = decide(*me.rseq.lock(), asked, flags)?;
    let core = if after.is_some() { [0, 0] } else { UNREGISTERED };
    UserAddress(area).write(&core)?;
    // Flags, node and the number of the core within the process.
    UserAddress(area + FLAGS).write(&[0u32; 3])?;
    *me.rseq.lock() = after;
    Ok(())
}

/// The running thread was interrupted where `trap` says: if that is in its critical section, it goes on elsewhere.
/// What cannot be read or makes no sense is a SIGSEGV, as on Linux.
#[inline]
pub(crate) fn interrupted(trap: &mut TrapFrame) {
    // Not matched under the lock: what a critical section asks for may fault.
    let registration = *current().rseq.lock();
    if let Some(registration) = registration {
        interrupted_in(registration, trap);
    }
}

#[cold]
fn interrupted_in(registration: Registration, trap: &mut TrapFrame) {
    match redirect(registration, trap.rip) {
        Ok(rip) => trap.rip = rip,
        Err(_) => signal::post_fault(SignalInfo::kernel(SIGSEGV)),
    }
}

/// Where a thread interrupted at `rip` goes on.
fn redirect(registration: Registration, rip: u64) -> Result<u64> {
    let pointer = UserAddress(registration.area + SECTION);
    let address: u64 = pointer.read()?;
    if address == 0 {
        return Ok(rip);
    }
    let section = Section::decode(UserAddress(address).read()?)?;
    if section.code.contains(&rip) {
        let signature: u32 = UserAddress(section.abort - SIGNATURE_SIZE).read()?;
        if signature != registration.signature {
            return Err(Errno::EINVAL);
        }
    }
    pointer.write(&0u64)?;
    Ok(if section.code.contains(&rip) { section.abort } else { rip })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Registration = Registration { area: 0x1000, length: AREA_SIZE, signature: 7 };

    #[test]
    fn registrations_are_checked_as_on_linux() {
        assert_eq!(decide(None, AREA, 0), Ok(Some(AREA)));
        assert_eq!(decide(Some(AREA), AREA, 0), Err(Errno::EBUSY));
        assert_eq!(decide(Some(AREA), AREA, FLAG_UNREGISTER), Ok(None));
        assert_eq!(decide(None, AREA, FLAG_UNREGISTER), Err(Errno::EINVAL));
        assert_eq!(decide(None, AREA, 2), Err(Errno::EINVAL));
        for bad in [Registration { area: 0x1008, ..AREA }, Registration { length: 31, ..AREA }] {
            assert_eq!(decide(None, bad, 0), Err(Errno::EINVAL));
            assert_eq!(decide(Some(AREA), bad, 0), Err(Errno::EINVAL));
            assert_eq!(decide(Some(AREA), bad, FLAG_UNREGISTER), Err(Errno::EINVAL));
        }
        let other = Registration { signature: 8, ..AREA };
        assert_eq!(decide(Some(AREA), other, 0), Err(Errno::EPERM));
        assert_eq!(decide(Some(AREA), other, FLAG_UNREGISTER), Err(Errno::EPERM));
        let beyond = Registration { area: PROGRAM_END, ..AREA };
        assert_eq!(decide(None, beyond, 0), Err(Errno::EFAULT));
    }

    #[test]
    fn sections_are_checked() {
        let section = Section::decode([5 << 32, 0x2000, 0x10, 0x3000]);
        assert_eq!(section, Ok(Section { code: 0x2000..0x2010, abort: 0x3000 }));
        for bad in [
            [1, 0x2000, 0x10, 0x3000],
            [0, 0x2000, 0x10, 0x2008],
            [0, 0x2000, u64::MAX, 0x3000],
            [0, 0x2000, 0x10, PROGRAM_END],
            [0, PROGRAM_END, 0x10, 0x3000],
            [0, 0x2000, 0x10, 3],
        ] {
            assert_eq!(Section::decode(bad), Err(Errno::EINVAL), "{bad:x?}");
        }
    }
}
