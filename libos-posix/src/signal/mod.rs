//! Signals: dispositions, masks, what waits, sending, and delivery on the way back to the program.
//!
//! `set`, `info` and `pending` are pure. A signal is put where it waits by `send` or `send_to_thread`, which wakes
//! the thread that will take it; [`exit_work`] takes it when that thread leaves the libOS. Lock order: process
//! state, process signals, thread signals.
mod deliver;
mod frame;
pub mod info;
mod pending;
pub(crate) mod report;
mod send;
pub mod set;

pub use deliver::exit_work;
pub(crate) use frame::rt_sigreturn;
pub use frame::{AltStack, frame_size};
pub(crate) use frame::{DISABLED, ON_STACK};
pub use info::SignalInfo;
pub use pending::Pending;
pub(crate) use send::{check_permission, describe_exit, is_unblockable, send_to_self};
pub use send::{notify_parent, post_fault, raise, send, send_to_group, send_to_thread, set_mask};
pub use set::{Signal, SignalSet};

use crate::sched::Thread;
use alloc::sync::Arc;
use set::SIGNAL_MAX;

/// Do not tell the parent of stopped children.
pub const SA_NOCLDSTOP: u64 = 0x1;
/// Children leave no zombies.
pub const SA_NOCLDWAIT: u64 = 0x2;
/// The handler takes three arguments.
pub const SA_SIGINFO: u64 = 0x4;
/// The handler runs on the alternate stack.
pub const SA_ONSTACK: u64 = 0x0800_0000;
/// Interrupted calls start again.
pub const SA_RESTART: u64 = 0x1000_0000;
/// The signal is not masked while it is handled.
pub const SA_NODEFER: u64 = 0x4000_0000;
/// The disposition goes back to the default.
pub const SA_RESETHAND: u64 = 0x8000_0000;
/// `restorer` is given.
pub const SA_RESTORER: u64 = 0x0400_0000;

/// What a program wants done with a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// 0 the default, 1 ignore, else the address of the handler.
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Masked while it runs.
    pub mask: SignalSet,
}

impl Action {
    /// The default action.
    pub const DEFAULT: u64 = 0;
    /// Ignore it.
    pub const IGNORE: u64 = 1;

    /// Whether a function handles the signal.
    #[must_use]
    pub const fn is_handled(&self) -> bool {
        self.handler > Self::IGNORE
    }

    /// Whether there is nothing but the disposition.
    const fn is_plain(&self) -> bool {
        self.flags == 0 && self.restorer == 0 && self.mask.0 == 0
    }

    /// Whether the signal would do nothing.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            Self::IGNORE => true,
            Self::DEFAULT => set::default_action(signal) == set::DefaultAction::Ignore,
            _ => false,
        }
    }
}

/// What the threads of a process share of signals.
#[derive(Debug)]
pub struct ProcessSignals {
    /// Shared with the processes of a fork until one changes its own.
    actions: Arc<[Action; SIGNAL_MAX as usize]>,
    /// Waits for any thread.
    pub pending: Pending,
}

impl Default for ProcessSignals {
    fn default() -> Self {
        let actions = Arc::new([Action::default(); SIGNAL_MAX as usize]);
        Self { actions, pending: Pending::default() }
    }
}

impl ProcessSignals {
    /// The disposition of a signal.
    #[must_use]
    pub fn action(&self, signal: Signal) -> &Action {
        &self.actions[signal as usize - 1]
    }

    /// The same, to be changed.
    pub fn action_mut(&mut self, signal: Signal) -> &mut Action {
        &mut Arc::make_mut(&mut self.actions)[signal as usize - 1]
    }

    /// What a forked process starts with: the dispositions, nothing pending.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { actions: self.actions.clone(), pending: Pending::default() }
    }

    /// What `execve` leaves: ignored signals stay ignored, handled ones get the default.
    pub fn execute(&mut self) {
        if self.actions.iter().all(|action| !action.is_handled() && action.is_plain()) {
            return;
        }
        for action in Arc::make_mut(&mut self.actions) {
            let ignored = action.handler == Action::IGNORE;
            *action = Action { handler: u64::from(ignored), ..Action::default() };
        }
    }
}

/// What a thread has of signals for itself.
#[derive(Debug, Default)]
pub struct ThreadSignals {
    /// Not delivered now.
    pub mask: SignalSet,
    /// The mask to return to after `rt_sigsuspend`, `ppoll` and the like.
    pub saved_mask: Option<SignalSet>,
    /// Waits for this thread.
    pub pending: Pending,
    /// Alternate stack.
    pub alt_stack: AltStack,
}

/// Whether a signal, or the end of the process, waits for a thread: then it does not sleep.
#[must_use]
pub fn is_interrupted(thread: &Thread) -> bool {
    // Every sender asks for exit work, so without it there is nothing to look for.
    if !thread.has_work() {
        return false;
    }
    if thread.process.is_exiting() || thread.process.state.lock().executing.is_some() {
        return true;
    }
    let process = thread.process.signals.lock();
    let signals = thread.signals.lock();
    let waiting = process.pending.set().with(signals.pending.set()).without(signals.mask);
    !waiting.is_empty()
}
