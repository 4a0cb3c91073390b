//! Interval timers of a process: `setitimer` and `alarm`.
//!
//! Real time only runs a timer of the scheduler; the two CPU timers are looked at when a slice starts.
use super::Process;
use crate::raw::kernel;
use crate::sched::{self, TimerId};
use crate::signal::set::{SIGALRM, SIGPROF, SIGVTALRM};
use crate::signal::{self, Signal, SignalInfo};
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::task::Waker;

/// One timer: nanoseconds of its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalTimer {
    /// When it fires next; 0 if it does not.
    pub deadline_ns: u64,
    /// Period; 0 for once.
    pub interval_ns: u64,
}

impl IntervalTimer {
    /// What is left until it fires.
    #[must_use]
    pub const fn rest_ns(&self, now_ns: u64) -> u64 {
        // A timer that is due but has not fired shows that it runs.
        if self.deadline_ns == 0 {
            0
        } else if self.deadline_ns > now_ns {
            self.deadline_ns - now_ns
        } else {
            1
        }
    }

    /// Whether it fires at `now_ns`; then it is set for the next time.
    pub fn fire(&mut self, now_ns: u64) -> bool {
        if self.deadline_ns == 0 || now_ns < self.deadline_ns {
            return false;
        }
        self.deadline_ns = match self.interval_ns {
            0 => 0,
            interval => {
                let missed = (now_ns - self.deadline_ns) / interval;
                self.deadline_ns + (missed + 1) * interval
            }
        };
        true
    }
}

/// The timers of a process, by `ITIMER_*`.
#[derive(Debug, Default)]
pub struct IntervalTimers {
    timers: [IntervalTimer; 3],
    real: Option<TimerId>,
}

/// Signals of the three.
const SIGNALS: [Signal; 3] = [SIGALRM, SIGVTALRM, SIGPROF];

struct RealTimer(Weak<Process>);

impl Wake for RealTimer {
    fn wake(self: Arc<Self>) {
        if let Some(process) = self.0.upgrade() {
            process.real_timer_fired();
        }
    }
}

impl Process {
    /// The clock of a timer.
    fn timer_clock(&self, which: usize) -> u64 {
        if which == 0 { kernel::now_ns() } else { self.cpu_ns() }
    }

    /// A timer with what is left of it.
    #[must_use]
    pub fn timer(&self, which: usize) -> (IntervalTimer, u64) {
        let now = self.timer_clock(which);
        let timer = self.timers.lock().timers[which];
        (timer, timer.rest_ns(now))
    }

    /// Sets a timer to fire after `value_ns`, 0 to stop it; answers what [`Self::timer`] would have.
    pub fn set_timer(
        self: &Arc<Self>,
        which: usize,
        value_ns: u64,
        interval_ns: u64,
    ) -> (IntervalTimer, u64) {
        let old = self.timer(which);
        let now = self.timer_clock(which);
        let deadline_ns = if value_ns == 0 { 0 } else { now.saturating_add(value_ns) };
        self.timers.lock().timers[which] = IntervalTimer { deadline_ns, interval_ns };
        if which == 0 {
            self.arm_real_timer(deadline_ns);
        }
        old
    }

    fn arm_real_timer(self: &Arc<Self>, deadline_ns: u64) {
        let new = (deadline_ns != 0).then(|| {
            let waker = Waker::from(Arc::new(RealTimer(Arc::downgrade(self))));
            sched::add_timer(deadline_ns, waker)
        });
        let old = core::mem::replace(&mut self.timers.lock().real, new);
        if let Some(old) = old {
            sched::remove_timer(old);
        }
    }

    fn real_timer_fired(self: &Arc<Self>) {
        let next = {
            let mut timers = self.timers.lock();
            timers.real = None;
            if !timers.timers[0].fire(kernel::now_ns()) {
                return;
            }
            timers.timers[0].deadline_ns
        };
        if next != 0 {
            self.arm_real_timer(next);
        }
        let _ = signal::send(self, SignalInfo::kernel(SIGALRM));
    }

    /// Looks at the CPU timers.
    pub(crate) fn check_cpu_timers(self: &Arc<Self>) {
        let armed = {
            let timers = self.timers.lock();
            timers.timers[1].deadline_ns != 0 || timers.timers[2].deadline_ns != 0
        };
        if !armed {
            return;
        }
        let now = self.cpu_ns();
        for which in [1, 2] {
            if self.timers.lock().timers[which].fire(now) {
                let _ = signal::send(self, SignalInfo::kernel(SIGNALS[which]));
            }
        }
    }

    /// Stops all, when the process ends.
    pub(super) fn cancel_timers(&self) {
        let timers = core::mem::take(&mut *self.timers.lock());
        if let Some(timer) = timers.real {
            sched::remove_timer(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IntervalTimer;

    #[test]
    fn fires_once_or_periodically() {
        let mut once = IntervalTimer { deadline_ns: 10, interval_ns: 0 };
        assert!(!once.fire(9));
        assert!(once.fire(10));
        assert!(!once.fire(1000));
        let mut periodic = IntervalTimer { deadline_ns: 10, interval_ns: 10 };
        assert!(periodic.fire(35));
        assert_eq!(periodic.deadline_ns, 40);
        assert_eq!(periodic.rest_ns(38), 2);
        assert_eq!(periodic.rest_ns(45), 1);
    }
}
