//! Counting, and the summary line.

use std::time::Duration;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As expected.
    Passed,
    /// Not so: what was seen.
    Failed(String),
    /// It could not be run: why.
    Skipped(String),
}

/// Tests by verdict.
#[derive(Debug)]
pub(super) struct Tally {
    /// A skip is a failure.
    strict: bool,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    pub(super) const fn new(strict: bool) -> Self {
        Self { strict, passed: 0, failed: 0, skipped: 0 }
    }

    /// Counts and prints one test.
    pub(super) fn add(&mut self, name: &str, verdict: &Verdict, time: Duration) {
        let seconds = time.as_secs_f64();
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                println!("ok      {name} ({seconds:.1} s)");
            }
            Verdict::Skipped(reason) if !self.strict => {
                self.skipped += 1;
                println!("skipped {name}: {reason}");
            }
            Verdict::Skipped(reason) => self.fail(name, &format!("skipped: {reason}"), seconds),
            Verdict::Failed(text) => self.fail(name, text, seconds),
        }
    }

    fn fail(&mut self, name: &str, text: &str, seconds: f64) {
        self.failed += 1;
        println!(
            "FAILED  {name} ({seconds:.1} s)\n    {}",
            text.trim_end().replace('\n', "\n    ")
        );
    }

    /// Counts tests that someone else has printed.
    pub(super) const fn add_counts(&mut self, passed: usize, failed: usize) {
        self.passed += passed;
        self.failed += failed;
    }

    pub(super) fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }

    /// Whether nothing failed, and something was run.
    pub(super) const fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_a_failure_where_it_must_not_be() {
        let skip = Verdict::Skipped("no musl-gcc".to_owned());
        let count = |strict| {
            let mut tally = Tally::new(strict);
            tally.add_counts(3, 0);
            tally.add("a", &skip, Duration::ZERO);
            tally.add("b", &Verdict::Passed, Duration::ZERO);
            (tally.summary(), tally.is_good())
        };
        assert_eq!(count(false), ("4 passed, 0 failed, 1 skipped".to_owned(), true));
        assert_eq!(count(true), ("4 passed, 1 failed, 0 skipped".to_owned(), false));
        assert!(!Tally::new(false).is_good(), "nothing was run");
    }
}
