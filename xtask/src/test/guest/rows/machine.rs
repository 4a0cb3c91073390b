//! Row 15: machines of other makes and sizes.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;

pub(super) const TESTS: &[Test] = &[
    Test { name: "15-boards", seconds: 60, body: boards },
    Test { name: "15-sizes", seconds: 120, body: sizes },
];

/// Disk and link work on each chip set.
fn boards(bench: Bench) -> Result<()> {
    let script = "dd if=/dev/zero of=/x bs=1M count=4 2>/dev/null; sync; md5sum </x";
    let q35 = bench.script(&["--machine", "q35"], script)?;
    q35.expect_status(0)?;
    bench.script(&["--machine", "pc"], script)?.expect_same(&q35)
}

fn sizes(bench: Bench) -> Result<()> {
    for (memory, cores, least) in [("32M", "1", 8), ("8G", "2", 7 << 10), ("256M", "16", 128)] {
        let options = ["--mem", memory, "--smp", cores];
        let ran = bench.script(&options, "grep MemTotal /proc/meminfo")?;
        ran.expect_status(0)?;
        let words = ran.text();
        let total = words.split_whitespace().nth(1).context("no total")?.parse::<u64>()?;
        ensure!(total >= least << 10, "{memory}, {cores} cores: {total} KiB\n{ran}");
    }
    Ok(())
}
