//! The same program on Linux, in the same machine: the distribution's kernel and an initial file system that holds
//! nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration as Time, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Measured, Said};
use super::{Bench, Duration, Side};
use crate::linux::Archive;
use crate::machine::{Accelerator, RunFolder};
use crate::setup::qemu_version;

/// What makes the comparison fair: no mitigations, which Serix has none of either in QEMU's CPU, no zeroing twice,
/// and the TSC as the clock.
const COMMAND_LINE: &str = "console=ttyS0 quiet mitigations=off init_on_alloc=0 tsc=reliable rdinit=/bench-posix -- as-init";
/// A Linux that says nothing for so long is stuck.
const LIMIT: Time = Time::from_secs(600);

/// Boots `kernel` with the program as its first process; the kernel's version and the rows.
pub(super) fn measure(
    bench: &Bench<'_>,
    kernel: &Path,
    program: &Path,
    accelerator: Accelerator,
) -> Result<(String, Vec<Measured>)> {
    const WHAT: &str = "Linux calls on Linux";
    let duration = Duration::start(&bench.places, WHAT)?;
    let folder = RunFolder::create(&bench.places)?;
    let initrd = folder.file("initrd");
    let mut archive = Archive::default();
    ["dev", "proc", "tmp"].into_iter().for_each(|name| archive.folder(name));
    archive.program("bench-posix", &std::fs::read(program)?);
    std::fs::write(&initrd, archive.finish())?;
    let serial = folder.file("serial");
    let (qemu, _) = qemu_version()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("launch").arg(std::process::id().to_string()).arg("--").arg(qemu);
    command.args(
        "-M q35 -nodefaults -no-user-config -no-reboot -display none -monitor none".split(' '),
    );
    command.args(accelerator.words(1).split_ascii_whitespace());
    command.args(["-m", "256M", "-smp", "1", "-serial"]);
    command.arg(format!("file:{}", serial.display())).arg("-kernel").arg(kernel);
    command.arg("-initrd").arg(initrd).arg("-append");
    command.arg(format!("{COMMAND_LINE} {}", bench.filter()).trim());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    wait(command, LIMIT)?;
    let mut said = Said::new(Side::Posix);
    for line in String::from_utf8_lossy(&std::fs::read(serial)?).lines() {
        said.hear(line)?;
    }
    duration.record();
    let system = said.system.clone();
    Ok((system, said.finish(WHAT, accelerator)?))
}

/// Waits for the end of a QEMU that runs Linux.
pub(super) fn wait(mut command: Command, limit: Time) -> Result<()> {
    let mut child = command.spawn().context("cannot start QEMU")?;
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "Linux: QEMU failed ({status})");
            return Ok(());
        }
        std::thread::sleep(Time::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    bail!("Linux: no end after {} s", limit.as_secs())
}
