//! The tests of crates: `cargo test` of the whole workspace, then the models, which are built in their own way.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::tally::{Tally, Verdict};
use super::{Long, miri};
use crate::build::Cargo;
use crate::places::Places;

/// For building and running all of them.
const LIMIT: Duration = Duration::from_secs(25 * 60);
/// For the long runs.
const LONG_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);
/// For building and running a model of a crate: every interleaving, or an interpreter.
const MODEL_LIMIT: Duration = Duration::from_secs(20 * 60);
/// What asks the suites for their long runs.
const LONG: &str = "SERIX_LONG";
/// Where they find Linux.
const LINUX: &str = "SERIX_LINUX";
/// The crate of the kernel's algorithms.
const CORE: &str = "serix-core";

/// Runs them, or the long runs of those that have some; what cargo says is shown as it comes.
pub(super) fn run(
    places: &Places,
    (filter, long): (Option<&str>, Option<&Long>),
    tally: &mut Tally,
) -> Result<()> {
    let words: &[&str] = match long {
        Some(_) => &["test", "--release", "-p", "serix-ext4"],
        None => &["test", "--workspace"],
    };
    let mut command = Cargo::new(places).command(words);
    command.arg("--no-fail-fast").args(filter);
    if let Some(long) = long {
        command.env(LONG, "1").envs(long.linux.iter().map(|folder| (LINUX, folder)));
        return carry_out("host", command, LONG_LIMIT, tally);
    }
    carry_out("host", command, LIMIT, tally)?;
    carry_out("loom", loom(places, filter)?, MODEL_LIMIT, tally)
}

/// Waiting and signalling in every interleaving. All that it is built from is built in another way, so in a folder of its own.
fn loom(places: &Places, filter: Option<&str>) -> Result<Command> {
    let mut command =
        Cargo::new(places).command(&["test", "--package", CORE, "--test", "watch_loom"]);
    command.args(filter).env("CARGO_TARGET_DIR", places.serix_folder("loom")?);
    command.env("RUSTFLAGS", "--cfg loom").env_remove("CARGO_ENCODED_RUSTFLAGS");
    Ok(command)
}

/// The tests of the kernel's algorithms in Miri, with few random cases each.
pub(super) fn miri(places: &Places, install: bool, tally: &mut Tally) -> Result<()> {
    if let Err(reason) = miri::ensure(install) {
        tally.add("miri", &Verdict::Skipped(format!("{reason:#}")), Duration::ZERO);
        return Ok(());
    }
    let mut command = miri::command(places)?;
    command.args(["test", "--package", CORE, "--no-fail-fast"]);
    carry_out("miri", command, LONG_LIMIT, tally)
}

/// Runs a command that tests, and counts what it says.
fn carry_out(name: &str, mut command: Command, limit: Duration, tally: &mut Tally) -> Result<()> {
    let start = Instant::now();
    // A test that cannot be run passes, and says `SKIP name: reason`.
    command.args(["--", "--show-output"]).stdout(Stdio::piped());
    let mut cargo = command.spawn().context("cannot start cargo")?;
    let stdout = cargo.stdout.take().context("cargo has no standard output")?;
    let reader = std::thread::spawn(move || read(stdout, |line| println!("{line}")));
    let status = wait(&mut cargo, start, limit)?;
    let Some(status) = status else {
        let text = format!("no end after {} minutes", limit.as_secs() / 60);
        tally.add(name, &Verdict::Failed(text), start.elapsed());
        return Ok(());
    };
    let counts = reader.join().unwrap_or_default();
    tally.add_counts(counts.passed.saturating_sub(counts.skipped.len()), counts.failed);
    for (name, reason) in counts.skipped {
        tally.add(&name, &Verdict::Skipped(reason), Duration::ZERO);
    }
    if !status.success() && counts.failed == 0 {
        let text = format!("cargo test failed ({status}); what it said is above");
        tally.add(name, &Verdict::Failed(text), start.elapsed());
    }
    Ok(())
}

fn wait(
    cargo: &mut Child,
    start: Instant,
    limit: Duration,
) -> Result<Option<std::process::ExitStatus>> {
    while start.elapsed() < limit {
        if let Some(status) = cargo.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    cargo.kill()?;
    cargo.wait()?;
    Ok(None)
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    /// Names and reasons; these have passed as far as cargo knows.
    skipped: Vec<(String, String)>,
}

/// Shows the lines that say something and counts those with results. What tests that passed have printed
/// stands behind `successes:`.
fn read(stdout: impl Read, mut show: impl FnMut(&str)) -> Counts {
    let mut counts = Counts::default();
    let mut is_success = false;
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some((passed, failed)) = results(&line) {
            counts.passed += passed;
            counts.failed += failed;
        }
        match line.as_str() {
            "successes:" => is_success = true,
            "failures:" => is_success = false,
            line if line.starts_with("test result: ") => is_success = false,
            _ => {}
        }
        counts.skipped.extend(skip(&line).filter(|_| is_success));
        if !is_success && is_shown(&line) {
            show(&line);
        }
    }
    counts
}

/// Numbers in `test result: ok. 3 passed; 0 failed; …`.
fn results(line: &str) -> Option<(usize, usize)> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = rest.split(word).next()?.trim_end();
        before.rsplit(' ').next()?.parse().ok()
    };
    Some((number("passed")?, number("failed")?))
}

/// Name and reason in `SKIP name: reason`.
fn skip(line: &str) -> Option<(String, String)> {
    let (name, reason) = line.strip_prefix("SKIP ")?.split_once(": ")?;
    Some((name.to_owned(), reason.to_owned()))
}

/// Each passed test and each crate without tests is one line too many.
fn is_shown(line: &str) -> bool {
    let is_passed = line.starts_with("test ") && line.ends_with("... ok");
    let is_empty = line.starts_with("test result: ok. 0 passed");
    !is_passed && !is_empty && !line.trim().is_empty() && line != "running 0 tests"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(results(line), Some((12, 3)));
        assert_eq!(results("test a ... ok"), None);
        let text = format!("running 2 tests\ntest a ... ok\n{line}\n{line}\n");
        let counts = read(text.as_bytes(), |_| {});
        assert_eq!((counts.passed, counts.failed), (24, 6));
    }

    #[test]
    fn skips_carry_their_reasons() {
        let text = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nSKIP a: no OVMF\n\nsuccesses:\n    a\n\n\
                    failures:\n\n---- b stdout ----\nSKIP b: not so\n\n\
                    test result: FAILED. 1 passed; 1 failed; 0 ignored\n";
        let counts = read(text.as_bytes(), |_| {});
        assert_eq!((counts.passed, counts.failed), (1, 1));
        assert_eq!(counts.skipped, [("a".to_owned(), "no OVMF".to_owned())]);
    }
}
