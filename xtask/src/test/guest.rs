//! The tests of the whole system: a table of names, limits and bodies.

mod rows;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Long;
use super::bench::Bench;
use super::tally::{Tally, Verdict};
use crate::places::Places;

/// Machines at a time.
const WORKERS: usize = 2;

/// For the run before the tests.
const WARM_UP: Duration = Duration::from_secs(120);

/// For random calls that are asked for by number, on one core or four: half a day.
const FUZZ_LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// A test of the whole system.
struct Test {
    /// Unique; the number is its row in docs/testing.md.
    name: &'static str,
    /// For each run in it.
    seconds: u64,
    /// Says what was not as expected.
    body: fn(Bench) -> Result<()>,
}

/// A body's error that says that it could not be run.
#[derive(Debug)]
struct Skip(String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// The names of all tests.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    rows::all().map(|test| test.name)
}

/// Whether a test is asked for.
pub(super) fn is_wanted(name: &str, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| name.contains(filter))
}

/// Runs those that are asked for.
pub(super) fn run(
    places: &Places,
    binaries: &Path,
    (filter, long): (Option<&str>, Option<&Long>),
    tally: &mut Tally,
) -> Result<()> {
    // The first run makes the root image and says so; the tests' own standard errors are theirs alone.
    let warm_up = Bench::new(places, binaries, "warm-up", WARM_UP)?;
    let ran = warm_up.run(&[], &["true"], b"")?;
    if ran.status != Some(0) {
        println!("the first run failed: {ran}");
    }
    let all: Vec<_> = if long.is_some() { rows::long().collect() } else { rows::all().collect() };
    let tests: Vec<_> = all.into_iter().filter(|test| is_wanted(test.name, filter)).collect();
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(tally));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let verdict = verdict(test, places, binaries, long);
                    let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    tally.add(test.name, &verdict, start.elapsed());
                }
            });
        }
    });
    Ok(())
}

/// Everything at once on four cores, for so many minutes of the guest's clock.
pub(super) fn soak(
    places: &Places,
    binaries: &Path,
    minutes: u64,
    tally: &mut Tally,
) -> Result<()> {
    let (seconds, start) = (minutes * 60, Instant::now());
    let bench = Bench::new(places, binaries, "soak", rows::soak_limit(seconds))?;
    let verdict = match rows::soak(&bench, seconds) {
        Ok(()) => Verdict::Passed,
        Err(error) => Verdict::Failed(format!("{error:#}")),
    };
    tally.add("soak", &verdict, start.elapsed());
    Ok(())
}

/// So many random native calls on one core, and then on four.
pub(super) fn fuzz(places: &Places, binaries: &Path, calls: u64, tally: &mut Tally) -> Result<()> {
    let length = rows::FuzzLength { calls, seconds: u64::from(u32::MAX) };
    for cores in [1, 4] {
        let (name, start) = (format!("random calls, {cores} cores"), Instant::now());
        let bench = Bench::new(places, binaries, &format!("fuzz-{cores}"), FUZZ_LIMIT)?;
        let verdict = match rows::fuzz(&bench, cores, length) {
            Ok(()) => Verdict::Passed,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        tally.add(&name, &verdict, start.elapsed());
    }
    Ok(())
}

fn verdict(test: &Test, places: &Places, binaries: &Path, long: Option<&Long>) -> Verdict {
    let limit = Duration::from_secs(test.seconds);
    let bench = Bench::new(places, binaries, test.name, limit);
    let result = bench.and_then(|bench| {
        let bench = bench.lengthened(long);
        let folder = bench.file("");
        (test.body)(bench).map(|()| folder)
    });
    match result {
        Ok(folder) => {
            // What stays is removed when the test runs again.
            let _ = std::fs::remove_dir_all(folder);
            Verdict::Passed
        }
        Err(error) => match error.downcast::<Skip>() {
            Ok(skip) => Verdict::Skipped(skip.0),
            Err(error) => Verdict::Failed(format!("{error:#}")),
        },
    }
}
