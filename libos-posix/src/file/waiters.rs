//! Who is to be woken when an object's state changes.
use alloc::vec::Vec;
use core::task::Waker;

/// The wakers of those who wait on one object. The first is kept in place, so that one reader
/// waiting for one writer allocates nothing.
#[derive(Debug, Default)]
pub struct Waiters {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Waiters {
    /// Nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: None, more: Vec::new() }
    }

    /// Adds a waiter, unless it is there already.
    pub fn add(&mut self, waker: &Waker) {
        match &self.first {
            None => self.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) if self.more.iter().any(|other| other.will_wake(waker)) => {}
            Some(_) => self.more.push(waker.clone()),
        }
    }

    /// Takes all, if there are any, to be woken once the object's lock is free.
    #[inline]
    #[must_use = "the waiters wait until they are woken"]
    pub fn take(&mut self) -> Option<Self> {
        // The first place is filled first and emptied with the others.
        let first = self.first.take()?;
        Some(Self { first: Some(first), more: core::mem::take(&mut self.more) })
    }

    /// Wakes all.
    pub fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for waker in self.more {
            waker.wake();
        }
    }
}

/// Wakes those who were taken.
#[inline]
pub fn wake(waiters: Option<Waiters>) {
    if let Some(waiters) = waiters {
        waiters.wake();
    }
}
