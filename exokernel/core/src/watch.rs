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
    #[inline(always)]
    pub fn poll(&mut self, mask: u64) -> u64 {
        let ready = self.bits & mask;
        self.bits &= !ready;
        ready
    }

    /// Waits for a bit of `mask`.
    #[inline(always)]
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
    #[inline(always)]
    pub fn set(&mut self, bits: u64) -> WaiterId {
        self.bits |= bits;
        self.first
    }

    /// The second half of [`Self::signal`], one waiter at a time: the next from `at` on, with its bits. Nothing else may change
    /// the queue meanwhile.
    #[inline(always)]
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

    /// The waiter, if there is exactly one.
    #[inline(always)]
    #[must_use]
    pub fn only_waiter(&self) -> Option<WaiterId> {
        (self.waiters == 1).then_some(self.first)
    }

    /// As [`Self::signal`], of an event whose only waiter is at hand: the bits that it is woken with.
    #[inline(always)]
    pub fn signal_only(&mut self, waiter: &mut Waiter, bits: u64) -> Option<u64> {
        debug_assert!(self.waiters == 1 && waiter.queued, "the only waiter");
        self.bits |= bits;
        let ready = self.bits & waiter.mask;
        if ready == 0 {
            return None;
        }
        *waiter = Waiter::IDLE;
        *self = Self { bits: self.bits & !ready, ..Self::new() };
        Some(ready)
    }

    /// As [`Self::wait`], for a waiter at hand, of an event that nobody waits for and that has none of the bits; false if the
    /// waiter waits elsewhere.
    #[inline(always)]
    pub fn wait_first(&mut self, waiter: &mut Waiter, id: WaiterId, mask: u64) -> bool {
        debug_assert!(self.waiters == 0 && self.bits & mask == 0, "nobody waits");
        if waiter.queued {
            return false;
        }
        *waiter = Waiter { mask, next: WaiterId::NONE, previous: WaiterId::NONE, queued: true };
        (self.first, self.last, self.waiters) = (id, id, 1);
        true
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

    #[inline(always)]
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

#[cfg(test)]
mod tests {
    use super::{Wait, Waiter, WaiterId, WaiterStore, Watch};
    use std::vec;
    use std::vec::Vec;

    impl WaiterStore for Vec<Waiter> {
        fn waiter_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
            self.get_mut(id.0 as usize)
        }
    }

    /// The short ways do what the general ones do.
    #[test]
    fn one_waiter_at_hand_is_as_one_in_the_store() {
        for (mask, bits, before) in [(1, 1, 0), (1, 2, 0), (6, 3, 0), (4, 12, 3), (1 << 63, 0, 1)] {
            let mut general = (Watch::new(), vec![Waiter::IDLE]);
            let mut short = (Watch::new(), Waiter::IDLE);
            general.0.set(before);
            short.0.set(before);
            assert_eq!(general.0.wait(&mut general.1, WaiterId(0), mask), Wait::Blocked);
            assert!(short.0.wait_first(&mut short.1, WaiterId(0), mask));
            assert!(
                !Watch::new().wait_first(&mut short.1, WaiterId(0), mask),
                "it waits elsewhere"
            );
            assert_eq!(short.0.only_waiter(), Some(WaiterId(0)));
            let mut woken = None;
            general.0.signal(&mut general.1, bits, |_, ready| woken = Some(ready));
            assert_eq!(short.0.signal_only(&mut short.1, bits), woken, "{mask:#x} {bits:#x}");
            assert_eq!(short.0.bits(), general.0.bits());
            assert_eq!(short.0.waiters(), general.0.waiters());
            assert_eq!(short.1.is_queued(), general.1[0].is_queued());
            assert_eq!(short.0.only_waiter(), woken.is_none().then_some(WaiterId(0)));
        }
    }
}
