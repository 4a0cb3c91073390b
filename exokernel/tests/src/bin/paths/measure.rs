//! Measuring: repetitions, the cost of the clock, and whether it counts instructions.

use serix_abi::Error;
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::known_loop;
use serix_kernel_tests::{Check, Session, Test, ensure, tests};
use serix_sys::time::ticks;

pub(crate) const TESTS: &[Test] = tests!["paths": the_clock_counts_instructions];

/// Repetitions; the median is printed.
pub(crate) const ROUNDS: usize = 101;

/// A loop of known length says whether a tick is an instruction.
fn the_clock_counts_instructions(_: &mut Session) -> Check {
    let is_exact = (0..8).all(|_| known_loop(2000) == known_loop(1000) + 2000);
    line(format_args!("CLOCK {}", if is_exact { "instructions" } else { "time" }));
    Ok(())
}

/// Prints minimum, median and 99th percentile of [`ROUNDS`] measurements, less the cost of the measurement.
pub(crate) fn measure(
    name: &str,
    units: u64,
    mut once: impl FnMut() -> Result<u64, Error>,
) -> Check {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        *place = once()?;
    }
    let cost = empty();
    all.iter_mut().for_each(|taken| *taken = taken.saturating_sub(cost) / units);
    print(name, &mut all)
}

/// Prints minimum, median and 99th percentile of what was taken.
pub(crate) fn print(name: &str, all: &mut [u64]) -> Check {
    all.sort_unstable();
    let rounds = all.len();
    let [min, median, p99] = [0, rounds / 2, rounds * 99 / 100].map(|at| all[at]);
    line(format_args!("BENCH {name} {min} {median} {p99} {rounds}"));
    ensure!(median > 0, "{name}: the clock stands still");
    Ok(())
}

/// What two readings of the clock cost.
pub(crate) fn empty() -> u64 {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        let before = ticks();
        *place = ticks() - before;
    }
    all.sort_unstable();
    all[ROUNDS / 2]
}

/// Ticks between two looks at the clock that no loop takes by itself.
pub(crate) const LEAST_GAP: u64 = 64;
/// Ticks in which there is a gap, or there is none.
const PATIENCE: u64 = 10_000_000_000;

/// Spins until so many ticks pass between two looks at the clock: what it showed before and after.
pub(crate) fn gap(least: u64) -> Result<(u64, u64), Error> {
    let mut before = ticks();
    let end = before + PATIENCE;
    while before < end {
        let after = ticks();
        if after - before >= least {
            return Ok((before, after));
        }
        before = after;
    }
    Err(Error::TimedOut)
}
