//! Waiting for children.
use super::{ExitStatus, Phase, Process, Report, current_process, exit};
use crate::sched;
use crate::{Errno, Result};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Which children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any.
    Any,
    /// The one with this number.
    Process(u32),
    /// Those of this group.
    Group(u32),
}

/// What to wait for.
#[derive(Clone, Copy, Debug)]
pub struct WaitRequest {
    /// Which children.
    pub target: WaitTarget,
    /// Ended ones count.
    pub ended: bool,
    /// Stopped ones count.
    pub stopped: bool,
    /// Continued ones count.
    pub continued: bool,
    /// Do not wait.
    pub no_hang: bool,
    /// Leave what is found to be waited for again.
    pub keep: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// The child.
    pub pid: u32,
    /// Its real user.
    pub uid: u32,
    /// What happened to it.
    pub event: WaitEvent,
    /// CPU time of it and of its children that it waited for, in nanoseconds.
    pub cpu_ns: u64,
}

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEvent {
    /// It ended.
    Ended(ExitStatus),
    /// It was stopped or continued.
    Report(Report),
}

impl WaitEvent {
    /// As `wait4` stores it.
    #[must_use]
    pub const fn to_status(self) -> i32 {
        match self {
            Self::Ended(status) => status.to_wait_status(),
            Self::Report(Report::Stopped(signal)) => (signal as i32) << 8 | 0x7f,
            Self::Report(Report::Continued) => 0xffff,
        }
    }
}

/// Waits for a child; `None` if there is nothing to tell and `no_hang`.
///
/// # Errors
/// `ECHILD` if no child is meant, `RESTART` if a signal came.
pub fn wait_for_child(request: &WaitRequest) -> Result<Option<Waited>> {
    let me = current_process().clone();
    sched::wait_interruptible(|waker| {
        me.changed.register(waker);
        match look(&me, request) {
            Ok(None) if !request.no_hang => None,
            outcome => Some(outcome),
        }
    })?
}

fn look(me: &Arc<Process>, request: &WaitRequest) -> Result<Option<Waited>> {
    let children = me.state.lock().children.clone();
    let mut any = false;
    for child in &children {
        if !matches(child, request.target) {
            continue;
        }
        any = true;
        if let Some(event) = event_of(child, request) {
            let waited = take(me, child, event, request.keep);
            return Ok(Some(waited));
        }
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

fn matches(child: &Process, target: WaitTarget) -> bool {
    match target {
        WaitTarget::Any => true,
        WaitTarget::Process(pid) => child.pid == pid,
        WaitTarget::Group(group) => child.state.lock().group == group,
    }
}

fn event_of(child: &Process, request: &WaitRequest) -> Option<WaitEvent> {
    let mut state = child.state.lock();
    if let Phase::Zombie(status) = state.phase {
        return request.ended.then_some(WaitEvent::Ended(status));
    }
    let report = state.report?;
    let wanted = match report {
        Report::Stopped(_) => request.stopped,
        Report::Continued => request.continued,
    };
    if wanted && !request.keep {
        state.report = None;
    }
    wanted.then_some(WaitEvent::Report(report))
}

fn take(me: &Arc<Process>, child: &Arc<Process>, event: WaitEvent, keep: bool) -> Waited {
    let cpu_ns = child.cpu_ns() + child.children_ns.load(Ordering::Relaxed);
    let uid = child.state.lock().credentials.uid;
    if matches!(event, WaitEvent::Ended(_)) && !keep {
        me.children_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        exit::bury(child);
    }
    Waited { pid: child.pid, uid, event, cpu_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_wait() {
        let exited = WaitEvent::Ended(ExitStatus::Exited(7));
        let killed = WaitEvent::Ended(ExitStatus::Signalled { signal: 9, core: false });
        let dumped = WaitEvent::Ended(ExitStatus::Signalled { signal: 11, core: true });
        assert_eq!(exited.to_status(), 0x700);
        assert_eq!(killed.to_status(), 9);
        assert_eq!(dumped.to_status(), 0x8b);
        assert_eq!(WaitEvent::Report(Report::Stopped(19)).to_status(), 0x137f);
        assert_eq!(ExitStatus::Signalled { signal: 11, core: true }.to_shell_status(), 139);
    }
}
