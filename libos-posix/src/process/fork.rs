//! New processes and threads: `fork`, `vfork`, `clone`.
use super::{Phase, Process, State, current_process, limits, table};
use crate::memory::{self, AddressSpace, UserAddress};
use crate::raw::entry::TrapFrame;
use crate::raw::{PROGRAM_END, context, kernel};
use crate::sched::{self, Thread, WaitQueue, current};
use crate::signal::{AltStack, Pending, ThreadSignals};
use crate::{Errno, Result};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::general as linux;
use spin::Mutex;

/// Most processes of a session, whoever owns them.
const PROCESSES_MAX: usize = 1024;

/// What `clone` was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneRequest {
    /// `CLONE_*` without the exit signal.
    pub flags: u64,
    /// Signal that tells the parent of the end.
    pub exit_signal: u32,
    /// Stack pointer of the child, 0 for the parent's.
    pub stack: u64,
    /// Where the child's number goes in the parent.
    pub parent_tid: u64,
    /// Where it goes in the child.
    pub child_tid: u64,
    /// FS base of the child.
    pub tls: u64,
}

impl CloneRequest {
    /// What the new process's parent is sent when it ends; `own` is what the maker's parent is sent. One that has the maker's parent ends as
    /// the maker does, whatever was asked for (clone(2), `CLONE_PARENT`; Linux kernel/fork.c, `copy_process`).
    fn end_signal(&self, own: u32) -> u32 {
        if self.has(linux::CLONE_PARENT) { own } else { self.exit_signal }
    }

    const fn has(&self, flag: u32) -> bool {
        self.flags & flag as u64 != 0
    }

    /// Refuses what contradicts itself or does not exist here.
    fn check(&self) -> Result<()> {
        let namespaces = linux::CLONE_NEWNS
            | linux::CLONE_NEWCGROUP
            | linux::CLONE_NEWUTS
            | linux::CLONE_NEWIPC
            | linux::CLONE_NEWUSER
            | linux::CLONE_NEWPID
            | linux::CLONE_NEWNET;
        let needs = |flag, other| !self.has(flag) || self.has(other);
        let consistent = needs(linux::CLONE_SIGHAND, linux::CLONE_VM)
            && needs(linux::CLONE_THREAD, linux::CLONE_SIGHAND)
            && !self.has(namespaces)
            && self.exit_signal <= crate::signal::set::SIGNAL_MAX;
        if !consistent || self.has(linux::CLONE_PIDFD) {
            return Err(Errno::EINVAL);
        }
        let in_program = |address| address < PROGRAM_END;
        if self.has(linux::CLONE_SETTLS) && !in_program(self.tls) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

/// Makes a child that goes on where `trap` is, with 0 in rax; answers its number.
///
/// # Errors
/// `EINVAL`, `EAGAIN`, `ENOMEM`.
pub fn clone(request: &CloneRequest, trap: &TrapFrame) -> Result<u32> {
    request.check()?;
    memory::check_fork_reserve()?;
    let mut frame = *trap;
    frame.rax = 0;
    if request.stack != 0 {
        frame.rsp = request.stack;
    }
    let tid = if request.has(linux::CLONE_THREAD) {
        new_thread(request, &frame)?
    } else {
        new_process(request, &frame)?
    };
    Ok(tid)
}

fn new_thread(request: &CloneRequest, frame: &TrapFrame) -> Result<u32> {
    let process = current_process().clone();
    let tid = table::new_id()?;
    let thread = make_thread(request, frame, tid, process.clone(), current().context.place())?;
    table::insert_thread(tid, process.pid);
    process.state.lock().threads.push(thread.clone());
    start(request, thread)
}

/// Makes a process that is nobody's child, whose thread begins as `frame` says.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`.
pub fn spawn_alone(frame: &TrapFrame) -> Result<()> {
    let pid = table::new_id()?;
    let space = AddressSpace::create()?;
    let place = space.place();
    let process = Process::alone(pid, space);
    process.replace_context(crate::fs::Context::initial());
    let thread = Thread::new(pid, process.clone(), place, frame, 0, ThreadSignals::default());
    let thread = thread.inspect_err(|_| table::remove(pid))?;
    process.state.lock().threads.push(thread.clone());
    sched::spawn(thread);
    Ok(())
}

fn make_thread(
    request: &CloneRequest,
    frame: &TrapFrame,
    tid: u32,
    process: Arc<Process>,
    place: context::Place,
) -> Result<Arc<Thread>> {
    let fs_base =
        if request.has(linux::CLONE_SETTLS) { request.tls } else { context::read_fs_base() };
    let signals = {
        let mine = current();
        let mine = mine.signals.lock();
        // As Linux: the alternate stack stays with a copy of the memory only.
        let shares = request.has(linux::CLONE_VM) && !request.has(linux::CLONE_VFORK);
        let alt_stack = if shares { AltStack::default() } else { mine.alt_stack };
        ThreadSignals { mask: mine.mask, saved_mask: None, pending: Pending::default(), alt_stack }
    };
    let thread = Thread::new(tid, process, place, frame, fs_base, signals)?;
    thread.context.adopt_vectors();
    if !request.has(linux::CLONE_VM) {
        *thread.rseq.lock() = *current().rseq.lock();
    }
    if request.has(linux::CLONE_CHILD_CLEARTID) {
        thread.clear_child_tid.store(request.child_tid, Ordering::Relaxed);
    }
    if request.has(linux::CLONE_CHILD_SETTID) {
        thread.set_child_tid.store(request.child_tid, Ordering::Relaxed);
    }
    Ok(thread)
}

/// Lets a new thread run, and waits for it if it is a `vfork` child.
fn start(request: &CloneRequest, thread: Arc<Thread>) -> Result<u32> {
    let tid = thread.tid;
    if request.has(linux::CLONE_PARENT_SETTID) {
        // Linux ignores a bad address here too.
        let _ = UserAddress(request.parent_tid).write(&tid);
    }
    let child = thread.process.clone();
    sched::spawn(thread);
    if request.has(linux::CLONE_VFORK) {
        wait_for_release(&child);
    }
    Ok(tid)
}

fn wait_for_release(child: &Arc<Process>) {
    sched::wait(|waker| {
        child.changed.register(waker);
        (!child.state.lock().holds_parent).then_some(())
    });
}

fn new_process(request: &CloneRequest, frame: &TrapFrame) -> Result<u32> {
    if table::process_count() >= PROCESSES_MAX {
        return Err(Errno::EAGAIN);
    }
    let parent = current_process().clone();
    let allowed = parent.state.lock().limits.soft(limits::Resource::Processes);
    if table::process_count() as u64 >= allowed {
        return Err(Errno::EAGAIN);
    }
    let pid = table::new_id()?;
    let space = if request.has(linux::CLONE_VM) { parent.space() } else { copy_space(&parent)? };
    let child = make_process(request, pid, &parent, space.clone());
    let thread = match make_thread(request, frame, pid, child.clone(), space.place()) {
        Ok(thread) => thread,
        Err(error) => {
            if !request.has(linux::CLONE_VM) {
                parent.space().abandon_copy(&space);
            }
            return Err(error);
        }
    };
    child.state.lock().threads.push(thread.clone());
    table::insert(child.clone());
    parent.state.lock().children.push(child);
    start(request, thread)
}

fn copy_space(parent: &Process) -> Result<Arc<AddressSpace>> {
    let child = Arc::new(AddressSpace::create()?);
    let space = parent.space();
    match space.copy_to(&child) {
        Ok(()) => Ok(child),
        Err(error) => {
            space.abandon_copy(&child);
            Err(error)
        }
    }
}

fn make_process(
    request: &CloneRequest,
    pid: u32,
    parent: &Arc<Process>,
    space: Arc<AddressSpace>,
) -> Arc<Process> {
    let descriptors = if request.has(linux::CLONE_FILES) {
        parent.descriptors()
    } else {
        parent.with_descriptors(crate::file::Descriptors::fork)
    };
    let context = if request.has(linux::CLONE_FS) {
        parent.context()
    } else {
        parent.with_context(crate::fs::Context::fork)
    };
    let mut actions = parent.signals.lock().fork();
    if request.has(linux::CLONE_CLEAR_SIGHAND as u32) {
        actions.execute();
    }
    let state = parent.state.lock();
    let family = if request.has(linux::CLONE_PARENT) {
        (state.parent.clone(), parent.parent_pid())
    } else {
        (Arc::downgrade(parent), parent.pid)
    };
    let child = Process {
        pid,
        started_ns: kernel::now_ns(),
        parent_pid: AtomicU32::new(family.1),
        space: Mutex::new(space),
        descriptors: Mutex::new(descriptors),
        context: Mutex::new(Some(context)),
        signals: Mutex::new(actions),
        state: Mutex::new(state.fork(family.0, request)),
        changed: WaitQueue::new(),
        past_ns: AtomicU64::new(0),
        children_ns: AtomicU64::new(0),
        timers: Mutex::default(),
    };
    Arc::new(child)
}

impl State {
    fn fork(&self, parent: Weak<Process>, request: &CloneRequest) -> Self {
        Self {
            parent,
            children: Vec::new(),
            group: self.group,
            session: self.session,
            terminal: self.terminal.clone(),
            threads: Vec::new(),
            credentials: self.credentials.clone(),
            limits: self.limits,
            phase: Phase::Running,
            exit_signal: request.end_signal(self.exit_signal),
            report: None,
            name: self.name.clone(),
            executable: self.executable.clone(),
            executed: false,
            executing: None,
            holds_parent: request.has(linux::CLONE_VFORK),
            parent_death_signal: 0,
            reaps: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: u32) -> Result<()> {
        CloneRequest { flags: flags.into(), ..CloneRequest::default() }.check()
    }

    #[test]
    fn a_sibling_ends_with_the_signal_of_its_maker() {
        let child = CloneRequest { exit_signal: 9, ..CloneRequest::default() };
        assert_eq!(child.end_signal(17), 9);
        // Its parent is not the maker's to kill.
        let sibling = CloneRequest { flags: linux::CLONE_PARENT.into(), ..child };
        assert_eq!(sibling.end_signal(17), 17);
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(check(0), Ok(()));
        assert_eq!(check(linux::CLONE_VM | linux::CLONE_VFORK), Ok(()));
        assert_eq!(check(linux::CLONE_SIGHAND), Err(Errno::EINVAL));
        assert_eq!(check(linux::CLONE_THREAD | linux::CLONE_VM), Err(Errno::EINVAL));
        assert_eq!(check(linux::CLONE_NEWNS), Err(Errno::EINVAL));
        assert_eq!(check(linux::CLONE_THREAD | linux::CLONE_VM | linux::CLONE_SIGHAND), Ok(()));
    }

    #[test]
    fn thread_storage_outside_the_program_is_refused() {
        let request = CloneRequest {
            flags: linux::CLONE_SETTLS.into(),
            tls: 1 << 63,
            ..CloneRequest::default()
        };
        assert_eq!(request.check(), Err(Errno::EPERM));
    }
}
