//! From measurements to figures.

use core::fmt;

/// Instructions of the loop that shows whether the clock counts instructions: [`is_exact`].
pub const KNOWN_LENGTH: u64 = 2000;

/// What is said of a row, in ticks of the clock, the clock's own cost taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The shortest.
    pub min: u64,
    /// Half took no longer.
    pub median: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// Measurements.
    pub rounds: usize,
}

impl Figures {
    /// Of these measurements, each of which holds `cost` ticks of measuring. They are sorted in place.
    ///
    /// # Panics
    /// Without measurements.
    #[must_use]
    pub fn of(measurements: &mut [u64], cost: u64) -> Self {
        measurements.sort_unstable();
        let rounds = measurements.len();
        let at = |index: usize| measurements[index].saturating_sub(cost);
        Self {
            min: at(0),
            median: at(rounds / 2),
            p99: at((rounds * 99).div_ceil(100) - 1),
            rounds,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.min, self.median, self.p99, self.rounds)
    }
}

/// Whether a clock counts instructions: a loop of [`KNOWN_LENGTH`] instructions takes exactly so many ticks.
#[must_use]
pub const fn is_exact(loop_ticks: u64) -> bool {
    loop_ticks == KNOWN_LENGTH
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn figures_are_order_statistics_less_the_cost() {
        let mut all: std::vec::Vec<u64> = (0..1000).rev().map(|n| n + 50).collect();
        let figures = Figures::of(&mut all, 50);
        assert_eq!(figures, Figures { min: 0, median: 500, p99: 989, rounds: 1000 });
        assert_eq!(std::format!("{figures}"), "0 500 989 1000");
        assert_eq!(Figures::of(&mut [7], 3), Figures { min: 4, median: 4, p99: 4, rounds: 1 });
        assert_eq!(Figures::of(&mut [1], 3).median, 0, "never below nothing");
    }

    #[test]
    fn only_the_known_length_is_exact() {
        assert!(is_exact(2000) && !is_exact(1999) && !is_exact(2400));
    }
}
