//! Signals that wait. Pure.
use super::info::SignalInfo;
use super::set::{REAL_TIME_FIRST, Signal, SignalSet};
use alloc::collections::VecDeque;

/// Real-time signals that one queue holds.
const QUEUE_MAX: usize = 1024;

/// Signals that wait for a thread, or for any thread of a process.
///
/// Standard signals wait once, real-time signals as often as they were sent, in order. One that waits alone is kept in
/// place: the queue has something only while there are more.
#[derive(Debug, Default)]
pub struct Pending {
    set: SignalSet,
    /// The oldest, unless it was taken before the others.
    first: Option<SignalInfo>,
    queue: VecDeque<SignalInfo>,
}

impl Pending {
    /// Which wait.
    #[inline]
    #[must_use]
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// Adds one. False if it is a real-time signal and the queue is full; a standard signal that waits already
    /// stays as it is.
    #[inline]
    pub fn add(&mut self, info: SignalInfo) -> bool {
        if self.set.is_empty() {
            self.set = SignalSet::of(info.signal);
            self.first = Some(info);
            return true;
        }
        self.add_further(info)
    }

    #[cold]
    fn add_further(&mut self, info: SignalInfo) -> bool {
        let waits = self.set.has(info.signal);
        if info.signal < REAL_TIME_FIRST && waits {
            return true;
        }
        if info.signal >= REAL_TIME_FIRST && self.queue.len() >= QUEUE_MAX {
            return false;
        }
        self.set = self.set.with(SignalSet::of(info.signal));
        self.queue.push_back(info);
        true
    }

    /// Takes the first of those in `wanted`.
    #[inline(always)]
    pub fn take(&mut self, wanted: SignalSet) -> Option<SignalInfo> {
        if self.set.and(wanted).is_empty() {
            return None;
        }
        if self.queue.is_empty() {
            self.set = SignalSet::EMPTY;
            return self.first.take();
        }
        self.take_one(self.set.and(wanted).first()?)
    }

    #[cold]
    fn take_one(&mut self, signal: Signal) -> Option<SignalInfo> {
        let taken = match self.first.take_if(|info| info.signal == signal) {
            Some(info) => info,
            None => {
                let at = self.queue.iter().position(|info| info.signal == signal)?;
                self.queue.remove(at)?
            }
        };
        if !self.first.iter().chain(&self.queue).any(|other| other.signal == signal) {
            self.set = self.set.without(SignalSet::of(signal));
        }
        Some(taken)
    }

    /// Forgets those in `unwanted`.
    pub fn discard(&mut self, unwanted: SignalSet) {
        if !self.set.and(unwanted).is_empty() {
            self.set = self.set.without(unwanted);
            drop(self.first.take_if(|info| unwanted.has(info.signal)));
            self.queue.retain(|info| !unwanted.has(info.signal));
        }
    }

    /// Forgets all occurrences of one.
    pub fn discard_one(&mut self, signal: Signal) {
        self.discard(SignalSet::of(signal));
    }
}

#[cfg(test)]
mod tests {
    use super::super::set::{SIGHUP, SIGSEGV, SIGTERM};
    use super::*;

    const ALL: SignalSet = SignalSet(u64::MAX);

    fn sent(signal: Signal, pid: u32) -> SignalInfo {
        SignalInfo::from_process(signal, 0, pid, 0)
    }

    #[test]
    fn standard_signals_wait_once_and_keep_their_first_origin() {
        let mut pending = Pending::default();
        assert!(pending.add(sent(SIGTERM, 1)));
        assert!(pending.add(sent(SIGTERM, 2)));
        assert_eq!(pending.take(ALL), Some(sent(SIGTERM, 1)));
        assert_eq!(pending.take(ALL), None);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn real_time_signals_queue_in_order() {
        let mut pending = Pending::default();
        for pid in 0..3 {
            assert!(pending.add(sent(40, pid)));
        }
        assert!(pending.add(sent(SIGHUP, 9)));
        assert_eq!(pending.take(ALL), Some(sent(SIGHUP, 9)));
        for pid in 0..3 {
            assert!(pending.set().has(40));
            assert_eq!(pending.take(ALL), Some(sent(40, pid)));
        }
        assert!(!pending.set().has(40));
    }

    #[test]
    fn what_is_taken_and_forgotten_is_gone_wherever_it_waited() {
        for gone in [SIGHUP, SIGTERM, SIGSEGV] {
            let mut pending = Pending::default();
            for signal in [SIGTERM, SIGHUP, SIGSEGV] {
                pending.add(sent(signal, signal));
            }
            pending.discard_one(gone);
            let mut left: std::vec::Vec<_> = std::iter::from_fn(|| pending.take(ALL)).collect();
            left.sort_by_key(|info| info.signal);
            let expected: std::vec::Vec<_> =
                [SIGHUP, SIGSEGV, SIGTERM].into_iter().filter(|signal| *signal != gone).collect();
            assert_eq!(left.iter().map(|info| info.signal).collect::<std::vec::Vec<_>>(), expected);
            assert!(left.iter().all(|info| *info == sent(info.signal, info.signal)));
            assert!(pending.set().is_empty() && pending.take(ALL).is_none());
        }
    }

    #[test]
    fn masked_signals_stay_and_full_queues_refuse() {
        let mut pending = Pending::default();
        pending.add(sent(SIGSEGV, 0));
        assert_eq!(pending.take(SignalSet::of(SIGHUP)), None);
        while pending.add(sent(50, 0)) {}
        assert!(pending.add(sent(SIGTERM, 0)));
        pending.discard_one(50);
        assert!(pending.add(sent(50, 0)));
        assert!(pending.set().has(SIGSEGV));
    }
}
