//! Calls about signals.
use super::time;
use crate::memory::UserAddress;
use crate::process::{self, current_process};
use crate::raw::entry::TrapFrame;
use crate::raw::local;
use crate::sched::{self, WaitError, current};
use crate::signal::info::{INFO_SIZE, code};
use crate::signal::set::SIGNAL_MAX;
use crate::signal::{
    self, Action, AltStack, SA_RESTORER, Signal, SignalInfo, SignalSet, check_permission,
    is_unblockable, send, send_to_thread, set_mask,
};
use crate::{Errno, Result};
use linux_raw_sys::general as linux;

const SET_SIZE: usize = 8;
/// Smallest alternate stack (`MINSIGSTKSZ`).
const STACK_MIN: u64 = 2048;
/// Flags that are kept; the others mean nothing here or to Linux.
const KNOWN_FLAGS: u64 = 0xFC00_0407 | signal::SA_NOCLDWAIT;

fn check_size(size: usize) -> Result<()> {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

fn check_signal(signal: u32) -> Result<Signal> {
    if (1..=SIGNAL_MAX).contains(&signal) { Ok(signal) } else { Err(Errno::EINVAL) }
}

/// As the kernel's `struct sigaction` has it: handler, flags, restorer, mask.
pub(super) fn rt_sigaction(
    number: u32,
    new: UserAddress,
    old: UserAddress,
    size: usize,
) -> Result<()> {
    check_size(size)?;
    let number = check_signal(number)?;
    let wanted = match new.optional() {
        None => None,
        Some(_) if is_unblockable(number) => return Err(Errno::EINVAL),
        Some(new) => Some(new.read::<[u64; 4]>()?),
    };
    let process = current_process();
    let before = *process.signals.lock().action(number);
    if let Some([handler, flags, restorer, mask]) = wanted {
        let mask = SignalSet(mask).without(SignalSet::UNBLOCKABLE);
        let restorer = if flags & SA_RESTORER != 0 { restorer } else { 0 };
        let action = Action { handler, flags: flags & KNOWN_FLAGS, restorer, mask };
        *process.signals.lock().action_mut(number) = action;
        if action.ignores(number) {
            forget(number);
        }
    }
    match old.optional() {
        Some(old) => old.write(&[before.handler, before.flags, before.restorer, before.mask.0]),
        None => Ok(()),
    }
}

/// What becomes ignored does not wait any longer (POSIX).
fn forget(number: Signal) {
    let process = current_process();
    let threads = process.state.lock().threads.clone();
    process.signals.lock().pending.discard_one(number);
    threads.iter().for_each(|thread| thread.signals.lock().pending.discard_one(number));
}

pub(super) fn rt_sigprocmask(
    how: u32,
    new: UserAddress,
    old: UserAddress,
    size: usize,
) -> Result<()> {
    check_size(size)?;
    let before = current().signals.lock().mask;
    if let Some(new) = new.optional() {
        let set = SignalSet(new.read()?);
        set_mask(match how {
            linux::SIG_BLOCK => before.with(set),
            linux::SIG_UNBLOCK => before.without(set),
            linux::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        });
    }
    match old.optional() {
        Some(old) => old.write(&before.0),
        None => Ok(()),
    }
}

fn pending() -> SignalSet {
    let me = current();
    let process = me.process.signals.lock().pending.set();
    process.with(me.signals.lock().pending.set())
}

pub(super) fn rt_sigpending(set: UserAddress, size: usize) -> Result<()> {
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let blocked = pending().and(current().signals.lock().mask);
    set.write_bytes(&blocked.0.to_le_bytes()[..size])
}

pub(super) fn rt_sigsuspend(mask: UserAddress, size: usize) -> Result<()> {
    check_size(size)?;
    let mask = SignalSet(mask.read()?);
    let before = set_mask(mask);
    current().signals.lock().saved_mask = Some(before);
    pause()
}

pub(super) fn pause() -> Result<()> {
    match sched::wait_until(None, |_| None::<()>) {
        Ok(()) => Ok(()),
        Err(_) => Err(Errno::RESTART_NO_HANDLER),
    }
}

pub(super) fn rt_sigtimedwait(
    set: UserAddress,
    info: UserAddress,
    timeout: UserAddress,
    size: usize,
) -> Result<u32> {
    check_size(size)?;
    let wanted = SignalSet(set.read()?).without(SignalSet::UNBLOCKABLE);
    let deadline = time::deadline_in(timeout)?;
    let me = current();
    // While it waits, those are let through to wake it, and taken before they are delivered.
    let mask = me.signals.lock().mask;
    let taken = {
        me.signals.lock().mask = mask.without(wanted);
        let outcome = sched::wait_until(deadline, |_| take(wanted));
        me.signals.lock().mask = mask;
        outcome.or_else(|error| take(wanted).ok_or(error))
    };
    match taken {
        Ok(found) => {
            if let Some(info) = info.optional() {
                info.write_bytes(&found.to_bytes())?;
            }
            Ok(found.signal)
        }
        Err(WaitError::TimedOut) => Err(Errno::EAGAIN),
        Err(WaitError::Interrupted) => Err(Errno::EINTR),
    }
}

fn take(wanted: SignalSet) -> Option<SignalInfo> {
    let me = current();
    let mut process = me.process.signals.lock();
    let mut signals = me.signals.lock();
    signals.pending.take(wanted).or_else(|| process.pending.take(wanted))
}

fn from_me(number: Signal, code: i32) -> SignalInfo {
    let me = current_process();
    let uid = me.state.lock().credentials.uid;
    SignalInfo::from_process(number, code, me.pid, uid)
}

pub(super) fn kill(pid: i32, number: u32) -> Result<()> {
    if number > SIGNAL_MAX {
        return Err(Errno::EINVAL);
    }
    if pid as u32 == current_process().pid {
        if number != 0 && signal::send_to_self(number, code::USER) {
            return Ok(());
        }
        let me = current_process();
        return if number == 0 { Ok(()) } else { send(&me, from_me(number, code::USER)) };
    }
    let me = current_process().clone();
    let targets = match pid {
        1.. => alloc::vec![process::find(pid as u32)?],
        0 => {
            let group = me.state.lock().group;
            process::find_group(group)
        }
        -1 => process::all().into_iter().filter(|p| p.pid != 1 && p.pid != me.pid).collect(),
        _ => process::find_group(pid.unsigned_abs()),
    };
    if targets.is_empty() {
        return Err(Errno::ESRCH);
    }
    let mut outcome = Err(Errno::EPERM);
    for target in &targets {
        match check_permission(target, number) {
            Ok(()) if number == 0 => outcome = Ok(()),
            Ok(()) => outcome = send(target, from_me(number, code::USER)),
            Err(_) => {}
        }
    }
    outcome
}

fn to_thread(pid: Option<i32>, tid: i32, number: u32, info: SignalInfo) -> Result<()> {
    if tid <= 0 || pid.is_some_and(|pid| pid <= 0) || number > SIGNAL_MAX {
        return Err(Errno::EINVAL);
    }
    let thread = process::find_thread(tid as u32)?;
    if pid.is_some_and(|pid| pid as u32 != thread.process.pid) {
        return Err(Errno::ESRCH);
    }
    check_permission(&thread.process, number)?;
    if number == 0 { Ok(()) } else { send_to_thread(&thread, info) }
}

pub(super) fn tkill(tid: i32, number: u32) -> Result<()> {
    to_thread(None, tid, number, from_me(number, code::THREAD))
}

pub(super) fn tgkill(pid: i32, tid: i32, number: u32) -> Result<()> {
    to_thread(Some(pid), tid, number, from_me(number, code::THREAD))
}

fn read_info(number: u32, info: UserAddress, is_self: bool) -> Result<SignalInfo> {
    let bytes: [u8; INFO_SIZE] = info.read()?;
    let info = SignalInfo::from_bytes(number, &bytes);
    // Nobody but the kernel says that it was the kernel, or `kill`.
    if (info.code >= 0 || info.code == code::THREAD) && !is_self {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

pub(super) fn rt_sigqueueinfo(pid: i32, number: u32, info: UserAddress) -> Result<()> {
    let is_self = pid as u32 == current_process().pid;
    let info = read_info(number, info, is_self)?;
    if number > SIGNAL_MAX {
        return Err(Errno::EINVAL);
    }
    let target = process::find(pid as u32)?;
    check_permission(&target, number)?;
    if number == 0 { Ok(()) } else { send(&target, info) }
}

pub(super) fn rt_tgsigqueueinfo(pid: i32, tid: i32, number: u32, info: UserAddress) -> Result<()> {
    let is_self = pid as u32 == current_process().pid;
    let info = read_info(number, info, is_self)?;
    to_thread(Some(pid), tid, number, info)
}

pub(super) fn sigaltstack(new: UserAddress, old: UserAddress) -> Result<()> {
    let me = current();
    let rsp = local::program_stack_pointer();
    let before = me.signals.lock().alt_stack;
    if let Some(new) = new.optional() {
        let [address, flags, size]: [u64; 3] = new.read()?;
        if before.size > 0 && before.holds(rsp) {
            return Err(Errno::EPERM);
        }
        me.signals.lock().alt_stack = match flags as u32 & 0x7FFF_FFFF {
            signal::DISABLED => AltStack::default(),
            0 | signal::ON_STACK if size < STACK_MIN => return Err(Errno::ENOMEM),
            0 | signal::ON_STACK => AltStack { address, size },
            _ => return Err(Errno::EINVAL),
        };
    }
    match old.optional() {
        Some(old) => old.write(&[before.address, u64::from(before.flags(rsp)), before.size]),
        None => Ok(()),
    }
}

/// As `raw::entry` calls it, for traces, which have the whole frame.
pub(super) extern "sysv64" fn rt_sigreturn(trap: &mut TrapFrame) {
    let rsp = trap.rsp;
    signal::rt_sigreturn(trap, rsp);
}
