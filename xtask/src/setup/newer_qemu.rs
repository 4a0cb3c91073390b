//! A newer QEMU than the system's, unpacked below the target folder, for what only that one emulates.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::tool::{find_in_path, qemu_version, version_in};
use crate::places::create_folder;

/// The first version whose TCG has x2APIC mode.
const OLDEST: (u32, u32) = (9, 0);
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"];
const PROGRAM: &str = "qemu-system-x86_64";

/// A folder to put first in PATH, in which QEMU is at least of version 9; empty if the one in PATH is. Otherwise Debian's backports,
/// from where the machine's own packages come, unpacked in `folder`; nothing is installed.
///
/// # Errors
/// Why there is none.
pub(crate) fn newer_qemu(folder: &Path) -> Result<PathBuf> {
    let (_, version) = qemu_version()?;
    if version_in(&version).is_some_and(|version| version >= OLDEST) {
        return Ok(PathBuf::new());
    }
    let bin = folder.join("bin");
    if works(&bin.join(PROGRAM)).is_err() {
        download(folder)?;
        wrap(folder, &bin)?;
        works(&bin.join(PROGRAM))?;
    }
    Ok(bin)
}

fn works(qemu: &Path) -> Result<()> {
    let output = Command::new(qemu).arg("--version").output().context("the newer QEMU")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_new = version_in(&text).is_some_and(|version| version >= OLDEST);
    ensure!(output.status.success() && is_new, "the newer QEMU does not start: {}", words.trim());
    Ok(())
}

/// Gets the packages by apt, with lists of its own, and unpacks them.
fn download(folder: &Path) -> Result<()> {
    ensure!(find_in_path("apt-get").is_some(), "no QEMU 9 in PATH, and no apt to get one");
    let (site, codename) = source()?;
    for place in ["lists/partial", "cache/archives/partial", "packages"] {
        create_folder(&folder.join(place))?;
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let signed =
        if Path::new(keyring).exists() { format!("[signed-by={keyring}] ") } else { String::new() };
    let list = folder.join("sources.list");
    std::fs::write(&list, format!("deb {signed}{site} {codename}-backports main\n"))?;
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder.join("packages"))
            .arg("-q")
            .args(["-o", &format!("Dir::Etc::sourcelist={}", list.display())])
            .args(["-o", "Dir::Etc::sourceparts=-"])
            .args(["-o", &format!("Dir::State::lists={}", folder.join("lists").display())])
            .args(["-o", &format!("Dir::Cache={}", folder.join("cache").display())])
            .args(["-o", "APT::Sandbox::User=root"])
            .args(words);
        run(apt)
    };
    apt(&["update"])?;
    let wanted = PACKAGES.map(|package| format!("{package}/{codename}-backports"));
    apt(&[&["download"][..], &wanted.each_ref().map(String::as_str)].concat())?;
    for file in std::fs::read_dir(folder.join("packages"))? {
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").arg(file?.path()).arg(folder);
        run(unpack)?;
    }
    Ok(())
}

/// Where the machine's own packages come from, and its codename.
fn source() -> Result<(String, String)> {
    let release = std::fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("a system without a codename has no backports")?.trim();
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]);
    let targets = run(targets)?;
    let site = targets.lines().find_map(|line| {
        let (site, of) = line.split_once(' ')?;
        (of == codename).then(|| site.to_owned())
    });
    Ok((site.context("apt knows no source of the system's packages")?, codename.to_owned()))
}

/// A command's output; what it said if it failed.
fn run(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let program = Path::new(command.get_program()).display();
        bail!("{program}: {}", words.lines().last().unwrap_or("failed"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program in `bin` that starts the unpacked QEMU with its own firmware, and the system's where it has none.
fn wrap(folder: &Path, bin: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    create_folder(bin)?;
    let folder = folder.to_str().context("a path in UTF-8")?.replace('\'', r"'\''");
    let script = format!(
        "#!/bin/sh\nexec '{folder}/usr/bin/{PROGRAM}' -L '{folder}/usr/share/qemu' \
         -L /usr/share/seabios -L /usr/share/qemu \"$@\"\n"
    );
    let program = bin.join(PROGRAM);
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
