//! Linux beside Serix: the distribution's kernel, and initial file systems for it.
//!
//! `bench` runs its program on it, and the tests of the file system have it judge.

mod archive;
mod judge;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::places::Places;
use crate::report::say;

pub(crate) use archive::Archive;
pub(crate) use judge::{initial_files, judge};

/// Debian's kernel for virtual machines: what it names is the newest version of the release.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// The distribution's kernel, fetched once.
pub(crate) fn kernel(places: &Places) -> Result<PathBuf> {
    let folder = places.serix_folder("linux")?;
    if let Some(kernel) = cached(&folder) {
        return Ok(kernel);
    }
    say("fetching the distribution's Linux kernel …");
    fetch(&folder).with_context(|| format!("cannot fetch {PACKAGE} with apt-get"))?;
    cached(&folder).context("the package holds no kernel")
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
