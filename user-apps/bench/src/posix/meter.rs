//! The clock, what reading it costs, and room for measurements that was touched before.

use serix_bench::{Figures, is_exact};

use crate::raw;

/// Most rounds of a row.
const ROUNDS_MAX: usize = 2001;

/// Takes measurements.
pub(crate) struct Meter {
    room: Vec<u64>,
    /// Ticks between two readings with nothing between them.
    cost: u64,
    is_exact: bool,
}

/// What a row gives.
pub(crate) type Outcome = Result<Figures, String>;

impl Meter {
    /// With its own cost measured.
    pub(crate) fn new() -> Self {
        let mut meter = Self { room: vec![1; ROUNDS_MAX], cost: 0, is_exact: false };
        meter.room.fill(0);
        meter.cost = meter.figures(1001, || Ok(())).map_or(0, |figures| figures.median);
        let length = meter.figures(101, || {
            raw::loop_of_known_length();
            Ok(())
        });
        meter.is_exact = length.is_ok_and(|figures| is_exact(figures.median));
        meter
    }

    /// Whether the clock counts instructions.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Measures `once`, `rounds` times after two that do not count.
    ///
    /// # Errors
    /// What `once` found wrong.
    pub(crate) fn figures(
        &mut self,
        rounds: usize,
        once: impl FnMut() -> Result<(), String>,
    ) -> Outcome {
        self.figures_checked(rounds, once, || Ok(()))
    }

    /// The same, with a look at the effect after each round that is not part of what is measured.
    ///
    /// # Errors
    /// What `once` or `check` found wrong.
    pub(crate) fn figures_checked(
        &mut self,
        rounds: usize,
        mut once: impl FnMut() -> Result<(), String>,
        mut check: impl FnMut() -> Result<(), String>,
    ) -> Outcome {
        let rounds = rounds.min(ROUNDS_MAX);
        once()?;
        once()?;
        for place in &mut self.room[..rounds] {
            let before = raw::ticks();
            let outcome = once();
            *place = raw::ticks() - before;
            outcome?;
            check()?;
        }
        Ok(Figures::of(&mut self.room[..rounds], self.cost))
    }
}

/// An error unless this holds, built where it fails.
#[inline(always)]
pub(crate) fn must(holds: bool, what: &'static str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(failure(what)) }
}

#[cold]
#[inline(never)]
fn failure(what: &'static str) -> String {
    format!("{what} (last error: {})", std::io::Error::last_os_error())
}
