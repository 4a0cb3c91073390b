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

/// What a session wrote, if the line is one of a session: the kernel puts the domain's number and `| ` in front of those. All other
/// lines are the loader's, the kernel's and init's, which are trusted.
pub(crate) fn session_text(line: &str) -> Option<&str> {
    let (domain, text) = line.split_once("| ")?;
    let is_number = !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(text)
}

/// The first line behind the header of `log` that holds one of `marks` and is no session's. The header has paths, which may hold anything.
pub(crate) fn find_line(log: &Path, marks: &[&str]) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text
        .lines()
        .skip(HEADER_LINES)
        .filter(|line| session_text(line).is_none())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_sessions_are_told_by_their_mark() {
        assert_eq!(session_text("3| kernel: PANIC: not so"), Some("kernel: PANIC: not so"));
        assert_eq!(session_text("8194| a | b"), Some("a | b"));
        for other in ["kernel: 3| x", "init: 3| x", "| x", "3 | x", "-3| x", "3|x"] {
            assert_eq!(session_text(other), None, "{other}");
        }
    }
}
