//! The end of threads and processes.
use super::{ExitStatus, Phase, Process, current_process, groups, init, table};
use crate::file::Descriptors;
use crate::memory::{AddressSpace, UserAddress};
use crate::raw::kernel;
use crate::sched::{self, current};
use crate::signal::{self, SignalInfo};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// Ends the running process with an exit code.
pub fn exit_group(code: u8) -> ! {
    terminate(ExitStatus::Exited(code))
}

/// Ends the running process: the first status counts.
pub fn terminate(status: ExitStatus) -> ! {
    {
        let me = current_process();
        let mut state = me.state.lock();
        if matches!(state.phase, Phase::Running | Phase::Stopped) {
            state.phase = Phase::Exiting(status);
        }
        let mine = current().tid;
        let others = state.threads.iter().filter(|thread| thread.tid != mine);
        others.for_each(|thread| thread.interrupt());
        drop(state);
        me.changed.wake();
    }
    exit_thread()
}

/// Ends the running thread; with the last one ends the process.
pub fn exit_thread() -> ! {
    leave_process();
    sched::exit_thread()
}

/// Exit code of a process whose last thread ended without `exit_group`.
pub fn set_exit_code(code: u8) {
    let me = current_process();
    let mut state = me.state.lock();
    if state.threads.len() == 1 && state.phase == Phase::Running {
        state.phase = Phase::Exiting(ExitStatus::Exited(code));
    }
}

fn leave_process() {
    let me = current();
    let process = me.process.clone();
    let word = me.clear_child_tid.swap(0, Ordering::Relaxed);
    if word != 0 && UserAddress(word).write(&0u32).is_ok() {
        crate::sched::futex::wake_address(&process.space(), word, 1);
    }
    process.past_ns.fetch_add(me.cpu_ns(), Ordering::Relaxed);
    let is_last = {
        let mut state = process.state.lock();
        state.threads.retain(|thread| thread.tid != me.tid);
        state.threads.is_empty()
    };
    if me.tid != process.pid {
        table::remove_thread(me.tid);
    }
    process.changed.wake();
    if is_last {
        finish(&process);
    }
}

/// Gives up everything that a process has, and tells its parent.
fn finish(process: &Arc<Process>) {
    let status = match process.state.lock().phase {
        Phase::Exiting(status) | Phase::Zombie(status) => status,
        Phase::Running | Phase::Stopped => ExitStatus::Exited(0),
    };
    crate::syscall::trace_end(status);
    process.cancel_timers();
    let descriptors = process.replace_descriptors(Descriptors::new());
    drop(descriptors);
    release_memory(process);
    release_parent(process);
    if process.pid == 1 {
        crate::session::finish(status);
    }
    crate::terminal::session::process_ends(process);
    groups::member_ends(process);
    leave_family(process);
    process.state.lock().phase = Phase::Zombie(status);
    let (change, value) = signal::describe_exit(status);
    if signal::notify_parent(process, change, value) {
        bury(process);
    }
    crate::terminal::screen::ended(process);
}

/// Gives back the program's memory, unless others use it: then the last of them does.
fn release_memory(process: &Arc<Process>) {
    let space = process.replace_space(AddressSpace::none());
    if Arc::strong_count(&space) == 1 {
        space.clear();
    }
}

/// Lets the parent of a `vfork` child go on.
pub(super) fn release_parent(process: &Arc<Process>) {
    let held = core::mem::take(&mut process.state.lock().holds_parent);
    if held {
        process.changed.wake();
    }
}

/// Orphans go to the next ancestor that reaps, else to process 1.
fn leave_family(process: &Arc<Process>) {
    let orphans = core::mem::take(&mut process.state.lock().children);
    if orphans.is_empty() {
        return;
    }
    let Some(heir) = find_heir(process) else { return };
    for orphan in orphans {
        let death_signal = {
            let mut state = orphan.state.lock();
            state.parent = Arc::downgrade(&heir);
            state.exit_signal = signal::set::SIGCHLD;
            state.parent_death_signal
        };
        orphan.set_parent_pid(heir.pid);
        heir.state.lock().children.push(orphan.clone());
        groups::parent_ends(&orphan, process);
        if death_signal != 0 {
            let _ = signal::send(&orphan, SignalInfo::kernel(death_signal));
        }
        let ended = match orphan.state.lock().phase {
            Phase::Zombie(status) => Some(status),
            _ => None,
        };
        if let Some(status) = ended {
            let (change, value) = signal::describe_exit(status);
            if signal::notify_parent(&orphan, change, value) {
                bury(&orphan);
            }
        }
    }
}

fn find_heir(process: &Arc<Process>) -> Option<Arc<Process>> {
    let mut at = process.state.lock().parent.upgrade();
    while let Some(ancestor) = at {
        let state = ancestor.state.lock();
        let lives = matches!(state.phase, Phase::Running | Phase::Stopped);
        let next = state.parent.upgrade();
        let reaps = state.reaps;
        drop(state);
        if reaps && lives {
            return Some(ancestor);
        }
        at = next;
    }
    init().ok()
}

/// Removes a process that nobody will wait for any more.
pub(super) fn bury(process: &Arc<Process>) {
    let parent = process.state.lock().parent.upgrade();
    if let Some(parent) = parent {
        let removed: Vec<Arc<Process>> = {
            let mut state = parent.state.lock();
            let (gone, kept) = core::mem::take(&mut state.children)
                .into_iter()
                .partition(|child| child.pid == process.pid);
            state.children = kept;
            gone
        };
        drop(removed);
    }
    table::remove(process.pid);
}

/// Nanoseconds since a process began.
#[must_use]
pub fn age_ns(process: &Process) -> u64 {
    kernel::now_ns().saturating_sub(process.started_ns)
}
