//! Processes: identity, family, groups and sessions, birth and death.
//!
//! Owns the process table. May use `memory`, `sched`, `signal`, `file` and `fs`. Invariant: a process is in the table from birth
//! until its parent has waited for it, and every process has a parent but number 1 and the shell of the
//! machine's screen.
mod credentials;
mod exec;
mod exit;
mod fork;
mod groups;
mod image;
mod limits;
pub mod rseq;
mod table;
mod timers;
mod wait;

pub use credentials::{Credentials, UNCHANGED};
pub use exec::{execute, execute_strings};
pub use exit::{age_ns, exit_group, exit_thread, set_exit_code, terminate};
pub use fork::{CloneRequest, clone, spawn_alone};
pub use groups::is_orphaned;
pub use image::Strings;
pub use limits::{Limits, Resource};
pub use table::{all, find, find_group, find_thread, init, process_count};
pub use timers::{IntervalTimer, IntervalTimers};
pub use wait::{WaitEvent, WaitRequest, WaitTarget, Waited, wait_for_child};

use crate::file::Descriptors;
use crate::fs;
use crate::memory::{AddressSpace, UserAddress};
use crate::raw::entry::TrapFrame;
use crate::raw::kernel;
use crate::sched::{Current, Thread, WaitQueue, current};
use crate::signal::ProcessSignals;
use crate::terminal::Terminal;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use spin::Mutex;

/// Instruction pointers of threads that have no program yet: the session's first, and that of the screen's shell.
pub(crate) const SESSION: u64 = 0;
pub(crate) const SCREEN_SHELL: u64 = 1;

/// A process id.
pub type ProcessId = u32;

/// A process: a family of threads, and what they share.
pub struct Process {
    /// Its number.
    pub pid: ProcessId,
    /// When it began, in nanoseconds of the TSC clock.
    pub started_ns: u64,
    /// Number of the parent; 0 for process 1.
    parent_pid: AtomicU32,
    /// The program's memory; another after `execve`.
    space: Mutex<Arc<AddressSpace>>,
    /// The descriptor table, shared with those that `CLONE_FILES` made.
    descriptors: Mutex<Arc<Descriptors>>,
    /// Working directory, root and umask, shared with those that `CLONE_FS` made.
    /// None before the root is mounted.
    context: Mutex<Option<Arc<fs::Context>>>,
    /// Dispositions and what waits for any thread.
    pub signals: Mutex<ProcessSignals>,
    /// Relations and everything that changes rarely.
    pub state: Mutex<State>,
    /// Woken when a child changes its state, or a thread ends.
    pub changed: WaitQueue,
    /// CPU time of threads that ended, and of children waited for.
    pub past_ns: AtomicU64,
    /// CPU time of children that were waited for.
    pub children_ns: AtomicU64,
    /// Interval timers.
    timers: Mutex<IntervalTimers>,
}

/// Nanoseconds of a clock tick, as `times` and `/proc` count (100 a second).
pub const NS_PER_TICK: u64 = 10_000_000;

/// What changes rarely.
pub struct State {
    /// The parent, if it lives.
    pub parent: Weak<Process>,
    /// Living and dead children that were not waited for.
    pub children: Vec<Arc<Process>>,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// The session's terminal, unless this process gave it up.
    pub terminal: Option<Arc<Terminal>>,
    /// Living threads.
    pub threads: Vec<Arc<Thread>>,
    /// User and groups.
    pub credentials: Credentials,
    /// Resource limits.
    pub limits: Limits,
    /// How it stands.
    pub phase: Phase,
    /// Signal that tells the parent of the end.
    pub exit_signal: u32,
    /// Stop or continuation that the parent has not been told of by `wait`.
    pub report: Option<Report>,
    /// Name of the program, at most 15 bytes.
    pub name: Vec<u8>,
    /// Path of the program.
    pub executable: Vec<u8>,
    /// Whether `execve` was called since `fork`, for `setpgid`.
    pub executed: bool,
    /// The thread that runs `execve`, while the others end.
    pub executing: Option<u32>,
    /// Whether the parent waits until this `vfork` child executes a program or ends.
    pub holds_parent: bool,
    /// Signal when the parent dies (`PR_SET_PDEATHSIG`).
    pub parent_death_signal: u32,
    /// Whether orphans below it become its children (`PR_SET_CHILD_SUBREAPER`).
    pub reaps: bool,
}

/// Stages of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Lives.
    Running,
    /// Stopped by a signal.
    Stopped,
    /// Its threads are ending; the status is settled.
    Exiting(ExitStatus),
    /// Ended; its parent has not waited yet.
    Zombie(ExitStatus),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself.
    Exited(u8),
    /// By a signal.
    Signalled {
        /// Which.
        signal: u32,
        /// Whether Linux would have dumped core.
        core: bool,
    },
}

/// What `wait` can tell of a living child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Stopped by this signal.
    Stopped(u32),
    /// Continued.
    Continued,
}

impl ExitStatus {
    /// As `wait4` stores it.
    #[must_use]
    pub const fn to_wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => (code as i32) << 8,
            Self::Signalled { signal, core } => signal as i32 | (core as i32) << 7,
        }
    }

    /// As a shell shows it.
    #[must_use]
    pub const fn to_shell_status(self) -> i32 {
        match self {
            Self::Exited(code) => code as i32,
            Self::Signalled { signal, .. } => 128 + signal as i32,
        }
    }
}

impl Process {
    /// Number of the parent, 0 for none.
    #[inline]
    #[must_use]
    pub fn parent_pid(&self) -> ProcessId {
        self.parent_pid.load(Ordering::Relaxed)
    }

    pub(crate) fn set_parent_pid(&self, pid: ProcessId) {
        self.parent_pid.store(pid, Ordering::Relaxed);
    }

    /// The program's memory.
    #[inline]
    #[must_use]
    pub fn space(&self) -> Arc<AddressSpace> {
        self.space.lock().clone()
    }

    /// Uses the program's memory without keeping it. Nothing in `work` may block.
    #[inline]
    pub fn with_space<R>(&self, work: impl FnOnce(&AddressSpace) -> R) -> R {
        work(&self.space.lock())
    }

    pub(crate) fn replace_space(&self, space: Arc<AddressSpace>) -> Arc<AddressSpace> {
        core::mem::replace(&mut *self.space.lock(), space)
    }

    /// The descriptor table, to share or to replace.
    #[must_use]
    pub fn descriptors(&self) -> Arc<Descriptors> {
        self.descriptors.lock().clone()
    }

    /// Uses the descriptor table without taking part in it. Nothing in `work` may block.
    #[inline]
    pub fn with_descriptors<R>(&self, work: impl FnOnce(&Descriptors) -> R) -> R {
        work(&self.descriptors.lock())
    }

    pub(crate) fn replace_descriptors(&self, table: Arc<Descriptors>) -> Arc<Descriptors> {
        core::mem::replace(&mut *self.descriptors.lock(), table)
    }

    /// Working directory, root and umask, to share.
    #[must_use]
    pub fn context(&self) -> Arc<fs::Context> {
        self.with_context_handle(Arc::clone)
    }

    /// Gives the process other places.
    pub fn replace_context(&self, context: Arc<fs::Context>) {
        let old = self.context.lock().replace(context);
        drop(old);
    }

    #[inline]
    fn with_context_handle<R>(&self, work: impl FnOnce(&Arc<fs::Context>) -> R) -> R {
        match &*self.context.lock() {
            Some(context) => work(context),
            None => panic!("process {} has no root yet", self.pid),
        }
    }

    /// Uses working directory, root and umask. Nothing in `work` may block.
    #[inline]
    pub fn with_context<R>(&self, work: impl FnOnce(&fs::Context) -> R) -> R {
        self.with_context_handle(|context| work(context))
    }

    /// CPU time of all threads so far, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        let living: u64 = self.state.lock().threads.iter().map(|thread| thread.cpu_ns()).sum();
        self.past_ns.load(Ordering::Relaxed) + living
    }

    /// Whether it ended.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Zombie(_))
    }

    /// Whether it is ending or ended.
    #[must_use]
    pub fn is_exiting(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Zombie(_) | Phase::Exiting(_))
    }
}

/// The running thread's process.
#[inline]
#[must_use]
pub fn current_process() -> CurrentProcess {
    CurrentProcess(current())
}

/// The process of the running thread, without counting a reference.
pub struct CurrentProcess(Current);

impl core::ops::Deref for CurrentProcess {
    type Target = Arc<Process>;
    #[inline(always)]
    fn deref(&self) -> &Arc<Process> {
        &self.0.process
    }
}

impl Process {
    /// A process that is nobody's child and leads its own session, with memory but without a program, descriptors or a place
    /// in the tree.
    #[must_use]
    pub fn alone(pid: ProcessId, space: AddressSpace) -> Arc<Self> {
        let state = State {
            parent: Weak::new(),
            children: Vec::new(),
            group: pid,
            session: pid,
            terminal: None,
            threads: Vec::new(),
            credentials: Credentials::default(),
            limits: Limits::default(),
            phase: Phase::Running,
            exit_signal: 0,
            report: None,
            name: Vec::new(),
            executable: Vec::new(),
            executed: false,
            executing: None,
            holds_parent: false,
            parent_death_signal: 0,
            reaps: pid == 1,
        };
        let process = Arc::new(Self {
            pid,
            started_ns: kernel::now_ns(),
            parent_pid: AtomicU32::new(0),
            space: Mutex::new(Arc::new(space)),
            descriptors: Mutex::new(Descriptors::new()),
            context: Mutex::new(None),
            signals: Mutex::default(),
            state: Mutex::new(state),
            changed: WaitQueue::new(),
            past_ns: AtomicU64::new(0),
            children_ns: AtomicU64::new(0),
            timers: Mutex::default(),
        });
        table::insert(process.clone());
        process
    }
}

/// First steps of a new thread, before it enters its program as `frame` says.
pub(crate) fn thread_begins(frame: &mut TrapFrame) {
    let me = current();
    match frame.rip {
        SESSION => {
            *frame = crate::session::boot();
            return;
        }
        SCREEN_SHELL => {
            *frame = crate::terminal::screen::first_steps();
            return;
        }
        _ => {}
    }
    let word = me.set_child_tid.swap(0, Ordering::Relaxed);
    if word != 0 {
        // Linux ignores a bad address here too.
        let _ = UserAddress(word).write(&me.tid);
    }
}
