//! The QEMU process.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::RunFolder;

/// A running QEMU; dropping this ends it.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
    words: PathBuf,
    status: Option<ExitStatus>,
}

impl Qemu {
    /// Starts QEMU in a process group of its own, so that Ctrl-C reaches xtask alone. To be called
    /// by the main thread: the kernel takes the end of the starting thread for the parent's.
    pub(crate) fn start(qemu: &Path, arguments: &[OsString], folder: &RunFolder) -> Result<Self> {
        let words = folder.file("qemu.err");
        let output = File::create(&words)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("launch")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(qemu)
            .args(arguments)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let child = command.spawn().context("cannot start QEMU")?;
        Ok(Self { child, words, status: None })
    }

    /// Its status, if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("cannot wait for QEMU")?;
        }
        Ok(self.status)
    }

    /// Gives it `limit` to end, then ends it.
    pub(crate) fn finish(&mut self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        while self.ended()?.is_none() && start.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.kill();
        Ok(())
    }

    /// What it wrote, on one line.
    pub(crate) fn words(&self) -> String {
        let bytes = std::fs::read(&self.words).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }

    fn kill(&mut self) {
        if self.status.is_none() {
            // It may have ended by itself meanwhile; then there is nothing to kill.
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a status of QEMU says about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Powered off in order.
    Orderly,
    /// The kernel panicked.
    Panic,
    /// The loader found something wrong.
    Loader,
    /// The machine reset itself, which only a triple fault does.
    Reset,
    /// QEMU failed or was ended.
    Failed(String),
}

/// Reads the status: a byte n at the debug exit port makes it `(n << 1) | 1`.
pub(crate) fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(33), _) => End::Orderly,
        (Some(35), _) => End::Panic,
        (Some(37), _) => End::Loader,
        (Some(0), _) => End::Reset,
        (_, Some(signal)) => End::Failed(format!("QEMU was ended by signal {signal}")),
        (Some(code), None) => End::Failed(format!("QEMU failed with status {code}")),
        (None, None) => End::Failed("QEMU failed".to_owned()),
    }
}
