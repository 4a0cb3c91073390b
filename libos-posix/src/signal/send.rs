//! Sending signals.
use super::info::{Origin, SignalInfo, code};
use super::set::{self, DefaultAction, SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, Signal, SignalSet};
use super::{Action, AltStack, SA_NOCLDSTOP, SA_NOCLDWAIT};
use crate::process::{self, ExitStatus, Phase, Process, Report};
use crate::sched::{Thread, current};
use crate::{Errno, Result};
use alloc::sync::Arc;

/// Sends a signal to a process.
///
/// # Errors
/// `EAGAIN` if a queue of real-time signals is full.
pub fn send(process: &Arc<Process>, info: SignalInfo) -> Result<()> {
    let signal = info.signal;
    prepare(process, signal);
    let state = process.state.lock();
    let willing = |thread: &&Arc<Thread>| !thread.signals.lock().mask.has(signal);
    let taker = state.threads.iter().find(willing);
    {
        let mut signals = process.signals.lock();
        // An ignored signal that some thread masks may be handled later, so it waits.
        let ignored = signals.action(signal).ignores(signal);
        if ignored && state.threads.iter().all(|thread| willing(&thread)) {
            return Ok(());
        }
        if !signals.pending.add(info) {
            return Err(Errno::EAGAIN);
        }
    }
    if signal == SIGKILL {
        state.threads.iter().for_each(|thread| thread.interrupt());
    } else if let Some(thread) = taker {
        thread.interrupt();
    }
    Ok(())
}

/// Sends a signal to one thread.
///
/// # Errors
/// As `send`.
pub fn send_to_thread(thread: &Arc<Thread>, info: SignalInfo) -> Result<()> {
    prepare(&thread.process, info.signal);
    {
        let process = thread.process.signals.lock();
        let mut signals = thread.signals.lock();
        let masked = signals.mask.has(info.signal);
        if process.action(info.signal).ignores(info.signal) && !masked {
            return Ok(());
        }
        if !signals.pending.add(info) {
            return Err(Errno::EAGAIN);
        }
    }
    thread.interrupt();
    Ok(())
}

/// Sends a signal to each member of a process group; answers how many there are.
pub fn send_to_group(group: u32, info: SignalInfo) -> usize {
    let members = process::find_group(group);
    for member in &members {
        let _ = send(member, info.clone());
    }
    members.len()
}

/// Sends the running thread a signal of the kernel's.
pub fn raise(signal: Signal) {
    let _ = send_to_thread(&current().arc(), SignalInfo::kernel(signal));
}

/// A signal for what an instruction did. It is delivered even if masked or ignored: then it kills, as on Linux.
pub fn post_fault(info: SignalInfo) {
    let me = current();
    let mut process = me.process.signals.lock();
    let mut signals = me.signals.lock();
    let is_masked = signals.mask.has(info.signal);
    if is_masked || process.action(info.signal).handler == Action::IGNORE {
        *process.action_mut(info.signal) = Action::default();
        signals.mask = signals.mask.without(SignalSet::of(info.signal));
    }
    signals.pending.add(info);
    me.request_work();
}

/// Sends the running thread's process a signal from itself, where that is simple: one thread, which does not mask it. False
/// if it is not.
#[inline]
pub(crate) fn send_to_self(signal: Signal, code: i32) -> bool {
    let me = current();
    let state = me.process.state.lock();
    if UNDOING.has(signal) || state.threads.len() != 1 || me.signals.lock().mask.has(signal) {
        return false;
    }
    let mut signals = me.process.signals.lock();
    if !signals.action(signal).is_handled() || !signals.pending.set().is_empty() {
        return false;
    }
    let info = SignalInfo::from_process(signal, code, me.process.pid, state.credentials.uid);
    signals.pending.add(info);
    me.request_work();
    true
}

/// Signals that undo others before they are looked at.
const UNDOING: SignalSet =
    SignalSet::STOPS.with(SignalSet::of(SIGCONT)).with(SignalSet::of(SIGKILL));

/// What a signal undoes before it is looked at: stops and SIGCONT cancel each other, SIGCONT and SIGKILL continue.
#[inline]
fn prepare(process: &Arc<Process>, signal: Signal) {
    if UNDOING.has(signal) {
        undo(process, signal);
    }
}

#[cold]
fn undo(process: &Arc<Process>, signal: Signal) {
    let stops = set::default_action(signal) == DefaultAction::Stop;
    if stops {
        discard(process, SignalSet::of(SIGCONT));
    }
    if signal == SIGCONT {
        discard(process, SignalSet::STOPS);
    }
    if signal == SIGCONT || signal == SIGKILL {
        resume(process, signal == SIGCONT);
    }
}

fn discard(process: &Arc<Process>, unwanted: SignalSet) {
    let threads = process.state.lock().threads.clone();
    process.signals.lock().pending.discard(unwanted);
    threads.iter().for_each(|thread| thread.signals.lock().pending.discard(unwanted));
}

/// Continues a stopped process.
fn resume(process: &Arc<Process>, report: bool) {
    {
        let mut state = process.state.lock();
        if state.phase != Phase::Stopped {
            return;
        }
        state.phase = Phase::Running;
        if report {
            state.report = Some(Report::Continued);
        }
    }
    process.changed.wake();
    if report {
        notify_parent(process, code::CHILD_CONTINUED, SIGCONT as i32);
    }
}

/// Tells the parent of a change of its child: SIGCHLD and a wake of its `wait`. Answers whether the child is
/// to vanish without being waited for.
pub fn notify_parent(child: &Arc<Process>, change: i32, status: i32) -> bool {
    let (parent, exit_signal, uid) = {
        let state = child.state.lock();
        (state.parent.upgrade(), state.exit_signal, state.credentials.uid)
    };
    let Some(parent) = parent else { return true };
    let ended = matches!(change, code::CHILD_EXITED | code::CHILD_KILLED | code::CHILD_DUMPED);
    let signal = if ended { exit_signal } else { SIGCHLD };
    let action = *parent.signals.lock().action(SIGCHLD);
    let vanishes = ended
        && signal == SIGCHLD
        && (action.handler == Action::IGNORE || action.flags & SA_NOCLDWAIT != 0);
    let quiet = !ended && action.flags & SA_NOCLDSTOP != 0;
    if signal != 0 && !quiet {
        let user_ticks = child.cpu_ns() / crate::process::NS_PER_TICK;
        let origin = Origin::Child { pid: child.pid, uid, status, user_ticks };
        let _ = send(&parent, SignalInfo { signal, code: change, origin });
    }
    parent.changed.wake();
    vanishes
}

/// How the end of a process is told: code and status for `siginfo_t`.
#[must_use]
pub(crate) fn describe_exit(status: ExitStatus) -> (i32, i32) {
    match status {
        ExitStatus::Exited(code) => (code::CHILD_EXITED, i32::from(code)),
        ExitStatus::Signalled { signal, core: false } => (code::CHILD_KILLED, signal as i32),
        ExitStatus::Signalled { signal, core: true } => (code::CHILD_DUMPED, signal as i32),
    }
}

/// Sets the running thread's mask; answers the old one. What it lets through is delivered on the way out.
pub fn set_mask(mask: SignalSet) -> SignalSet {
    let stack = current().signals.lock().alt_stack;
    set_mask_and_stack(mask, stack)
}

/// The same, and its alternate stack.
#[inline]
pub(super) fn set_mask_and_stack(mask: SignalSet, stack: AltStack) -> SignalSet {
    let me = current();
    let (old, mine) = {
        let mut signals = me.signals.lock();
        signals.alt_stack = stack;
        let old = core::mem::replace(&mut signals.mask, mask.without(SignalSet::UNBLOCKABLE));
        (old, signals.pending.set())
    };
    let let_through = old.without(mask);
    if !let_through.is_empty() {
        let waiting = mine.with(me.process.signals.lock().pending.set());
        if !waiting.and(let_through).is_empty() {
            me.arc().interrupt();
        }
    }
    old
}

/// Stops the running thread's process until it is continued or killed.
pub(super) fn stop(signal: Signal) {
    let process = current().process.clone();
    {
        let mut state = process.state.lock();
        if state.phase != Phase::Running {
            return;
        }
        state.phase = Phase::Stopped;
        state.report = Some(Report::Stopped(signal));
        state.threads.iter().for_each(|thread| thread.interrupt());
    }
    notify_parent(&process, code::CHILD_STOPPED, signal as i32);
    wait_while_stopped();
}

/// Every thread of a stopped process waits here on its way out.
pub(super) fn wait_while_stopped() {
    let process = current().process.clone();
    crate::sched::wait(|waker| {
        process.changed.register(waker);
        (process.state.lock().phase != Phase::Stopped).then_some(())
    });
}

/// Whether a process may send a signal to another (kill(2)).
///
/// # Errors
/// `EPERM`.
pub(crate) fn check_permission(target: &Arc<Process>, signal: Signal) -> Result<()> {
    let me = current().process.clone();
    if Arc::ptr_eq(&me, target) {
        return Ok(());
    }
    let (mine, my_session) = {
        let state = me.state.lock();
        (state.credentials.clone(), state.session)
    };
    let state = target.state.lock();
    let theirs = &state.credentials;
    let same_user = [mine.uid, mine.euid].iter().any(|id| *id == theirs.uid || *id == theirs.suid);
    if mine.is_privileged() || same_user || (signal == SIGCONT && my_session == state.session) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Whether `signal` is `SIGSTOP` or `SIGKILL`, which no disposition changes.
#[must_use]
pub(crate) const fn is_unblockable(signal: Signal) -> bool {
    signal == SIGKILL || signal == SIGSTOP
}
