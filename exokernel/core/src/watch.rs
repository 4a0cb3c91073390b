//! Events: a word of bits to wait for.
//!
//! Owns who waits and which bits are set, under the kernel's lock; blocking and waking a dispatcher is the caller's.
//! Invariant: no queued waiter waits for a bit that is set. So no wake-up is lost: a bit that comes before the wait makes it
//! ready at once, one that comes after finds the waiter in the queue.

/// A waiter's number in the kernel's table of dispatchers. `u32::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct WaiterId(pub u32);

impl WaiterId {
    /// No waiter.
    pub const NONE: Self = Self(u32::MAX);

    fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// What a dispatcher keeps while it waits. It can be in one queue at a time.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    mask: u64,
    next: WaiterId,
    previous: WaiterId,
    queued: bool,
}

impl Waiter {
    /// A dispatcher that does not wait.
    pub const IDLE: Self =
        Self { mask: 0, next: WaiterId::NONE, previous: WaiterId::NONE, queued: false };

    /// Whether it is in an event's queue.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.queued
    }
}

/// Where waiters lie: in the dispatchers.
pub trait WaiterStore {
    /// The waiter of a dispatcher; `None` if there is none of this number.
    fn waiter_mut(&mut self, id: WaiterId) -> Option<&mut Waiter>;
}

/// Waiters of one event; bounds the work of a signal.
pub const MAX_WAITERS: u32 = 512;

/// What a wait comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// These bits were set, and are cleared now.
    Ready(u64),
    /// The waiter is in the queue and must block.
    Blocked,
    /// Not possible: [`MAX_WAITERS`] wait already, the mask is empty, or the waiter waits elsewhere.
    Refused,
}

/// An event.
#[derive(Debug)]
pub struct Watch {
    bits: u64,
    first: WaiterId,
    last: WaiterId,
    waiters: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// No bit set, nobody waiting.
    #[must_use]
    pub const fn new() -> Self {
        Self { bits: 0, first: WaiterId::NONE, last: WaiterId::NONE, waiters: 0 }
    }

    /// The bits that are set.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// How many wait.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        self.waiters
    }

    /// Clears and answers the bits of `mask` that are set; zero if none is.
    pub fn poll(&mut self, mask: u64) -> u64 {
        let ready = self.bits & mask;
        self.bits &= !ready;
        ready
    }

    /// Waits for a bit of `mask`.
    pub fn wait(&mut self, store: &mut impl WaiterStore, id: WaiterId, mask: u64) -> Wait {
        let last = self.last;
        let Some(waiter) = store.waiter_mut(id).filter(|waiter| !waiter.queued && mask != 0) else {
            return Wait::Refused;
        };
        let ready = self.poll(mask);
        if ready != 0 {
            return Wait::Ready(ready);
        }
        if self.waiters >= MAX_WAITERS {
            return Wait::Refused;
        }
        *waiter = Waiter { mask, next: WaiterId::NONE, previous: last, queued: true };
        match store.waiter_mut(last) {
            Some(last) => last.next = id,
            None => self.first = id,
        }
        self.last = id;
        self.waiters += 1;
        Wait::Blocked
    }

    /// Sets `bits`. Waiters, longest waiting first, get those that they wait for, leave the queue, and are told to `wake`
    /// with them; each bit goes to one waiter, what nobody waits for stays set.
    pub fn signal(
        &mut self,
        store: &mut impl WaiterStore,
        bits: u64,
        mut wake: impl FnMut(WaiterId, u64),
    ) {
        let mut at = self.set(bits);
        while let Some((waiter, ready)) = self.next_woken(store, &mut at) {
            wake(waiter, ready);
        }
    }

    /// The first half of [`Self::signal`]: sets `bits`. Where to begin with [`Self::next_woken`].
    #[inline]
    pub fn set(&mut self, bits: u64) -> WaiterId {
        self.bits |= bits;
        self.first
    }

    /// The second half of [`Self::signal`], one waiter at a time: the next from `at` on, with its bits. Nothing else may change
    /// the queue meanwhile.
    #[inline]
    pub fn next_woken(
        &mut self,
        store: &mut impl WaiterStore,
        at: &mut WaiterId,
    ) -> Option<(WaiterId, u64)> {
        loop {
            let id = *at;
            let waiter = store.waiter_mut(id).filter(|_| self.bits != 0)?;
            *at = waiter.next;
            let ready = self.bits & waiter.mask;
            if ready != 0 {
                self.bits &= !ready;
                self.unlink(store, id);
                return Some((id, ready));
            }
        }
    }

    /// Takes a waiter that gives up (deadline, end) out of the queue; whether it was in it. It must be this event's.
    pub fn cancel(&mut self, store: &mut impl WaiterStore, id: WaiterId) -> bool {
        let queued = store.waiter_mut(id).is_some_and(|waiter| waiter.queued);
        if queued {
            self.unlink(store, id);
        }
        queued
    }

    /// Takes the longest waiting one out of the queue, with nothing; for an event that ends.
    pub fn evict(&mut self, store: &mut impl WaiterStore) -> Option<WaiterId> {
        let id = self.first.some()?;
        self.unlink(store, id);
        Some(id)
    }

    fn unlink(&mut self, store: &mut impl WaiterStore, id: WaiterId) {
        let Some(waiter) = store.waiter_mut(id) else { return };
        let Waiter { next, previous, .. } = core::mem::replace(waiter, Waiter::IDLE);
        match store.waiter_mut(previous) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match store.waiter_mut(next) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
        self.waiters -= 1;
    }
}
