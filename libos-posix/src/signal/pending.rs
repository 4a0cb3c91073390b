//! Signals that wait. Pure.
use super::info::SignalInfo;
use super::set::{REAL_TIME_FIRST, Signal, SignalSet};
use alloc::collections::VecDeque;

/// Real-time signals that one queue holds.
const QUEUE_MAX: usize = 1024;

/// Signals that wait for a thread, or for any thread of a process.
///
/// Standard signals wait once, real-time signals as often as they were sent, in order.
#[derive(Debug, Default)]
pub struct Pending {
    set: SignalSet,
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
    pub fn add(&mut self, info: SignalInfo) -> bool {
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
        let signal = self.set.and(wanted).first()?;
        self.take_one(signal)
    }

    fn take_one(&mut self, signal: Signal) -> Option<SignalInfo> {
        if self.queue.len() == 1 {
            self.set = SignalSet::EMPTY;
            return self.queue.pop_front();
        }
        let at = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(at)?;
        if !self.queue.iter().any(|other| other.signal == signal) {
            self.set = self.set.without(SignalSet::of(signal));
        }
        Some(info)
    }

    /// Forgets those in `unwanted`.
    pub fn discard(&mut self, unwanted: SignalSet) {
        if !self.set.and(unwanted).is_empty() {
            self.set = self.set.without(unwanted);
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
