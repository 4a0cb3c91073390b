//! Row 15: machines of other makes and sizes.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;
use super::{files, keep};

pub(super) const TESTS: &[Test] = &[
    Test { name: "15-boards", seconds: 60, body: boards },
    Test { name: "15-sizes", seconds: 300, body: sizes },
    Test {
        name: "15-ata-file-calls",
        seconds: 120,
        body: |bench| files::file_calls(bench.on(ATA)),
    },
    Test {
        name: "15-ata-further-disk",
        seconds: 60,
        body: |bench| files::further_disk(bench.on(ATA)),
    },
    Test {
        name: "15-ata-synced",
        seconds: 120,
        body: |bench| keep::kill_after_sync(bench.on(ATA)),
    },
    Test { name: "15-ata-power-off", seconds: 120, body: |bench| keep::power_off(bench.on(ATA)) },
    Test { name: "15-ata-high-memory", seconds: 120, body: ata_beyond_reach },
    Test {
        name: "15-mmio-file-calls",
        seconds: 120,
        body: |bench| files::file_calls(bench.on(MMIO)),
    },
    Test {
        name: "15-mmio-further-disk",
        seconds: 60,
        body: |bench| files::further_disk(bench.on(MMIO)),
    },
    Test {
        name: "15-mmio-synced",
        seconds: 120,
        body: |bench| keep::kill_after_sync(bench.on(MMIO)),
    },
    Test { name: "15-mmio-power-off", seconds: 120, body: |bench| keep::power_off(bench.on(MMIO)) },
];

const ATA: &[&str] = &["--machine", "pc", "--disk-bus", "ata"];
const MMIO: &[&str] = &["--machine", "microvm"];

/// Disk, link and clock work on each chip set.
fn boards(bench: Bench) -> Result<()> {
    let script = "dd if=/dev/zero of=/x bs=1M count=4 2>/dev/null; sync; md5sum </x; date +%s >&2";
    let machines: [&[&str]; 5] = [
        &["--machine", "q35"],
        &["--machine", "pc"],
        &["--machine", "microvm"],
        &["--machine", "q35", "--disk-bus", "ata"],
        ATA,
    ];
    for machine in machines {
        let ran = bench.script(machine, script)?;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        ran.expect("b5cfa9d6c8febd618f91ac2843d50a1c  -\n", 0)?;
        let told: u64 = ran.errors.trim().parse().with_context(|| ran.to_string())?;
        // A clock that runs wrong is far off after the second that all this takes.
        ensure!(now.abs_diff(told) < 60, "the clock is off by {} s: {ran}", now.abs_diff(told));
    }
    Ok(())
}

/// Little and much memory, one and many cores, on each chip set: one after the other, as each takes that memory of the host's.
fn sizes(bench: Bench) -> Result<()> {
    for board in ["q35", "pc", "microvm"] {
        for (memory, cores, least) in [("32M", "1", 8), ("8G", "2", 7 << 10), ("256M", "16", 128)] {
            size(&bench, board, memory, cores, least)?;
        }
    }
    Ok(())
}

/// The system has `least` MiB for programs, all cores, and a disk.
fn size(bench: &Bench, board: &str, memory: &str, cores: &str, least: u64) -> Result<()> {
    let options = ["--machine", board, "--mem", memory, "--smp", cores];
    let script = "grep MemTotal /proc/meminfo; echo x > /x; sync; cat /x";
    let ran = bench.script(&options, script)?;
    ran.expect_status(0)?;
    let words = ran.text();
    let total = words.split_whitespace().nth(1).context("no total")?.parse::<u64>()?;
    ensure!(total >= least << 10, "{board}, {memory}, {cores} cores: {total} KiB\n{ran}");
    ensure!(words.ends_with("\nx\n"), "{board}, {memory}, {cores} cores: {ran}");
    let all = format!(": {cores} cores, ");
    ensure!(ran.log.contains(&all), "not{all}\n{ran}");
    Ok(())
}

/// Frames above 4 GiB, which the controller does not reach, go through a buffer.
fn ata_beyond_reach(bench: Bench) -> Result<()> {
    let bench = bench.on(&["--machine", "pc", "--disk-bus", "ata", "--low-memory", "48M"]);
    let bench = bench.with_own_target()?;
    bench.script(&["--keep"], "seq 1 200000 > /x")?.expect("", 0)?;
    let read = bench.script(&["--keep"], "md5sum < /x")?;
    read.expect_same(&bench.host_script("seq 1 200000 | md5sum", &[])?)
}
