//! Linux system calls: registers to typed values, handlers, results back to rax.
//!
//! `table` says which handler a number has; handlers take typed values and answer a [`crate::Result`]. The modules
//! here decode, check and act; only `raw::entry` and this file see registers. May use everything.
mod arguments;
mod memory;
mod misc;
mod process;
mod resources;
mod sched;
mod signal;
mod table;
mod time;
mod trace;
mod user;

pub use arguments::{FromRegister, Handler, IntoRegister, invoke};
pub use misc::{RELEASE, SYSTEM_NAME, host_name, version};
pub use table::{Description, TABLE_SIZE, description};
pub use trace::{process_ends as trace_end, set_tracing, signal as trace_signal, signal_name};

use crate::Errno;
use crate::raw::entry::CallFrame;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;

/// Calls without a handler, by number, and how often they were made.
static UNKNOWN: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());
/// Calls of that kind in all.
static UNKNOWN_COUNT: AtomicU64 = AtomicU64::new(0);

/// Address of the call table, for the dispatcher pages.
pub(crate) fn table_address() -> u64 {
    table::address()
}

/// How many calls found no handler.
#[must_use]
pub fn unknown_count() -> u64 {
    UNKNOWN_COUNT.load(Ordering::Relaxed)
}

/// A call that the table sends here: one without a handler, or any while calls are traced.
pub(crate) fn unknown(frame: &CallFrame) -> i64 {
    // Linux looks at eax only.
    let number = u64::from(frame.number as u32);
    if trace::is_on()
        && let Some(result) = trace::call(number, frame)
    {
        return result;
    }
    let registers = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    match table::handler(number) {
        Some(entry) => entry.call(&registers),
        None => {
            trace::unknown(number);
            refuse(number)
        }
    }
}

/// ENOSYS, told on the log the first time.
fn refuse(number: u64) -> i64 {
    UNKNOWN_COUNT.fetch_add(1, Ordering::Relaxed);
    // Random numbers must not fill the memory.
    if number < 1024 {
        let count = {
            let mut unknown = UNKNOWN.lock();
            let count = unknown.entry(number).or_insert(0);
            *count += 1;
            *count
        };
        if count == 1 {
            let name = linux_name(number);
            crate::session::log_line(format_args!("libos: no system call {number} ({name})"));
        }
    }
    Errno::ENOSYS.to_register()
}

/// Names of calls that this libOS does not have, as far as programs ask for them.
fn linux_name(number: u64) -> &'static str {
    use linux_raw_sys::general as linux;
    match number as u32 {
        linux::__NR_clone3 => "clone3",
        linux::__NR_io_uring_setup => "io_uring_setup",
        linux::__NR_ptrace => "ptrace",
        linux::__NR_socket => "socket",
        linux::__NR_shmget => "shmget",
        linux::__NR_inotify_init1 => "inotify_init1",
        linux::__NR_signalfd4 => "signalfd4",
        linux::__NR_timerfd_create => "timerfd_create",
        linux::__NR_pidfd_open => "pidfd_open",
        linux::__NR_membarrier => "membarrier",
        linux::__NR_userfaultfd => "userfaultfd",
        linux::__NR_seccomp => "seccomp",
        linux::__NR_bpf => "bpf",
        linux::__NR_perf_event_open => "perf_event_open",
        linux::__NR_fanotify_init => "fanotify_init",
        linux::__NR_keyctl => "keyctl",
        linux::__NR_semget => "semget",
        linux::__NR_msgget => "msgget",
        _ => "?",
    }
}
