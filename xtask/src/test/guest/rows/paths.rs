//! Row 8: path lengths in instructions, against a file of budgets.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;

pub(super) const TESTS: &[Test] =
    &[Test { name: "8-path-lengths", seconds: 300, body: path_lengths }];

/// `NAME INSTRUCTIONS`, a path on each line.
const BUDGETS: &str = include_str!("../budgets.txt");
/// Hundredths by which a path may exceed its budget before it fails.
const TOLERANCE: u64 = 2;

fn path_lengths(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/paths.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--icount", "--manifest", manifest], &[], b"")?;
    ran.expect("", 0)?;
    let measured = measurements(&ran.log);
    let mut over = Vec::new();
    for line in BUDGETS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, budget) = line.split_once(' ').context("a line of budgets.txt")?;
        let budget: u64 = budget.trim().parse().context("a number in budgets.txt")?;
        let length =
            measured.get(name).with_context(|| format!("{name} was not measured\n{ran}"))?;
        if length * 100 > budget * (100 + TOLERANCE) {
            over.push(format!("{name}: {length} instructions, and its budget is {budget}"));
        }
    }
    ensure!(over.is_empty(), "{}", over.join("\n"));
    Ok(())
}

/// Paths that the log gives lengths of: `PATH name n`, and the boot.
fn measurements(log: &str) -> BTreeMap<String, u64> {
    let path = |line: &str| {
        let (name, length) = line.strip_prefix("PATH ")?.split_once(' ')?;
        Some((name.to_owned(), length.trim().parse().ok()?))
    };
    let boot = |line: &str| {
        let (_, rest) = line.split_once("first domain starts after ")?;
        Some(("boot-to-first-domain".to_owned(), rest.split(' ').next()?.parse().ok()?))
    };
    log.lines().filter_map(|line| path(line).or_else(|| boot(line))).collect()
}
