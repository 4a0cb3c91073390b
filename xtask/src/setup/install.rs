//! Package managers: one command each, and when it may be carried out from here.

use std::process::{Command, Stdio};

use anyhow::{Context, Error, Result, bail, ensure};

use super::tool::{Tool, find_in_path};
use crate::report::Progress;

/// What may be done about missing tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Install them where that is possible without asking anyone.
    Install,
    /// `--no-install`.
    Refuse,
}

/// A package manager whose command is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    /// Debian, Ubuntu and their kin.
    Apt,
    /// Fedora and its kin.
    Dnf,
    /// Arch and its kin.
    Pacman,
    /// Homebrew.
    Brew,
}

impl Manager {
    const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew];

    const fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    fn find() -> Option<Self> {
        Self::ALL.into_iter().find(|manager| find_in_path(manager.program()).is_some())
    }

    const fn install_words(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get", "install", "--yes", "--no-install-recommends"],
            Self::Dnf => &["dnf", "install", "--assumeyes"],
            Self::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Brew => &["brew", "install"],
        }
    }

    /// The command as one would type it.
    fn command_line(self, missing: &[(Tool, Error)]) -> String {
        let packages = missing.iter().filter_map(|(tool, _)| tool.package(self));
        let mut words = self.install_words().to_vec();
        if self != Self::Brew && !is_root() {
            words.insert(0, "sudo");
        }
        words.extend(packages);
        words.join(" ")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installs the packages of the missing tools.
///
/// # Errors
/// One line: what is missing, and the command that installs it.
pub(super) fn install(
    missing: &[(Tool, Error)],
    policy: Policy,
    progress: &mut Progress,
) -> Result<()> {
    let manager = Manager::find();
    let advice = advice(missing, manager);
    ensure!(policy == Policy::Install, "{advice}");
    let (Some(Manager::Apt), true, Some(prefix)) = (manager, is_debian(), privilege()) else {
        bail!("{advice}");
    };
    let names: Vec<_> = missing.iter().map(|(tool, _)| tool.name()).collect();
    let packages: Vec<_> =
        missing.iter().filter_map(|(tool, _)| tool.package(Manager::Apt)).collect();
    progress.note(&format!("xtask: missing: {}", names.join(", ")));
    progress.note(&format!("xtask: packages: {}", packages.join(" ")));
    apt(prefix, &["update", "--quiet=2"]).with_context(|| advice.clone())?;
    for line in size_lines(&packages) {
        progress.note(&format!("xtask: size: {line}"));
    }
    progress.note(&format!("xtask: command: {}", Manager::Apt.command_line(missing)));
    let words = [&Manager::Apt.install_words()[1..], &["--quiet=2"], &packages].concat();
    apt(prefix, &words).with_context(|| advice.clone())
}

fn advice(missing: &[(Tool, Error)], manager: Option<Manager>) -> String {
    let faults: Vec<_> = missing.iter().map(|(_, error)| error.to_string()).collect();
    let faults = faults.join("; ");
    match manager {
        Some(manager) => format!("{faults}; install with: {}", manager.command_line(missing)),
        None => {
            let names: Vec<_> = missing.iter().map(|(tool, _)| tool.name()).collect();
            format!("{faults}; no apt, dnf, pacman or brew here: install {}", names.join(", "))
        }
    }
}

/// Whether this is Debian, Ubuntu or built upon them.
fn is_debian() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is_debian = |line: &str| {
        let Some(value) = line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")) else {
            return false;
        };
        value.trim_matches('"').split(' ').any(|id| id == "debian" || id == "ubuntu")
    };
    release.lines().any(is_debian)
}

/// What to put before a command so that it runs as root without a question.
fn privilege() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&[]);
    }
    find_in_path("sudo")?;
    let silent = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    silent.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

fn apt(prefix: &[&str], words: &[&str]) -> Result<()> {
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get"];
    let all = [prefix, &environment, words].concat();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().context("cannot start apt-get")?;
    ensure!(status.success(), "apt-get failed ({status})");
    Ok(())
}

/// What apt says about the size of what it would do.
fn size_lines(packages: &[&str]) -> Vec<String> {
    let mut command = Command::new("apt-get");
    command.args(["install", "--assume-no", "--no-install-recommends"]).args(packages);
    let Ok(output) = command.env("LC_ALL", "C").stdin(Stdio::null()).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_size = |line: &&str| line.starts_with("Need to get") || line.starts_with("After this");
    text.lines().filter(is_size).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manager_has_one_command() {
        let missing = || {
            [Tool::Qemu, Tool::E2fsprogs, Tool::Busybox].map(|tool| (tool, Error::msg(tool.name())))
        };
        let line = |manager: Manager| manager.command_line(&missing()).replace("sudo ", "");
        let apt = "apt-get install --yes --no-install-recommends \
                   qemu-system-x86 e2fsprogs busybox-static";
        assert_eq!(line(Manager::Apt), apt);
        assert_eq!(
            line(Manager::Dnf),
            "dnf install --assumeyes qemu-system-x86-core e2fsprogs busybox"
        );
        assert_eq!(
            line(Manager::Pacman),
            "pacman -S --needed --noconfirm qemu-system-x86 e2fsprogs busybox"
        );
        assert_eq!(line(Manager::Brew), "brew install qemu e2fsprogs");
    }
}
