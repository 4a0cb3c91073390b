//! Waiting: for a condition, a future, a deadline; and queues of those who wait.
use super::{Thread, add_timer, block, current, remove_timer};
use crate::raw::kernel;
use crate::signal;
use crate::{Errno, Result};
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use spin::Mutex;

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// A signal is to be handled.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

/// Waits until `poll` answers. It is called first at once, then after each wake of the waker that it is given, which it
/// registers where what it waits for changes. No signal ends the wait: for disks and the like.
pub fn wait<T>(mut poll: impl FnMut(&Waker) -> Option<T>) -> T {
    let me = current();
    let waker = Waker::from(me.arc());
    loop {
        me.clear_woken();
        if let Some(answer) = poll(&waker) {
            return answer;
        }
        block();
    }
}

/// As [`wait`], until a deadline (nanoseconds of the TSC clock) if there is one, or a signal for this thread.
///
/// # Errors
/// Why it ended early.
pub fn wait_until<T>(
    deadline_ns: Option<u64>,
    mut poll: impl FnMut(&Waker) -> Option<T>,
) -> core::result::Result<T, WaitError> {
    let me = current();
    let waker = Waker::from(me.arc());
    let mut timer = None;
    let outcome = loop {
        me.clear_woken();
        if let Some(answer) = poll(&waker) {
            break Ok(answer);
        }
        if deadline_ns.is_some_and(|deadline| kernel::now_ns() >= deadline) {
            break Err(WaitError::TimedOut);
        }
        if signal::is_interrupted(&me) {
            break Err(WaitError::Interrupted);
        }
        if let (None, Some(deadline)) = (timer, deadline_ns) {
            timer = Some(add_timer(deadline, waker.clone()));
        }
        me.set_interruptible(true);
        block();
        me.set_interruptible(false);
    };
    if let Some(timer) = timer {
        remove_timer(timer);
    }
    outcome
}

/// As [`wait_until`] without a deadline, for calls that start again after a signal.
///
/// # Errors
/// `RESTART` if a signal came.
pub fn wait_interruptible<T>(poll: impl FnMut(&Waker) -> Option<T>) -> Result<T> {
    wait_until(None, poll).map_err(|_| Errno::RESTART)
}

/// Sleeps until a deadline.
///
/// # Errors
/// `Interrupted` if a signal came first.
pub fn sleep_until(deadline_ns: u64) -> core::result::Result<(), WaitError> {
    match wait_until(Some(deadline_ns), |_| None::<()>) {
        Err(WaitError::Interrupted) => Err(WaitError::Interrupted),
        _ => Ok(()),
    }
}

/// Runs a future to its end; the thread blocks where the future waits. No signal ends it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    wait(|waker| match future.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Those who wait for a change of one object. Registering again is free; a wake empties the queue.
#[derive(Debug, Default)]
pub struct WaitQueue {
    wakers: Mutex<Vec<Waker>>,
}

impl WaitQueue {
    /// Nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { wakers: Mutex::new(Vec::new()) }
    }

    /// Adds a waiter, before it looks at the object.
    pub fn register(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Wakes all.
    pub fn wake(&self) {
        let wakers = core::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl alloc::task::Wake for Thread {
    fn wake(self: alloc::sync::Arc<Self>) {
        super::wake(&self);
    }
    fn wake_by_ref(self: &alloc::sync::Arc<Self>) {
        super::wake(self);
    }
}
