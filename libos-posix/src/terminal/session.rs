//! Sessions and their terminals: who has which, whose turn it is, and what an end means.
use super::Terminal;
use crate::process::{self, Process, current_process};
use crate::sched::current;
use crate::signal::set::{SIGCONT, SIGHUP, SIGTTIN, Signal};
use crate::signal::{self, Action, SignalInfo, send_to_group};
use crate::{Errno, Result};
use alloc::sync::Arc;

/// The running process's terminal.
#[must_use]
pub fn current_terminal() -> Option<Arc<Terminal>> {
    current_process().state.lock().terminal.clone()
}

/// Number, group and session of the running process, and whether it leads the session.
fn me() -> (u32, u32, bool) {
    let process = current_process();
    let state = process.state.lock();
    (state.group, state.session, state.session == process.pid)
}

/// Whether a signal of job control would do nothing to the running thread.
fn is_ignored(signal: Signal) -> bool {
    let thread = current();
    let action = thread.process.signals.lock().action(signal).handler;
    action == Action::IGNORE || thread.signals.lock().mask.has(signal)
}

impl Terminal {
    /// Whether it is the running process's terminal.
    fn is_mine(&self) -> bool {
        current_terminal().is_some_and(|mine| core::ptr::eq(Arc::as_ptr(&mine), self))
    }

    /// Lets only the foreground group do something; others get a signal that stops them.
    ///
    /// # Errors
    /// `RESTART` with the signal sent; `EIO` if it would do nothing and the call may not be made.
    pub(super) fn check_foreground(&self, signal: Signal) -> Result<()> {
        let foreground = self.look(|state| state.foreground);
        let (group, session, _) = me();
        if foreground == 0 || foreground == group || !self.is_mine() {
            return Ok(());
        }
        if is_ignored(signal) {
            return if signal == SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if process::is_orphaned(group, session, None) {
            return Err(Errno::EIO);
        }
        send_to_group(group, SignalInfo::kernel(signal));
        Err(Errno::RESTART)
    }

    /// Makes this the terminal of the running process's session, which it leads.
    fn acquire(self: &Arc<Self>) {
        let (group, session, _) = me();
        self.change(|state| (state.session, state.foreground) = (session, group));
        current_process().state.lock().terminal = Some(self.clone());
    }

    /// Makes it the terminal of the running process's session when it is opened, if that has none and nobody has it.
    pub fn acquire_if_free(self: &Arc<Self>) {
        let (_, _, leads) = me();
        if leads && current_terminal().is_none() && self.look(|state| state.session == 0) {
            self.acquire();
        }
    }

    /// `TIOCSCTTY`: acquires it, with `steal` from another session.
    ///
    /// # Errors
    /// `EPERM`.
    pub(super) fn acquire_asked(self: &Arc<Self>, steal: bool) -> Result<()> {
        let (_, session, leads) = me();
        let owner = self.look(|state| state.session);
        if leads && owner == session {
            return Ok(());
        }
        if !leads || current_terminal().is_some() {
            return Err(Errno::EPERM);
        }
        if owner != 0 {
            let is_privileged = current_process().state.lock().credentials.is_privileged();
            if !steal || !is_privileged {
                return Err(Errno::EPERM);
            }
            forget(owner);
        }
        self.acquire();
        Ok(())
    }

    /// `TIOCNOTTY`: gives it up; with the leader the whole session does.
    ///
    /// # Errors
    /// `ENOTTY` if it is not the process's terminal.
    pub(super) fn give_up(&self) -> Result<()> {
        if !self.is_mine() {
            return Err(Errno::ENOTTY);
        }
        let process = current_process();
        if me().2 {
            leader_leaves(process.pid, self);
        } else {
            process.state.lock().terminal = None;
        }
        Ok(())
    }

    /// The foreground group, for its own session or its master's side.
    pub(super) fn foreground(&self, is_master: bool) -> Result<u32> {
        if !is_master && !self.is_mine() {
            return Err(Errno::ENOTTY);
        }
        Ok(self.look(|state| state.foreground))
    }

    /// `TIOCSPGRP`.
    ///
    /// # Errors
    /// `ENOTTY`, `ESRCH` for no group, `EPERM` for one of another session, `RESTART` in the background.
    pub(super) fn set_foreground(&self, group: i32) -> Result<()> {
        match self.check_foreground(signal::set::SIGTTOU) {
            Err(Errno::EIO) => return Err(Errno::ENOTTY),
            other => other?,
        }
        let (_, session, _) = me();
        if !self.is_mine() || self.look(|state| state.session) != session {
            return Err(Errno::ENOTTY);
        }
        let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
        let members = process::find_group(group);
        if members.is_empty() {
            return Err(Errno::ESRCH);
        }
        if members.iter().any(|member| member.state.lock().session != session) {
            return Err(Errno::EPERM);
        }
        self.change(|state| state.foreground = group);
        Ok(())
    }

    /// The session that has it.
    pub(super) fn owner(&self, is_master: bool) -> Result<u32> {
        let session = self.look(|state| state.session);
        match session {
            0 => Err(Errno::ENOTTY),
            _ if !is_master && !self.is_mine() => Err(Errno::ENOTTY),
            session => Ok(session),
        }
    }
}

/// The processes of a session have no terminal any more.
fn forget(session: u32) {
    for process in process::all() {
        let mut state = process.state.lock();
        let old = if state.session == session { state.terminal.take() } else { None };
        drop(state);
        drop(old);
    }
}

/// A session's terminal was hung up: its leader is told.
pub(super) fn lost(session: u32) {
    forget(session);
    if let Ok(leader) = process::find(session) {
        for signal in [SIGHUP, SIGCONT] {
            // It may be ending already.
            let _ = signal::send(&leader, SignalInfo::kernel(signal));
        }
    }
}

/// The leader of a session ends or gives its terminal up.
fn leader_leaves(session: u32, terminal: &Terminal) {
    let foreground = terminal.change(|state| {
        state.session = 0;
        core::mem::take(&mut state.foreground)
    });
    forget(session);
    if foreground != 0 {
        for signal in [SIGHUP, SIGCONT] {
            send_to_group(foreground, SignalInfo::kernel(signal));
        }
    }
}

/// A process ends. If it leads a session, the session loses its terminal.
pub fn process_ends(process: &Arc<Process>) {
    let terminal = {
        let mut state = process.state.lock();
        if state.session == process.pid { state.terminal.take() } else { None }
    };
    if let Some(terminal) = terminal {
        leader_leaves(process.pid, &terminal);
    }
}
