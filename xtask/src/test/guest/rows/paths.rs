//! Row 8: path lengths in instructions against their budgets, and where they go.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;

pub(super) const TESTS: &[Test] = &[
    Test { name: "8-path-lengths", seconds: 600, body: path_lengths },
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
