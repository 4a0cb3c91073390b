//! Row 8: path lengths in instructions against their budgets, and where they go.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;

pub(super) const TESTS: &[Test] = &[
    Test { name: "8-path-lengths", seconds: 600, body: path_lengths },
    Test { name: "8-histograms", seconds: 120, body: histograms },
    Test { name: "8-call-lengths", seconds: 300, body: call_lengths },
    Test { name: "8-profile", seconds: 120, body: profile },
];

fn path_lengths(bench: Bench) -> Result<()> {
    let ran = bench.measure()?;
    ran.expect_status(0)?;
    let output = String::from_utf8_lossy(&ran.output);
    output
        .lines()
        .filter(|line| line.starts_with("GREW "))
        .for_each(|line| println!("        {line}"));
    Ok(())
}

/// The lengths of calls that docs/abi.md says, counted again; where this is set they are written instead.
const UPDATE: &str = "SERIX_UPDATE_CALL_LENGTHS";

fn call_lengths(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/lengths.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--icount", "--manifest", manifest], &[], b"")?;
    ran.expect("", 0)?;
    let lines = ran.said().filter_map(|line| line.strip_prefix("CALL "));
    let counted: Vec<&str> = lines.collect();
    ensure!(counted.len() > 40, "few calls\n{ran}");
    let file = bench.source("exokernel/abi/tests/reference/lengths.txt");
    if std::env::var_os(UPDATE).is_some_and(|value| !value.is_empty()) {
        std::fs::write(&file, counted.join("\n") + "\n")?;
        println!(
            "        8-call-lengths: written; now SERIX_UPDATE_ABI_PAGE=1 cargo test -p serix-abi --test reference"
        );
        return Ok(());
    }
    let known = std::fs::read_to_string(&file)?;
    let differ: Vec<_> = counted.iter().filter(|line| !is_as_known(line, &known)).collect();
    ensure!(
        differ.is_empty(),
        "docs/abi.md says other lengths; {UPDATE}=1 writes them: {differ:?}"
    );
    Ok(())
}

/// Whether a line `name instructions calls` is about as one of those that are known: a quarter longer at most, and at least half as long.
fn is_as_known(line: &str, known: &str) -> bool {
    let numbers = |line: &str| -> Option<(u64, u64)> {
        let (spent, calls) = line.split_once(' ')?;
        Some((spent.parse().ok()?, calls.parse().ok()?))
    };
    let Some((name, now)) = line.split_once(' ') else { return false };
    let before = known.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    match (numbers(now), before.and_then(numbers)) {
        (Some((now, calls)), Some((before, calls_before))) => {
            calls == calls_before && now * 4 <= before * 5 + 200 && before <= now * 2 + 100
        }
        (None, None) => before == Some(now),
        _ => false,
    }
}

/// A shell that does nothing but call the system: kernel, libOS and program show in the graph, by names.
fn profile(bench: Bench) -> Result<()> {
    let graph = bench.file("graph.svg");
    let out = graph.to_str().context("a path in UTF-8")?;
    let script = "while :; do : > /dev/null; done";
    let ran = bench.profile(&["--samples", "100", "--out", out, "--", "sh", "-c", script])?;
    ran.expect_status(0)?;
    let svg = std::fs::read_to_string(&graph)?;
    for part in ["100 samples", "kernel`", "libos`serix_libos_posix::file", "program"] {
        ensure!(svg.contains(part), "no {part} in the graph\n{ran}");
    }
    Ok(())
}

/// Calls, faults, switches and shootdowns count in their rows if the kernel was asked to, and programs see them.
fn histograms(bench: Bench) -> Result<()> {
    let kept = ["--kernel-option", "histograms"];
    let manifest = bench.source("exokernel/tests/manifests/histograms.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&[kept[0], kept[1], "--manifest", manifest], &[], b"")?;
    ran.expect("", 0)?;
    let passed = "PASS basics: histograms_count_what_was_asked_for";
    ensure!(ran.said().any(|line| line == passed), "{ran}\n{}", ran.log);
    let text = std::fs::read_to_string(bench.source("exokernel/tests/manifests/cores.manifest"))?;
    let only = bench.file("cores.manifest");
    std::fs::write(&only, format!("{text}option = only=shoot\n"))?;
    let only = only.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&[kept[0], kept[1], "--smp", "4", "--manifest", only], &[], b"")?;
    ran.expect("", 0)?;
    let passed = "PASS shooting: shootdowns_were_counted_if_asked";
    ensure!(ran.said().any(|line| line == passed), "{ran}\n{}", ran.log);
    let script = "true | true; grep -E '^(ticks|MapRange|upcall|switch) ' /proc/serix/counters";
    let ran = bench.script(&kept, script)?;
    ran.expect_status(0)?;
    ensure!(ran.text().lines().count() == 4, "a row is missing\n{ran}");
    for line in ran.text().lines().skip(1) {
        let count = line.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok());
        ensure!(count.is_some_and(|count| count > 0), "nothing was counted: {line}\n{ran}");
    }
    bench.script(&[], "grep -c MapRange /proc/serix/counters")?.expect("0\n", 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lengths_may_differ_a_little() {
        let known = "Null 60 1\nExit -\nRevoke 1000 2\n";
        for line in
            ["Null 60 1", "Null 125 1", "Null 7 1", "Exit -", "Revoke 1300 2", "Revoke 450 2"]
        {
            assert!(super::is_as_known(line, known), "{line}");
        }
        for line in [
            "Null 126 1",
            "Exit 5 1",
            "Null -",
            "Other 1 1",
            "Revoke 1301 2",
            "Revoke 1000 3",
            "Revoke 449 2",
        ] {
            assert!(!super::is_as_known(line, known), "{line}");
        }
    }
}
