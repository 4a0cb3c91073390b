//! The tests of crates: `cargo test` of the whole workspace.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::tally::{Tally, Verdict};
use crate::build::Cargo;
use crate::places::Places;

/// For building and running all of them.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Runs them; what cargo says is shown as it comes.
pub(super) fn run(places: &Places, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let start = Instant::now();
    let mut command = Cargo::new(places).command(&["test", "--workspace", "--no-fail-fast"]);
    command.args(filter).stdout(Stdio::piped());
    let mut cargo = command.spawn().context("cannot start cargo")?;
    let stdout = cargo.stdout.take().context("cargo has no standard output")?;
    let reader = std::thread::spawn(move || read(stdout));
    let status = wait(&mut cargo, start)?;
    let Some(status) = status else {
        let text = format!("no end after {} minutes", LIMIT.as_secs() / 60);
        tally.add("host", &Verdict::Failed(text), start.elapsed());
        return Ok(());
    };
    let counts = reader.join().unwrap_or_default();
    tally.add_counts(counts.passed, counts.failed);
    if !status.success() && counts.failed == 0 {
        let text = format!("cargo test failed ({status}); what it said is above");
        tally.add("host", &Verdict::Failed(text), start.elapsed());
    }
    Ok(())
}

fn wait(cargo: &mut Child, start: Instant) -> Result<Option<std::process::ExitStatus>> {
    while start.elapsed() < LIMIT {
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
}

/// Shows the lines that say something and counts those with results.
fn read(stdout: impl Read) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some((passed, failed)) = results(&line) {
            counts.passed += passed;
            counts.failed += failed;
        }
        if is_shown(&line) {
            println!("{line}");
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
        let counts = read(text.as_bytes());
        assert_eq!((counts.passed, counts.failed), (24, 6));
    }
}
