//! Locks that know no scheduler.
//!
//! A [`Lock`] spins and is never held across a wait or a copy to or from a program. A [`SleepLock`]
//! is held across waits, and its waiters sleep. Order: sleep locks before spin locks; the name
//! cache before a node's place; a mapping's pages before the list of reclaimable leaves.
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use spin::Once;

static ON_CONTENTION: Once<fn()> = Once::new();

/// Sets what a spinning waiter does instead of a pause, for a libOS that donates its slice to the
/// holder. The first call counts.
pub fn set_on_contention(relax: fn()) {
    ON_CONTENTION.call_once(|| relax);
}

/// How spinning waiters pass the time.
pub struct Relax;

impl spin::RelaxStrategy for Relax {
    fn relax() {
        match ON_CONTENTION.get() {
            Some(relax) => relax(),
            None => core::hint::spin_loop(),
        }
    }
}

/// A spin lock.
pub type Lock<T> = spin::mutex::Mutex<T, Relax>;
/// A spin lock that several readers share.
pub type SharedLock<T> = spin::rwlock::RwLock<T, Relax>;

#[derive(Default)]
struct Queue {
    held: bool,
    next_ticket: u64,
    /// Longest first. There are seldom any, and an empty list costs little to drop.
    waiters: Vec<(u64, Waker)>,
}

impl Queue {
    #[inline]
    fn first(&mut self) -> Option<(u64, Waker)> {
        (!self.waiters.is_empty()).then(|| self.waiters.remove(0))
    }
}

/// A lock without data that may be held across waits.
pub struct SleepLock(Lock<Queue>);

impl Default for SleepLock {
    fn default() -> Self {
        Self::new()
    }
}

impl SleepLock {
    /// An open lock.
    #[must_use]
    pub const fn new() -> Self {
        Self(Lock::new(Queue { held: false, next_ticket: 0, waiters: Vec::new() }))
    }

    /// The lock, if it is open.
    #[inline]
    pub fn try_lock(&self) -> Option<SleepGuard<'_>> {
        let mut queue = self.0.lock();
        if queue.held {
            return None;
        }
        queue.held = true;
        Some(SleepGuard(self))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> impl Future<Output = SleepGuard<'_>> + Send {
        Acquire { lock: self, ticket: None }
    }

    fn wake_first(&self) {
        let first = self.0.lock().first();
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }
}

/// The held lock; dropping it opens it.
pub struct SleepGuard<'a>(&'a SleepLock);

impl Drop for SleepGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let first = {
            let mut queue = self.0.0.lock();
            queue.held = false;
            queue.first()
        };
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }
}

struct Acquire<'a> {
    lock: &'a SleepLock,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = SleepGuard<'a>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SleepGuard<'a>> {
        let lock = self.lock;
        let mut queue = lock.0.lock();
        if let Some(ticket) = self.ticket {
            queue.waiters.retain(|(other, _)| *other != ticket);
        }
        if !queue.held {
            queue.held = true;
            self.ticket = None;
            return Poll::Ready(SleepGuard(lock));
        }
        let ticket = self.ticket.unwrap_or_else(|| {
            queue.next_ticket += 1;
            queue.next_ticket
        });
        queue.waiters.push((ticket, context.waker().clone()));
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    // A waiter that was woken and gives up passes the wake-up on, or it would be lost.
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.lock.0.lock();
        let before = queue.waiters.len();
        queue.waiters.retain(|(other, _)| *other != ticket);
        let was_woken = queue.waiters.len() == before;
        let pass_on = was_woken && !queue.held;
        drop(queue);
        if pass_on {
            self.lock.wake_first();
        }
    }
}

/// Waits until `ready` answers; `ready` keeps the waker if it answers `None`.
pub(crate) fn until<T, F>(ready: F) -> Until<F>
where
    F: FnMut(&Waker) -> Option<T> + Unpin,
{
    Until(ready)
}

pub(crate) struct Until<F>(F);

impl<T, F: FnMut(&Waker) -> Option<T> + Unpin> Future for Until<F> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match (self.0)(context.waker()) {
            Some(value) => Poll::Ready(value),
            None => Poll::Pending,
        }
    }
}
