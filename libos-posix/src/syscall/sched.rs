//! Calls about scheduling, and futexes.
use super::time;
use crate::memory::UserAddress;
use crate::process::{self, current_process};
use crate::raw::user;
use crate::sched::{self, futex};
use crate::{Errno, Result};
use linux_raw_sys::general as linux;

const SCHED_OTHER: u32 = 0;
const SCHED_IDLE: u32 = 5;

pub(super) fn sched_yield() -> Result<()> {
    sched::yield_now();
    Ok(())
}

fn check_thread(pid: u32) -> Result<()> {
    if pid == 0 { Ok(()) } else { process::find_thread(pid).map(drop) }
}

/// One core runs the session so far.
pub(super) fn sched_getaffinity(pid: u32, size: usize, mask: UserAddress) -> Result<usize> {
    check_thread(pid)?;
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    mask.write(&1u64)?;
    Ok(8)
}

pub(super) fn sched_setaffinity(pid: u32, size: usize, mask: UserAddress) -> Result<()> {
    check_thread(pid)?;
    let mut word = [0; 8];
    mask.read_bytes(&mut word[..size.min(8)])?;
    if word[0] & 1 == 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

pub(super) fn sched_getparam(pid: u32, parameters: UserAddress) -> Result<()> {
    check_thread(pid)?;
    parameters.write(&0u32)
}

fn check_parameters(policy: u32, parameters: UserAddress) -> Result<()> {
    let priority: i32 = parameters.read()?;
    match policy {
        SCHED_OTHER | 3 | SCHED_IDLE if priority == 0 => Ok(()),
        // The real-time classes need a right that a session does not have.
        1 | 2 if (1..=99).contains(&priority) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sched_setparam(pid: u32, parameters: UserAddress) -> Result<()> {
    check_thread(pid)?;
    check_parameters(SCHED_OTHER, parameters)
}

pub(super) fn sched_getscheduler(pid: u32) -> Result<u32> {
    check_thread(pid)?;
    Ok(SCHED_OTHER)
}

pub(super) fn sched_setscheduler(pid: u32, policy: u32, parameters: UserAddress) -> Result<()> {
    check_thread(pid)?;
    check_parameters(policy, parameters)
}

pub(super) fn sched_get_priority_max(policy: u32) -> Result<u32> {
    match policy {
        1 | 2 => Ok(99),
        SCHED_OTHER | 3 | SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sched_get_priority_min(policy: u32) -> Result<u32> {
    Ok(u32::from(sched_get_priority_max(policy)? != 0))
}

pub(super) fn getcpu(cpu: UserAddress, node: UserAddress, _cache: u64) -> Result<()> {
    for address in [cpu, node].into_iter().filter_map(UserAddress::optional) {
        address.write(&0u32)?;
    }
    Ok(())
}

/// What a `futex` operation is about.
struct Words {
    address: UserAddress,
    value: u32,
    timeout: UserAddress,
    address2: UserAddress,
    value3: u32,
    is_private: bool,
    is_real: bool,
}

impl Words {
    fn key(&self, address: UserAddress) -> Result<futex::Key> {
        futex::key(&current_process().space(), address.0, self.is_private)
    }

    /// The fourth argument is a count for the operations that wait for nothing.
    fn count(&self) -> u32 {
        self.timeout.0 as u32
    }
}

pub(super) fn futex(
    address: UserAddress,
    operation: u32,
    value: u32,
    timeout: UserAddress,
    address2: UserAddress,
    value3: u32,
) -> Result<u32> {
    let is_private = operation & linux::FUTEX_PRIVATE_FLAG != 0;
    let is_real = operation & linux::FUTEX_CLOCK_REALTIME != 0;
    let words = Words { address, value, timeout, address2, value3, is_private, is_real };
    match operation & !(linux::FUTEX_PRIVATE_FLAG | linux::FUTEX_CLOCK_REALTIME) {
        linux::FUTEX_WAIT => wait(&words, time::deadline_in(timeout)?, futex::ANY),
        linux::FUTEX_WAIT_BITSET => wait(&words, time::deadline_at(timeout, is_real)?, value3),
        linux::FUTEX_WAKE => Ok(futex::wake(words.key(address)?, value, futex::ANY)),
        linux::FUTEX_WAKE_BITSET if value3 != 0 => {
            Ok(futex::wake(words.key(address)?, value, value3))
        }
        linux::FUTEX_REQUEUE => requeue(&words),
        linux::FUTEX_CMP_REQUEUE => {
            if address.read::<u32>()? != value3 {
                return Err(Errno::EAGAIN);
            }
            requeue(&words)
        }
        linux::FUTEX_WAKE_OP => wake_op(&words),
        linux::FUTEX_WAKE_BITSET => Err(Errno::EINVAL),
        _ => Err(Errno::ENOSYS),
    }
}

fn wait(words: &Words, deadline_ns: Option<u64>, bits: u32) -> Result<u32> {
    if bits == 0 || (words.is_real && words.value3 == 0 && bits != futex::ANY) {
        return Err(Errno::EINVAL);
    }
    let key = words.key(words.address)?;
    futex::wait(key, words.address.0, words.value, bits, deadline_ns)?;
    Ok(0)
}

fn requeue(words: &Words) -> Result<u32> {
    let (from, to) = (words.key(words.address)?, words.key(words.address2)?);
    let (woken, moved) = futex::requeue(from, to, words.value, words.count());
    Ok(woken + moved)
}

/// `FUTEX_WAKE_OP`: changes the second word and wakes those of it if its old value compares.
fn wake_op(words: &Words) -> Result<u32> {
    let (first, second) = (words.key(words.address)?, words.key(words.address2)?);
    let code = words.value3;
    let sign_extend = |bits: u32| ((bits << 20) as i32 >> 20) as u32;
    let (operand, compare) = (sign_extend(code >> 12 & 0xfff), sign_extend(code & 0xfff));
    let operand = if code >> 31 != 0 { 1 << (operand & 31) } else { operand };
    let old = change(words.address2, code >> 28 & 7, operand)?;
    let matches = match code >> 24 & 0xf {
        0 => old == compare,
        1 => old != compare,
        2 => (old as i32) < compare as i32,
        3 => old as i32 <= compare as i32,
        4 => old as i32 > compare as i32,
        5 => old as i32 >= compare as i32,
        _ => return Err(Errno::ENOSYS),
    };
    let mut woken = futex::wake(first, words.value, futex::ANY);
    if matches {
        woken += futex::wake(second, words.count(), futex::ANY);
    }
    Ok(woken)
}

fn change(address: UserAddress, operation: u32, operand: u32) -> Result<u32> {
    let mut old: u32 = address.read()?;
    loop {
        let new = match operation {
            0 => operand,
            1 => old.wrapping_add(operand),
            2 => old | operand,
            3 => old & !operand,
            4 => old ^ operand,
            _ => return Err(Errno::ENOSYS),
        };
        let seen = user::compare_exchange(address.0, old, new).ok_or(Errno::EFAULT)?;
        if seen == old {
            return Ok(old);
        }
        old = seen;
    }
}
