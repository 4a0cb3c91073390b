//! Row 9: four cores at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, Ran};
use super::super::{Skip, Test};

pub(super) const TESTS: &[Test] = &[
    Test { name: "9-cores", seconds: 400, body: cores },
    Test { name: "9-x2apic", seconds: 400, body: x2apic },
    Test { name: "9-soak", seconds: 900, body: |bench| soak(&bench, SOAK_SECONDS) },
];

/// Of the guest's clock.
const SOAK_SECONDS: u64 = 60;

fn cores(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/cores.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--smp", "4", "--manifest", manifest], &[], b"")?;
    expect(&ran, 24)
}

/// The same, and a little of everything at once, on a machine whose cores are in x2APIC mode.
fn x2apic(bench: Bench) -> Result<()> {
    let text = std::fs::read_to_string(bench.source("exokernel/tests/manifests/soak.manifest"))?;
    let soak = bench.file("manifest");
    std::fs::write(&soak, format!("{text}option = seconds=10\n"))?;
    let cores = bench.source("exokernel/tests/manifests/cores.manifest");
    for (manifest, passes) in [(cores, 24), (soak, 2)] {
        let manifest = manifest.to_str().context("a path in UTF-8")?;
        let ran = match bench.run_on_newer_qemu(&["--smp", "4", "--manifest", manifest])? {
            Ok(ran) => ran,
            Err(reason) => return Err(Skip(reason).into()),
        };
        ensure!(says(&ran, "kernel: local APICs in x2APIC mode"), "another mode\n{}", ran.log);
        expect(&ran, passes)?;
    }
    Ok(())
}

fn says(ran: &Ran, wanted: &str) -> bool {
    ran.log.lines().any(|line| line == wanted)
}

/// How long the host may take for so much of the guest's time: the guest's clock runs slower where the host is busy.
pub(in super::super) fn limit(seconds: u64) -> Duration {
    Duration::from_secs(seconds * 10 + 120)
}

/// Everything at once for so many seconds of the guest's clock.
pub(in super::super) fn soak(bench: &Bench, seconds: u64) -> Result<()> {
    let text = std::fs::read_to_string(bench.source("exokernel/tests/manifests/soak.manifest"))?;
    let manifest = bench.file("manifest");
    std::fs::write(&manifest, format!("{text}option = seconds={seconds}\n"))?;
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--smp", "4", "--manifest", manifest], &[], b"")?;
    for line in ran.said().filter(|line| is_told(line)) {
        println!("        {line}");
    }
    expect(&ran, 2)
}

fn is_told(line: &str) -> bool {
    line.starts_with("SEED ") || line.starts_with("operations") || line.starts_with("WRONG ")
}

fn expect(ran: &Ran, passes: usize) -> Result<()> {
    ran.expect("", 0)?;
    let count = |start: &str| ran.said().filter(|line| line.starts_with(start)).count();
    ensure!(count("FAIL ") == 0 && count("PASS ") >= passes, "{ran}\n{}", ran.log);
    ensure!(count("PASS ledger: no violations") > 0, "the ledger\n{ran}");
    ensure!(
        ran.log.lines().any(|line| line == "init: ledger check: 0 violations"),
        "the ledger at the end\n{ran}"
    );
    Ok(())
}
