//! The tools, and how each is recognised.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::install::Manager;

/// Oldest QEMU that has what the machine uses.
const QEMU_OLDEST: (u32, u32) = (7, 2);

/// Something of the host that is not built here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `qemu-system-x86_64`.
    Qemu,
    /// `mkfs.ext4`, `debugfs` and `e2fsck`.
    E2fsprogs,
    /// A static busybox for the root image.
    Busybox,
    /// `musl-gcc`, for the C program of the tests.
    MuslGcc,
    /// UEFI firmware for QEMU.
    Ovmf,
    /// `mformat` and `mcopy`, which make a volume for that firmware.
    Mtools,
    /// `gdb`, for the command of that name.
    Gdb,
}

/// Where distributions put the firmware.
const FIRMWARE: [&str; 4] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
    "/usr/share/edk2/x64/OVMF.4m.fd",
    "/usr/share/edk2-ovmf/x64/OVMF.fd",
];

/// Where the programs of e2fsprogs are.
#[derive(Clone, Debug)]
pub(crate) struct E2fsprogs {
    /// Makes an ext4 file system.
    pub(crate) mkfs: PathBuf,
    /// Edits one.
    pub(crate) debugfs: PathBuf,
}

impl Tool {
    /// What people call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU 7.2 or newer",
            Self::E2fsprogs => "e2fsprogs",
            Self::Busybox => "a static busybox",
            Self::MuslGcc => "musl-gcc",
            Self::Ovmf => "OVMF",
            Self::Mtools => "mtools",
            Self::Gdb => "gdb",
        }
    }

    /// The package that holds it; `None` where the manager has none.
    pub(crate) const fn package(self, manager: Manager) -> Option<&'static str> {
        use Manager::{Apt, Brew, Dnf, Pacman};
        Some(match (self, manager) {
            (Self::Qemu, Apt) => "qemu-system-x86",
            (Self::Qemu, Dnf) => "qemu-system-x86-core",
            (Self::Qemu, Pacman) => "qemu-system-x86",
            (Self::Qemu, Brew) => "qemu",
            (Self::E2fsprogs, _) => "e2fsprogs",
            (Self::Busybox, Apt) => "busybox-static",
            (Self::Busybox, Dnf | Pacman) => "busybox",
            (Self::MuslGcc, Apt) => "musl-tools",
            (Self::MuslGcc, Dnf) => "musl-gcc",
            (Self::MuslGcc, Pacman) => "musl",
            (Self::Ovmf, Apt) => "ovmf",
            (Self::Ovmf, Dnf | Pacman) => "edk2-ovmf",
            (Self::Mtools, _) => "mtools",
            (Self::Gdb, _) => "gdb",
            (Self::Busybox | Self::MuslGcc | Self::Ovmf, Brew) => return None,
        })
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Qemu => qemu_version().map(drop),
            Self::E2fsprogs => find_e2fsprogs().map(drop),
            Self::Busybox => find_busybox().map(drop),
            Self::MuslGcc => find_in_path("musl-gcc").context("no musl-gcc in PATH").map(drop),
            Self::Ovmf => find_firmware().map(drop),
            Self::Gdb => find_in_path("gdb").context("no gdb in PATH").map(drop),
            Self::Mtools => {
                find_in_path("mformat").context("no mtools (mformat) in PATH").map(drop)
            }
        }
    }
}

/// The first executable file of that name in `PATH`.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// Also where Debian keeps it out of users' `PATH`.
fn find_system(name: &str) -> Option<PathBuf> {
    let system = || ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(name));
    find_in_path(name).or_else(|| system().into_iter().find(|file| is_executable(file)))
}

pub(super) fn is_executable(file: &Path) -> bool {
    let mode =
        |metadata: std::fs::Metadata| metadata.is_file().then(|| metadata.permissions().mode());
    file.metadata().ok().and_then(mode).is_some_and(|mode| mode & 0o111 != 0)
}

/// The QEMU in `PATH` and its version.
///
/// # Errors
/// There is none, or it is too old.
pub(crate) fn qemu_version() -> Result<(PathBuf, String)> {
    const NAME: &str = "qemu-system-x86_64";
    let qemu = find_in_path(NAME).with_context(|| format!("no QEMU ({NAME}) in PATH"))?;
    let output = Command::new(&qemu).arg("--version").output();
    let output = output.with_context(|| format!("cannot start {}", qemu.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = version_in(&text).with_context(|| format!("{NAME} does not say its version"))?;
    let (major, minor) = QEMU_OLDEST;
    ensure!(
        version >= QEMU_OLDEST,
        "QEMU {}.{} is older than {major}.{minor}",
        version.0,
        version.1
    );
    Ok((qemu, text.lines().next().unwrap_or_default().to_owned()))
}

/// Major and minor number in `QEMU emulator version 7.2.22 (…)`.
pub(super) fn version_in(text: &str) -> Option<(u32, u32)> {
    let rest = text.split_once("version ")?.1;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// UEFI firmware for QEMU.
///
/// # Errors
/// There is none.
pub(crate) fn find_firmware() -> Result<PathBuf> {
    let found = FIRMWARE.iter().map(PathBuf::from).find(|file| file.exists());
    found.context("no UEFI firmware (OVMF)")
}

/// The programs of e2fsprogs.
///
/// # Errors
/// One is not there.
pub(crate) fn find_e2fsprogs() -> Result<E2fsprogs> {
    let find = |name| find_system(name).with_context(|| format!("no e2fsprogs ({name})"));
    find("e2fsck")?;
    Ok(E2fsprogs { mkfs: find("mkfs.ext4")?, debugfs: find("debugfs")? })
}

/// The distribution's busybox.
///
/// # Errors
/// There is none, or it needs shared libraries.
pub(crate) fn find_busybox() -> Result<PathBuf> {
    let busybox = find_in_path("busybox").or_else(|| find_in_path("busybox.static"));
    let busybox = busybox.context("no busybox in PATH")?;
    let bytes = std::fs::read(&busybox)?;
    if !is_static_elf(&bytes) {
        bail!("{} is not a static x86-64 program", busybox.display());
    }
    Ok(busybox)
}

/// Whether `bytes` are an x86-64 ELF program without an interpreter.
fn is_static_elf(bytes: &[u8]) -> bool {
    const X86_64: u16 = 62;
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let parse = || {
        let table = usize::try_from(word(32)?).ok()?;
        let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
        let mut kinds = Vec::new();
        for index in 0..count {
            kinds.push(word(table + index * size)?);
        }
        Some(half(18)? == X86_64 && !kinds.contains(&PT_INTERP))
    };
    bytes.starts_with(b"\x7fELF\x02\x01") && parse() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_in("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"), Some((7, 2)));
        assert_eq!(version_in("QEMU emulator version 10.0.2\nCopyright"), Some((10, 0)));
        assert_eq!(version_in("QEMU emulator version 10"), None);
        assert_eq!(version_in("something else"), None);
        assert!((6, 9) < QEMU_OLDEST && (10, 0) >= QEMU_OLDEST);
    }

    #[test]
    fn only_static_programs_are_static() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static_elf(&this), "a test program has an interpreter");
        assert!(!is_static_elf(b"#!/bin/sh\n"));
        assert!(!is_static_elf(b"\x7fELF\x02\x01"));
    }
}
