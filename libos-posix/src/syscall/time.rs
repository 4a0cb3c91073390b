//! Calls about time.
use crate::memory::{UserAddress, vdso};
use crate::process::{NS_PER_TICK, current_process};
use crate::raw::kernel;
use crate::sched::{WaitError, current, sleep_until};
use crate::{Errno, Result};
use core::sync::atomic::{AtomicI64, Ordering};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{__kernel_old_timeval as Timeval, __kernel_timespec as Timespec};

const NS_PER_SECOND: u64 = 1_000_000_000;
/// What `settimeofday` moved the clock by.
static OFFSET_NS: AtomicI64 = AtomicI64::new(0);

/// Nanoseconds since 1970.
pub(super) fn real_ns() -> u64 {
    let ns = kernel::info().epoch_ns.wrapping_add(kernel::now_ns());
    ns.wrapping_add_signed(OFFSET_NS.load(Ordering::Relaxed))
}

/// Nanoseconds of a time that a program gave.
///
/// # Errors
/// `EINVAL` if it is not normalised or negative.
pub(super) fn from_timespec(time: &Timespec) -> Result<u64> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    let rest = u64::try_from(time.tv_nsec).map_err(|_| Errno::EINVAL)?;
    if rest >= NS_PER_SECOND {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(NS_PER_SECOND).saturating_add(rest))
}

fn to_timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / NS_PER_SECOND) as i64, tv_nsec: (ns % NS_PER_SECOND) as i64 }
}

fn from_timeval(time: &Timeval) -> Result<u64> {
    let nanoseconds = time.tv_usec.checked_mul(1000).ok_or(Errno::EINVAL)?;
    from_timespec(&Timespec { tv_sec: time.tv_sec, tv_nsec: nanoseconds })
}

fn to_timeval(ns: u64) -> Timeval {
    Timeval { tv_sec: (ns / NS_PER_SECOND) as i64, tv_usec: (ns % NS_PER_SECOND / 1000) as i64 }
}

/// What a clock shows.
fn clock(number: u32) -> Result<u64> {
    Ok(match number {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_TAI => real_ns(),
        linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_BOOTTIME => kernel::now_ns(),
        linux::CLOCK_PROCESS_CPUTIME_ID => current_process().cpu_ns(),
        linux::CLOCK_THREAD_CPUTIME_ID => current().cpu_ns(),
        _ => return Err(Errno::EINVAL),
    })
}

pub(super) fn clock_gettime(number: u32, time: UserAddress) -> Result<()> {
    time.write(&to_timespec(clock(number)?))
}

pub(super) fn clock_getres(number: u32, resolution: UserAddress) -> Result<()> {
    clock(number)?;
    let coarse = [linux::CLOCK_REALTIME_COARSE, linux::CLOCK_MONOTONIC_COARSE].contains(&number);
    match resolution.optional() {
        Some(address) => address.write(&to_timespec(if coarse { NS_PER_TICK } else { 1 })),
        None => Ok(()),
    }
}

fn set_real(wanted_ns: u64) -> Result<()> {
    if !current_process().state.lock().credentials.is_privileged() {
        return Err(Errno::EPERM);
    }
    OFFSET_NS.fetch_add(wanted_ns.wrapping_sub(real_ns()) as i64, Ordering::Relaxed);
    let offset = OFFSET_NS.load(Ordering::Relaxed);
    vdso::set_epoch(kernel::info().epoch_ns.wrapping_add_signed(offset));
    Ok(())
}

pub(super) fn clock_settime(number: u32, time: UserAddress) -> Result<()> {
    let wanted = from_timespec(&time.read()?)?;
    if number == linux::CLOCK_REALTIME { set_real(wanted) } else { Err(Errno::EINVAL) }
}

pub(super) fn gettimeofday(time: UserAddress, zone: UserAddress) -> Result<()> {
    if let Some(time) = time.optional() {
        time.write(&to_timeval(real_ns()))?;
    }
    match zone.optional() {
        Some(zone) => zone.write(&[0u32; 2]),
        None => Ok(()),
    }
}

pub(super) fn settimeofday(time: UserAddress, _zone: UserAddress) -> Result<()> {
    match time.optional() {
        Some(time) => set_real(from_timeval(&time.read()?)?),
        None => Ok(()),
    }
}

pub(super) fn time(address: UserAddress) -> Result<u64> {
    let seconds = real_ns() / NS_PER_SECOND;
    if let Some(address) = address.optional() {
        address.write(&seconds)?;
    }
    Ok(seconds)
}

pub(super) fn nanosleep(wanted: UserAddress, rest: UserAddress) -> Result<()> {
    sleep(from_timespec(&wanted.read()?)?, rest)
}

/// Sleeps so long, or until the time that was set before a signal without a handler interrupted the sleep.
fn sleep(wanted_ns: u64, rest: UserAddress) -> Result<()> {
    let deadline_ns = match current().sleep_deadline_ns.swap(0, Ordering::Relaxed) {
        0 => kernel::now_ns().saturating_add(wanted_ns),
        deadline_ns => deadline_ns,
    };
    match sleep_until(deadline_ns) {
        Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        Err(WaitError::Interrupted) => {
            if let Some(rest) = rest.optional() {
                rest.write(&to_timespec(deadline_ns.saturating_sub(kernel::now_ns())))?;
            }
            current().sleep_deadline_ns.store(deadline_ns, Ordering::Relaxed);
            Err(Errno::RESTART_NO_HANDLER)
        }
    }
}

pub(super) fn clock_nanosleep(
    number: u32,
    flags: u32,
    wanted: UserAddress,
    rest: UserAddress,
) -> Result<()> {
    let wanted = from_timespec(&wanted.read()?)?;
    let now = match number {
        linux::CLOCK_THREAD_CPUTIME_ID => return Err(Errno::EINVAL),
        linux::CLOCK_PROCESS_CPUTIME_ID => return Err(Errno::EOPNOTSUPP),
        _ => clock(number)?,
    };
    if flags & linux::TIMER_ABSTIME == 0 {
        return sleep(wanted, rest);
    }
    let deadline = kernel::now_ns().saturating_add(wanted.saturating_sub(now));
    sleep_until(deadline).map_err(|_| Errno::RESTART_NO_HANDLER)
}

pub(super) fn alarm(seconds: u32) -> Result<u64> {
    let (_, rest) = current_process().set_timer(0, u64::from(seconds) * NS_PER_SECOND, 0);
    // At least one second while it runs.
    Ok(rest.div_ceil(NS_PER_SECOND))
}

fn write_timer(address: UserAddress, interval_ns: u64, rest_ns: u64) -> Result<()> {
    let (interval, rest) = (to_timeval(interval_ns), to_timeval(rest_ns));
    address.write(&[interval.tv_sec, interval.tv_usec, rest.tv_sec, rest.tv_usec])
}

pub(super) fn setitimer(which: u32, new: UserAddress, old: UserAddress) -> Result<()> {
    if which > 2 {
        return Err(Errno::EINVAL);
    }
    let (interval, value) = match new.optional() {
        None => (0, 0),
        Some(new) => {
            let [a, b, c, d]: [i64; 4] = new.read()?;
            let ns = |seconds, micros| from_timeval(&Timeval { tv_sec: seconds, tv_usec: micros });
            (ns(a, b)?, ns(c, d)?)
        }
    };
    let (timer, rest) = current_process().set_timer(which as usize, value, interval);
    match old.optional() {
        Some(old) => write_timer(old, timer.interval_ns, rest),
        None => Ok(()),
    }
}

pub(super) fn getitimer(which: u32, value: UserAddress) -> Result<()> {
    if which > 2 {
        return Err(Errno::EINVAL);
    }
    let (timer, rest) = current_process().timer(which as usize);
    write_timer(value, timer.interval_ns, rest)
}

/// When a relative timeout in program memory ends; `None` for a null pointer.
pub(super) fn deadline_in(timeout: UserAddress) -> Result<Option<u64>> {
    let Some(timeout) = timeout.optional() else { return Ok(None) };
    let wanted = from_timespec(&timeout.read()?)?;
    Ok(Some(kernel::now_ns().saturating_add(wanted)))
}

/// When an absolute time of a clock is reached.
pub(super) fn deadline_at(timeout: UserAddress, is_real: bool) -> Result<Option<u64>> {
    let Some(timeout) = timeout.optional() else { return Ok(None) };
    let wanted = from_timespec(&timeout.read()?)?;
    let now = if is_real { real_ns() } else { kernel::now_ns() };
    Ok(Some(kernel::now_ns().saturating_add(wanted.saturating_sub(now))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_must_be_normalised() {
        let time = |tv_sec, tv_nsec| from_timespec(&Timespec { tv_sec, tv_nsec });
        assert_eq!(time(1, 5), Ok(1_000_000_005));
        assert_eq!(time(1, 1_000_000_000), Err(Errno::EINVAL));
        assert_eq!(time(-1, 0), Err(Errno::EINVAL));
        assert_eq!(time(i64::MAX, 0), Ok(u64::MAX));
        assert_eq!(to_timeval(1_500_000_999).tv_usec, 500_000);
    }
}
