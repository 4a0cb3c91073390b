//! QEMU's monitor: commands and their answers as text.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// What ends an answer.
const PROMPT: &str = "(qemu) ";

/// A connection to the monitor.
pub(crate) struct Monitor {
    stream: UnixStream,
}

impl Monitor {
    /// Waits, for at most `limit`, for the machine that `run` starts to open its monitor.
    pub(crate) fn connect(socket: &Path, run: &mut Child, limit: Duration) -> Result<Self> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Ok(stream) = UnixStream::connect(socket) {
                stream.set_read_timeout(Some(ANSWER))?;
                let mut monitor = Self { stream };
                monitor.answer().context("QEMU's monitor is silent")?;
                return Ok(monitor);
            }
            if let Some(status) = run.try_wait()? {
                bail!("the run ended before its machine started ({status})");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("no machine after {} s", limit.as_secs())
    }

    /// Gives a command and waits for its answer, which begins with the command itself.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        self.stream.write_all(command.as_bytes())?;
        self.stream.write_all(b"\n")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        while !bytes.ends_with(PROMPT.as_bytes()) {
            match self.stream.read(&mut part) {
                Ok(0) => bail!("QEMU closed its monitor"),
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
