//! Event counters: what `eventfd` makes.
use super::waiters::{Waiters, wake};
use core::task::Waker;
use serix_chroma::{Events, VfsError, VfsResult};
use spin::Mutex;

/// Largest value of a counter.
const LARGEST: u64 = u64::MAX - 1;

/// A counter that can be waited for.
pub struct EventCounter {
    state: Mutex<(u64, Waiters)>,
    /// Reads take one instead of all.
    is_semaphore: bool,
}

impl EventCounter {
    /// A counter of value `initial`.
    #[must_use]
    pub const fn new(initial: u64, is_semaphore: bool) -> Self {
        Self { state: Mutex::new((initial, Waiters::new())), is_semaphore }
    }

    /// Takes the value, or one of it.
    ///
    /// # Errors
    /// `WouldBlock` if it is zero.
    pub fn try_take(&self) -> VfsResult<u64> {
        let (taken, waiters) = {
            let mut state = self.state.lock();
            let taken = if self.is_semaphore { state.0.min(1) } else { state.0 };
            if taken == 0 {
                return Err(VfsError::WouldBlock);
            }
            state.0 -= taken;
            (taken, state.1.take())
        };
        wake(waiters);
        Ok(taken)
    }

    /// Adds to the value.
    ///
    /// # Errors
    /// `WouldBlock` if the sum is too large, `Invalid` for the one value that no sum can reach.
    pub fn try_add(&self, value: u64) -> VfsResult<()> {
        if value > LARGEST {
            return Err(VfsError::Invalid);
        }
        let waiters = {
            let mut state = self.state.lock();
            if value > LARGEST - state.0 {
                return Err(VfsError::WouldBlock);
            }
            state.0 += value;
            state.1.take()
        };
        wake(waiters);
        Ok(())
    }

    /// Which of `interest` hold. A waker is woken when that may have changed.
    pub fn poll(&self, interest: Events, waker: Option<&Waker>) -> Events {
        let mut state = self.state.lock();
        let mut events = Events::empty();
        events.set(Events::IN, state.0 > 0);
        events.set(Events::OUT, state.0 < LARGEST);
        if let Some(waker) = waker {
            state.1.add(waker);
        }
        events & interest
    }
}
