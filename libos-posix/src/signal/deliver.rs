//! Delivery: what a thread does about signals on its way back to the program.
use super::frame::{self, AltStack};
use super::info::SignalInfo;
use super::set::{self, DefaultAction, SignalSet};
use super::{Action, SA_NODEFER, SA_RESETHAND, SA_RESTART, report, send};
use crate::Errno;
use crate::process::{self, ExitStatus, Phase};
use crate::raw::entry::TrapFrame;
use crate::sched::{Thread, current};
use core::sync::atomic::Ordering;

/// Length of the `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;

/// What a call that a signal interrupted asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// The call is over.
    No,
    /// Start again unless a handler without `SA_RESTART` ran.
    Unless,
    /// Start again unless a handler ran.
    UnlessHandled,
}

impl Restart {
    fn of(result: Option<i64>) -> Self {
        match result {
            Some(value) if value == Errno::RESTART.to_register() => Self::Unless,
            Some(value) if value == Errno::RESTART_NO_HANDLER.to_register() => Self::UnlessHandled,
            _ => Self::No,
        }
    }
}

/// The work on the way out, asked for by `Thread::interrupt`. `result` is that of a system call, which is not
/// in the frame yet; there rax has still the call's number.
pub fn exit_work(trap: &mut TrapFrame, result: Option<i64>) {
    let mut restart = Restart::of(result);
    let number = trap.rax;
    if let Some(result) = result {
        trap.rax = result as u64;
    }
    loop {
        let was_handled = deliver_all(trap, number, &mut restart);
        if restart != Restart::No {
            settle(trap, number, true);
            restart = Restart::No;
        }
        // What brings back a mask that was set for a wait is the end of a handler, if there is one.
        if !was_handled {
            restore_mask();
        }
        if !current().has_work() {
            break;
        }
    }
}

/// Delivers what waits now. Answers whether a handler is to run.
fn deliver_all(trap: &mut TrapFrame, number: u64, restart: &mut Restart) -> bool {
    let mut was_handled = false;
    loop {
        let me = current();
        me.clear_work();
        if !goes_on(&me) {
            continue;
        }
        let Some(next) = next_signal() else { return was_handled };
        crate::syscall::trace_signal(&next.info);
        if !next.action.is_handled() {
            act_by_default(trap, &next.info);
            continue;
        }
        if *restart != Restart::No {
            settle(
                trap,
                number,
                *restart == Restart::Unless && next.action.flags & SA_RESTART != 0,
            );
            *restart = Restart::No;
        }
        process::rseq::interrupted(trap);
        // Whatever sleeps next is another sleep.
        me.sleep_deadline_ns.store(0, Ordering::Relaxed);
        let Next { info, action, mask, alt_stack, is_last } = &next;
        if frame::push(trap, info, action, *mask, *alt_stack).is_err() {
            process::terminate(ExitStatus::Signalled { signal: set::SIGSEGV, core: true });
        }
        was_handled = true;
        if *is_last && !me.has_work() {
            return true;
        }
    }
}

/// Whether the thread's process runs. If it stopped, waits until it is continued; if the thread is to end, ends it.
#[inline]
fn goes_on(me: &Thread) -> bool {
    let (phase, executing) = {
        let state = me.process.state.lock();
        (state.phase, state.executing)
    };
    match phase {
        // Another thread runs `execve`.
        Phase::Running if executing.is_some_and(|tid| tid != me.tid) => process::exit_thread(),
        Phase::Running => true,
        Phase::Stopped => {
            send::wait_while_stopped();
            false
        }
        Phase::Exiting(_) | Phase::Zombie(_) => process::exit_thread(),
    }
}

/// Lets an interrupted call start again, or fail with EINTR.
fn settle(trap: &mut TrapFrame, number: u64, again: bool) {
    if again {
        trap.rax = number;
        trap.rip -= SYSCALL_LENGTH;
    } else {
        trap.rax = Errno::EINTR.to_register() as u64;
    }
}

/// A signal that does something.
struct Next {
    info: SignalInfo,
    /// Its disposition.
    action: Action,
    /// The mask that the handler's end brings back.
    mask: SignalSet,
    alt_stack: AltStack,
    /// Whether nothing more waits that may be delivered now.
    is_last: bool,
}

/// Takes the next signal that does something. For one that is handled the handler's mask is set.
#[inline(always)]
fn next_signal() -> Option<Next> {
    let me = current();
    let mut process = me.process.signals.lock();
    let mut signals = me.signals.lock();
    loop {
        let wanted = SignalSet(u64::MAX).without(signals.mask);
        let info = signals.pending.take(wanted).or_else(|| process.pending.take(wanted))?;
        let action = *process.action(info.signal);
        if action.ignores(info.signal) {
            continue;
        }
        let mut mask = signals.mask;
        if action.is_handled() {
            if action.flags & SA_RESETHAND != 0 {
                process.action_mut(info.signal).handler = Action::DEFAULT;
            }
            let mut during = mask.with(action.mask);
            if action.flags & SA_NODEFER == 0 {
                during = during.with(SignalSet::of(info.signal));
            }
            signals.mask = during.without(SignalSet::UNBLOCKABLE);
            mask = signals.saved_mask.take().unwrap_or(mask);
        }
        let waiting = signals.pending.set().with(process.pending.set());
        let is_last = waiting.without(signals.mask).is_empty();
        return Some(Next { info, action, mask, alt_stack: signals.alt_stack, is_last });
    }
}

fn act_by_default(trap: &TrapFrame, info: &SignalInfo) {
    let signal = info.signal;
    match set::default_action(signal) {
        DefaultAction::Terminate => {
            process::terminate(ExitStatus::Signalled { signal, core: false });
        }
        DefaultAction::Core => {
            report::fatal(trap, info);
            process::terminate(ExitStatus::Signalled { signal, core: true });
        }
        DefaultAction::Stop => {
            if signal == set::SIGSTOP || !is_orphaned() {
                send::stop(signal);
            }
        }
        DefaultAction::Ignore | DefaultAction::Continue => {}
    }
}

/// Whether nobody outside the group could continue it: then terminal stops are ignored (POSIX).
fn is_orphaned() -> bool {
    let (group, session) = {
        let me = current();
        let state = me.process.state.lock();
        (state.group, state.session)
    };
    process::is_orphaned(group, session, None)
}

/// After a wait with a temporary mask that no handler ended.
fn restore_mask() {
    let me = current();
    let saved = me.signals.lock().saved_mask.take();
    if let Some(mask) = saved {
        super::set_mask(mask);
    }
}
