//! Row 8: path lengths in instructions against their budgets, and where they go.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;

pub(super) const TESTS: &[Test] = &[
    Test { name: "8-path-lengths", seconds: 600, body: path_lengths },
    Test { name: "8-histograms", seconds: 120, body: histograms },
    Test { name: "8-profile", seconds: 120, body: profile },
];

fn path_lengths(bench: Bench) -> Result<()> {
    bench.measure()?.expect_status(0)
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
    ensure!(ran.log.lines().any(|line| line == passed), "{ran}\n{}", ran.log);
    let text = std::fs::read_to_string(bench.source("exokernel/tests/manifests/cores.manifest"))?;
    let only = bench.file("cores.manifest");
    std::fs::write(&only, format!("{text}option = only=shoot\n"))?;
    let only = only.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&[kept[0], kept[1], "--smp", "4", "--manifest", only], &[], b"")?;
    ran.expect("", 0)?;
    let passed = "PASS shooting: shootdowns_were_counted_if_asked";
    ensure!(ran.log.lines().any(|line| line == passed), "{ran}\n{}", ran.log);
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
