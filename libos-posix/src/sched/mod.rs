//! Who runs: the run queue, blocking and waking, deadlines, the switch, idling.
//!
//! Threads run until they block or until a slice starts, which puts them at the end of the queue. May use `raw` and the
//! completions of `io`; knows nothing of what threads wait for. Invariant: a thread is in the queue exactly if its
//! state is ready, and the running thread is not.
pub mod futex;
mod thread;
mod timers;
mod wait;

pub use thread::{Thread, ThreadId};
pub use timers::{TimerId, Timers};
pub use wait::{WaitError, WaitQueue, block_on, sleep_until, wait, wait_interruptible, wait_until};

use crate::raw::entry::TrapFrame;
use crate::raw::{context, kernel, local};
use crate::session::resources;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use serix_sys::abi::FOREVER;
use spin::{Mutex, Once};
use thread::RunState;

pub use local::{Current, current};

struct Scheduler {
    ready: VecDeque<Arc<Thread>>,
    running: Option<Arc<Thread>>,
    /// A thread that ended and whose stack is still in use until the next switch is over.
    ended: Option<Arc<Thread>>,
    timers: Timers<Waker>,
}

static SCHEDULER: Mutex<Scheduler> = Mutex::new(Scheduler {
    ready: VecDeque::new(),
    running: None,
    ended: None,
    timers: Timers::new(),
});

/// Number of switches between threads, for `/proc/stat`.
static SWITCHES: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds without a ready thread.
static IDLE_NS: AtomicU64 = AtomicU64::new(0);

/// Looks for work that became due without an event; true if it has woken somebody.
static LOOK_OUT: Once<fn() -> bool> = Once::new();

/// Sets what looks for work at the beginning of each slice and before the session idles. The first call counts.
pub fn set_look_out(look: fn() -> bool) {
    LOOK_OUT.call_once(|| look);
}

fn look_out() -> bool {
    LOOK_OUT.get().is_some_and(|look| look())
}

/// Switches so far, and nanoseconds idled.
#[must_use]
pub fn statistics() -> (u64, u64) {
    (SWITCHES.load(Ordering::Relaxed), IDLE_NS.load(Ordering::Relaxed))
}

/// Threads that are ready or running.
#[must_use]
pub fn ready_count() -> usize {
    SCHEDULER.lock().ready.len() + 1
}

/// Puts a new thread in the queue.
pub fn spawn(thread: Arc<Thread>) {
    thread.set_state(RunState::Ready);
    SCHEDULER.lock().ready.push_back(thread);
}

/// Names the first thread, which is entered without a switch.
pub fn adopt_first(thread: Arc<Thread>) {
    thread.set_state(RunState::Running);
    SCHEDULER.lock().running = Some(thread);
}

/// Makes a thread ready if it is blocked, and lets it not block if it is about to.
pub(crate) fn wake(thread: &Arc<Thread>) {
    thread.set_woken();
    if thread.state() == RunState::Blocked {
        thread.set_state(RunState::Ready);
        SCHEDULER.lock().ready.push_back(thread.clone());
    }
}

/// Adds a timer that wakes at `deadline_ns`.
pub fn add_timer(deadline_ns: u64, waker: Waker) -> TimerId {
    SCHEDULER.lock().timers.add(deadline_ns, waker)
}

/// Removes a timer, if it has not fired.
pub fn remove_timer(id: TimerId) {
    let removed = SCHEDULER.lock().timers.remove(id);
    drop(removed);
}

/// Lets the running thread wait until something wakes it.
fn block() {
    let thread = current();
    if thread.take_woken() {
        return;
    }
    thread.set_state(RunState::Blocked);
    run_next();
}

/// Puts the running thread at the end of the queue.
#[inline]
pub fn yield_now() {
    let is_alone = crate::io::is_quiet() && {
        let scheduler = SCHEDULER.lock();
        scheduler.ready.is_empty() && scheduler.timers.is_empty()
    };
    if !is_alone {
        yield_to_others();
    }
}

fn yield_to_others() {
    poll_events();
    let mut scheduler = SCHEDULER.lock();
    if scheduler.ready.is_empty() {
        return;
    }
    let Some(me) = scheduler.running.clone() else { return };
    me.set_state(RunState::Ready);
    scheduler.ready.push_back(me);
    drop(scheduler);
    run_next();
}

/// A new slice: devices and timers are looked at, and others get their turn.
pub fn slice_start() {
    let me = current();
    let now = kernel::now_ns();
    me.stop_clock(now);
    me.start_clock(now);
    me.process.check_cpu_timers();
    look_out();
    crate::terminal::screen::poll();
    yield_now();
}

/// Ends the running thread. Its process has given up all that it held.
pub fn exit_thread() -> ! {
    current().set_state(RunState::Dead);
    let mut scheduler = SCHEDULER.lock();
    let before = scheduler.ended.take();
    let me = scheduler.running.clone();
    scheduler.ended = me;
    drop(scheduler);
    drop(before);
    run_next();
    unreachable!("an ended thread ran")
}

/// Switches to the next ready thread; returns when the calling one is switched to again.
fn run_next() {
    let next = next_ready();
    let me = current();
    next.set_state(RunState::Running);
    next.clear_woken();
    let mut scheduler = SCHEDULER.lock();
    let Some(before) = scheduler.running.replace(next.clone()) else { return };
    drop(scheduler);
    if Arc::ptr_eq(&before, &next) {
        // A switch would have brought the request along.
        if me.has_work() {
            local::request_work();
        }
        return;
    }
    SWITCHES.fetch_add(1, Ordering::Relaxed);
    let now = kernel::now_ns();
    me.stop_clock(now);
    next.start_clock(now);
    let (context, thread, work) = (&raw const next.context, Arc::as_ptr(&next), next.has_work());
    drop(before);
    drop(next);
    context::switch_to(&me.context, context, thread, work);
    reap();
}

/// A ready thread, idling until there is one.
fn next_ready() -> Arc<Thread> {
    loop {
        poll_events();
        if let Some(thread) = SCHEDULER.lock().ready.pop_front() {
            return thread;
        }
        if !look_out() {
            idle();
        }
    }
}

/// Handles deadlines that passed and what devices completed, and the tasks that either woke.
fn poll_events() {
    fire_timers();
    crate::io::poll();
}

fn fire_timers() {
    let mut scheduler = SCHEDULER.lock();
    if scheduler.timers.is_empty() {
        return;
    }
    let now = kernel::now_ns();
    while let Some(waker) = scheduler.timers.pop_due(now) {
        drop(scheduler);
        waker.wake();
        scheduler = SCHEDULER.lock();
    }
}

/// Waits for the session's event or the next deadline.
fn idle() {
    let deadline = SCHEDULER.lock().timers.next_deadline().unwrap_or(FOREVER);
    let start = kernel::now_ns();
    let me = current();
    me.stop_clock(start);
    me.context.wait_event(resources().event, deadline);
    let end = kernel::now_ns();
    me.start_clock(end);
    IDLE_NS.fetch_add(end - start, Ordering::Relaxed);
    crate::terminal::screen::poll();
}

/// Drops the thread that ended before this one ran: its stack is no longer in use.
fn reap() {
    let ended = SCHEDULER.lock().ended.take();
    if ended.is_some() {
        drop(ended);
        crate::memory::space::trim_spare(current().context.place());
    }
}

/// First steps of a new thread on its own stack.
pub(crate) fn begin(frame: &mut TrapFrame) {
    reap();
    current().context.load();
    crate::process::thread_begins(frame);
}
