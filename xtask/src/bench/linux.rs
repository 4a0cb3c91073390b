//! The same program on Linux, in the same machine: the distribution's kernel and an initial file system that holds
//! nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration as Time, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Measured, Said};
use super::{Bench, Duration, Side};
use crate::machine::{Accelerator, RunFolder};
use crate::places::Places;
use crate::setup::qemu_version;

/// Debian's kernel for virtual machines: what it names is the newest version of the release.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// What makes the comparison fair: no mitigations, which Serix has none of either in QEMU's CPU, no zeroing twice,
/// and the TSC as the clock.
const COMMAND_LINE: &str = "console=ttyS0 quiet mitigations=off init_on_alloc=0 tsc=reliable rdinit=/bench-posix -- as-init";
/// A Linux that says nothing for so long is stuck.
const LIMIT: Time = Time::from_secs(600);

/// The distribution's kernel, fetched once.
pub(super) fn kernel(places: &Places) -> Result<PathBuf> {
    let folder = places.serix_folder("linux")?;
    if let Some(kernel) = cached(&folder) {
        return Ok(kernel);
    }
    super::announce("fetching the distribution's Linux kernel", None);
    fetch(&folder).with_context(|| {
        format!("--linux: cannot fetch {PACKAGE} with apt-get; give a kernel with --linux-kernel")
    })?;
    cached(&folder).context("--linux: the package holds no kernel")
}

fn cached(folder: &Path) -> Option<PathBuf> {
    let boot = folder.join("root/boot").read_dir().ok()?;
    let mut kernels: Vec<_> = boot.flatten().map(|entry| entry.path()).collect();
    kernels.retain(|path| {
        path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"vmlinuz"))
    });
    kernels.sort();
    kernels.pop()
}

fn fetch(folder: &Path) -> Result<()> {
    let depends = output(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let image = format!("linux-image-{}", image.context("apt knows no such package")?);
    output(Command::new("apt-get").args(["download", &image]).current_dir(folder))?;
    let package = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let package = package.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.context("apt-get downloaded nothing")?;
    // Unpacked beside and renamed, so that what is there is whole.
    let (part, whole) = (folder.join("part"), folder.join("root"));
    let _ = std::fs::remove_dir_all(&part);
    output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&part))?;
    std::fs::remove_file(package)?;
    std::fs::rename(part, whole)?;
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    ensure!(output.status.success(), "{name} failed: {words}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Boots `kernel` with the program as its first process; the kernel's version and the rows.
pub(super) fn measure(
    bench: &Bench<'_>,
    kernel: &Path,
    program: &Path,
) -> Result<(String, Vec<Measured>)> {
    const WHAT: &str = "Linux calls on Linux";
    let duration = Duration::start(&bench.places, WHAT)?;
    let folder = RunFolder::create(&bench.places)?;
    let initrd = folder.file("initrd");
    std::fs::write(&initrd, archive(&std::fs::read(program)?))?;
    let serial = folder.file("serial");
    let (qemu, _) = qemu_version()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("launch").arg(std::process::id().to_string()).arg("--").arg(qemu);
    command.args(
        "-M q35 -nodefaults -no-user-config -no-reboot -display none -monitor none".split(' '),
    );
    command.args(Accelerator::Counted.words(1).split_ascii_whitespace());
    command.args(["-m", "256M", "-smp", "1", "-serial"]);
    command.arg(format!("file:{}", serial.display())).arg("-kernel").arg(kernel);
    command.arg("-initrd").arg(initrd).arg("-append");
    command.arg(format!("{COMMAND_LINE} {}", bench.filter()).trim());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    wait(command)?;
    let mut said = Said::new(Side::Posix);
    for line in String::from_utf8_lossy(&std::fs::read(serial)?).lines() {
        said.hear(line)?;
    }
    duration.record();
    let system = said.system.clone();
    Ok((system, said.finish(WHAT)?))
}

fn wait(mut command: Command) -> Result<()> {
    let mut child = command.spawn().context("cannot start QEMU")?;
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "Linux: QEMU failed ({status})");
            return Ok(());
        }
        std::thread::sleep(Time::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    bail!("Linux: no end after {} s", LIMIT.as_secs())
}

/// An archive of the kind that Linux unpacks at its start (`newc`): the program, and folders to mount on.
fn archive(program: &[u8]) -> Vec<u8> {
    const FOLDER: u32 = 0o40_755;
    const FILE: u32 = 0o100_755;
    let mut bytes = Vec::new();
    for (index, name) in ["dev", "proc", "tmp"].into_iter().enumerate() {
        member(&mut bytes, index as u32 + 1, name, FOLDER, &[]);
    }
    member(&mut bytes, 9, "bench-posix", FILE, program);
    member(&mut bytes, 0, "TRAILER!!!", 0, &[]);
    bytes
}

fn member(bytes: &mut Vec<u8>, inode: u32, name: &str, mode: u32, data: &[u8]) {
    let (size, name_size) = (data.len() as u32, name.len() as u32 + 1);
    bytes.extend(b"070701");
    for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        bytes.extend(format!("{field:08X}").bytes());
    }
    bytes.extend(name.bytes().chain([0]));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_cpio_reads() {
        let bytes = archive(b"program");
        assert!(bytes.len().is_multiple_of(4));
        assert_eq!(bytes.windows(6).filter(|window| window == b"070701").count(), 5);
        let at = bytes.windows(11).position(|window| window == b"bench-posix").unwrap();
        // 110 bytes of head and 12 of name are 122, and data starts at a multiple of 4.
        assert_eq!(&bytes[at + 14..at + 21], b"program");
        assert_eq!(&bytes[at - 110 + 54..at - 110 + 62], b"00000007", "the size");
    }
}
