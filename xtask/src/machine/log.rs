//! The kernel log: a file that begins with version, commit and QEMU's arguments.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use super::arguments::command_line;
use crate::places::Places;

/// How often the follower looks for more.
const PERIOD: Duration = Duration::from_millis(30);

/// Version and commit; QEMU's version; its arguments.
const HEADER_LINES: usize = 3;

/// Starts the log anew.
pub(crate) fn write_header(
    log: &Path,
    places: &Places,
    qemu_version: &str,
    qemu: &Path,
    arguments: &[OsString],
) -> Result<()> {
    let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    writeln!(file, "serix {} commit {}", env!("CARGO_PKG_VERSION"), commit(places))?;
    writeln!(file, "{qemu_version}")?;
    writeln!(file, "{}", command_line(qemu.as_os_str(), arguments))?;
    Ok(())
}

/// The commit of the checkout, marked when files differ from it.
pub(crate) fn commit(places: &Places) -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&places.source).args(words).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]);
    if changed.is_none_or(|files| !files.is_empty()) { format!("{commit} changed") } else { commit }
}

/// The first line behind the header of `log` that holds one of `marks`. The header has paths, which may hold anything.
pub(crate) fn find_line(log: &Path, marks: &[&str]) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text
        .lines()
        .skip(HEADER_LINES)
        .find(|line| marks.iter().any(|mark| line.contains(mark)))?;
    Some(line.trim().to_owned())
}

/// Copies a growing file to standard error.
#[derive(Debug)]
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts at the file's beginning.
    pub(crate) fn start(log: &Path) -> Result<Self> {
        let mut file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            loop {
                // Looked at before the copy: what was written before the stop is still copied.
                let last = stopped.load(Ordering::Acquire);
                copy_rest(&mut file);
                if last {
                    return;
                }
                std::thread::sleep(PERIOD);
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the follower has said all there is to say.
            let _ = thread.join();
        }
    }
}

fn copy_rest(file: &mut File) {
    let mut bytes = Vec::new();
    if file.read_to_end(&mut bytes).is_ok() && !bytes.is_empty() {
        // Whoever reads standard error may be gone.
        let _ = std::io::stderr().lock().write_all(&crate::run::lines(&bytes));
    }
}
