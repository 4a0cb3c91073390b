//! The process table.
use super::{Process, ProcessId};
use crate::sched::Thread;
use crate::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

/// Highest id, as Linux has it by default.
const PID_MAX: u32 = 32768;
/// Numbers below are not used again once they wrapped, as in Linux.
const PID_RESERVED: u32 = 300;

struct Table {
    processes: BTreeMap<ProcessId, Arc<Process>>,
    /// Threads that are not their process's first.
    threads: BTreeMap<u32, ProcessId>,
    last: u32,
}

static TABLE: Mutex<Table> =
    Mutex::new(Table { processes: BTreeMap::new(), threads: BTreeMap::new(), last: 0 });

/// A number that no process, thread, group or session has.
///
/// # Errors
/// `EAGAIN` if all are taken.
pub(super) fn new_id() -> Result<u32> {
    let mut table = TABLE.lock();
    for _ in 0..PID_MAX {
        table.last += 1;
        if table.last >= PID_MAX {
            table.last = PID_RESERVED;
        }
        let id = table.last;
        if !table.processes.contains_key(&id)
            && !table.threads.contains_key(&id)
            && !is_group(&table, id)
        {
            return Ok(id);
        }
    }
    Err(Errno::EAGAIN)
}

fn is_group(table: &Table, id: u32) -> bool {
    // Only ids that wrapped around can meet a group whose leader is gone.
    id >= PID_RESERVED
        && table.processes.values().any(|process| {
            let state = process.state.lock();
            state.group == id || state.session == id
        })
}

pub(super) fn insert(process: Arc<Process>) {
    TABLE.lock().processes.insert(process.pid, process);
}

pub(super) fn remove(pid: ProcessId) {
    let removed = TABLE.lock().processes.remove(&pid);
    drop(removed);
}

pub(super) fn insert_thread(tid: u32, pid: ProcessId) {
    TABLE.lock().threads.insert(tid, pid);
}

pub(super) fn remove_thread(tid: u32) {
    TABLE.lock().threads.remove(&tid);
}

/// The process with a number.
///
/// # Errors
/// `ESRCH`.
pub fn find(pid: ProcessId) -> Result<Arc<Process>> {
    TABLE.lock().processes.get(&pid).cloned().ok_or(Errno::ESRCH)
}

/// The living thread with a number.
///
/// # Errors
/// `ESRCH`.
pub fn find_thread(tid: u32) -> Result<Arc<Thread>> {
    let pid = TABLE.lock().threads.get(&tid).copied().unwrap_or(tid);
    let process = find(pid)?;
    let state = process.state.lock();
    state.threads.iter().find(|thread| thread.tid == tid).cloned().ok_or(Errno::ESRCH)
}

/// All processes, by number.
#[must_use]
pub fn all() -> Vec<Arc<Process>> {
    TABLE.lock().processes.values().cloned().collect()
}

/// The members of a process group.
#[must_use]
pub fn find_group(group: u32) -> Vec<Arc<Process>> {
    let mut members = all();
    members.retain(|process| process.state.lock().group == group);
    members
}

/// Process 1, which inherits orphans.
///
/// # Errors
/// `ESRCH` once it has ended.
pub fn init() -> Result<Arc<Process>> {
    find(1)
}

/// How many there are, zombies too.
#[must_use]
pub fn process_count() -> usize {
    TABLE.lock().processes.len()
}
