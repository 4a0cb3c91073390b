//! The named pipes between xtask and QEMU's character device.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};

/// Room in the pipe from the guest: more than the credit of three streams, with every page half
/// full. It is the most that Linux gives anyone.
const CAPACITY: usize = 1 << 20;

/// Both pipes, opened so that nobody waits for QEMU to open them too.
pub(super) struct Pipes {
    /// What QEMU reads.
    pub(super) to_guest: File,
    /// What QEMU writes.
    pub(super) from_guest: File,
    /// Another writer of that pipe: without one, and before QEMU is there, it would be at its end.
    pub(super) writer: File,
}

impl Pipes {
    /// Makes `PATH.in` and `PATH.out`, named from QEMU's side.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let (input, output) = (make(path, ".in")?, make(path, ".out")?);
        let open = |path: &Path, flags| {
            rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
                .with_context(|| format!("cannot open {}", path.display()))
        };
        // Opened for both, so that the open waits for no reader.
        let to_guest = open(&input, OFlags::RDWR)?;
        let from_guest = open(&output, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let writer = open(&output, OFlags::WRONLY)?;
        rustix::fs::fcntl_setfl(&from_guest, OFlags::RDONLY)?;
        set_capacity(&from_guest)?;
        Ok(Self {
            to_guest: File::from(to_guest),
            from_guest: File::from(from_guest),
            writer: File::from(writer),
        })
    }
}

#[cfg(target_os = "linux")]
fn set_capacity(pipe: &impl std::os::fd::AsFd) -> Result<()> {
    rustix::pipe::fcntl_setpipe_size(pipe, CAPACITY)
        .context("cannot make the link's pipe large")?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_capacity(_pipe: &impl std::os::fd::AsFd) -> Result<()> {
    Ok(())
}

fn make(path: &Path, suffix: &str) -> Result<PathBuf> {
    let mut name = OsString::from(path);
    name.push(suffix);
    let path = PathBuf::from(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR)
        .with_context(|| format!("cannot make the pipe {}", path.display()))?;
    Ok(path)
}
