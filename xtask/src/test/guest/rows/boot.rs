//! Row 15: disk images, and the ways to the kernel.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::{Skip, Test};
use crate::setup::Tool;

pub(super) const TESTS: &[Test] = &[
    Test { name: "15-image-identical", seconds: 120, body: identical },
    Test { name: "15-boot-progress", seconds: 60, body: progress },
    Test { name: "15-boot-uefi", seconds: 240, body: uefi },
];

/// Skips where there is no loader for UEFI, or no firmware though it is needed.
fn need_uefi(bench: &Bench, firmware: bool) -> Result<()> {
    ensure!(
        bench.has_uefi_loader(),
        Skip("Rust's target x86_64-unknown-uefi is missing".to_owned())
    );
    match Tool::Ovmf.check() {
        Err(error) if firmware => Err(Skip(error.to_string()).into()),
        _ => Ok(()),
    }
}

/// Two images of the same inputs are the same, and one of other inputs is another.
fn identical(bench: Bench) -> Result<()> {
    need_uefi(&bench, false)?;
    let image = |name: &str, program: &str| {
        let file = bench.file(name);
        bench.image(&file, &[], &[program])?.expect_status(0)?;
        Ok::<_, anyhow::Error>(file)
    };
    let (first, second, other) = (image("a", "true")?, image("b", "true")?, image("c", "false")?);
    ensure!(are_same(&bench, &first, &second)?, "the same inputs gave other bytes");
    ensure!(!are_same(&bench, &first, &other)?, "another program gave the same bytes");
    Ok(())
}

fn are_same(bench: &Bench, one: &Path, other: &Path) -> Result<bool> {
    Ok(bench.host("cmp", &["-s".as_ref(), one.as_os_str(), other.as_os_str()])?.status == Some(0))
}

/// The log tells each stage, in order, and those after the kernel's with the count since the machine's reset.
fn progress(bench: Bench) -> Result<()> {
    let ran = bench.run(&[], &["true"], b"")?;
    ran.expect_status(0)?;
    let stages = [
        "kernel: boot: firmware and loader: ",
        "kernel: boot: memory and cores: ",
        "kernel: boot: clock, by waiting: ",
        "kernel: boot: devices: ",
        "kernel: boot: tables: ",
        "kernel: boot: first domain: ",
        "kernel: first domain starts after ",
        "init: session main: started `libos-posix` after ",
        "libos: memory after ",
        "libos: root file system after ",
        "libos: first program after ",
        "kernel: power off after ",
    ];
    let (mut rest, mut last) = (ran.log.as_str(), 0);
    for stage in stages {
        let after =
            rest.split_once(stage).with_context(|| format!("no `{stage}` there:\n{}", ran.log))?.1;
        let count = after.split(' ').next().unwrap_or_default().parse::<u64>();
        let count = count.with_context(|| format!("no count after `{stage}`"))?;
        if stage.ends_with("after ") && !stage.contains("power off") {
            ensure!(count > last, "`{stage}` is not after what is before it:\n{}", ran.log);
            last = count;
        }
        rest = after;
    }
    Ok(())
}

/// Firmware finds the loader on the image, and that the kernel, its modules and the root partition.
fn uefi(bench: Bench) -> Result<()> {
    need_uefi(&bench, true)?;
    let ran =
        bench.script(&["--boot", "uefi", "--smp", "2"], "cat /etc/passwd; echo x >/y; cat /y")?;
    ran.expect_status(0)?;
    ensure!(ran.text().starts_with("root:") && ran.text().ends_with("x\n"), "{ran}");
    ensure!(ran.log.contains("BdsDxe: starting"), "no firmware in the log: {ran}");
    ensure!(ran.log.contains("2 cores"), "not two cores: {ran}");
    let ran = bench.script(&["--boot", "uefi", "--keep"], "true")?;
    ran.expect_status(125)?;
    ran.expect_error("--keep goes with --boot loader")
}
