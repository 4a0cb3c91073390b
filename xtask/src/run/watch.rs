//! From the machine's start to its end: what happens, and what it means.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serix_link::Cause;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::link::{Link, Notice};
use crate::machine::{End, Qemu, end_of, find_line};
use crate::report::Outcome;

/// How often QEMU is asked whether it still runs.
const PERIOD: Duration = Duration::from_millis(20);
/// How long the guest may take to power off after its last word.
const POWER_OFF: Duration = Duration::from_secs(5);
/// 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// When a run must be over.
pub(super) struct Limits {
    pub(super) start: Instant,
    pub(super) timeout: Option<Duration>,
}

/// Sends a notice for each signal that ends or concerns a run.
pub(super) fn signals(notices: Sender<Notice>) -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH])
        .context("cannot watch for signals")?;
    std::thread::spawn(move || {
        for signal in &mut signals {
            if notices.send(Notice::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// What is known so far.
#[derive(Default)]
struct Known {
    outcome: Option<Outcome>,
    drained: bool,
    ended: Option<ExitStatus>,
}

/// Waits for the end of the run; the machine is at its end then too.
pub(super) fn watch(
    qemu: &mut Qemu,
    link: &mut Link,
    inbox: &Receiver<Notice>,
    limits: &Limits,
    log: &Path,
) -> Result<Outcome> {
    let mut known = Known::default();
    loop {
        match inbox.recv_timeout(PERIOD) {
            Ok(notice) => {
                if let Some(outcome) = hear(notice, &mut known, link)? {
                    return Ok(outcome);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("xtask's own threads are gone"),
        }
        if let Some(limit) = limits.timeout
            && limits.start.elapsed() >= limit
        {
            return Ok(Outcome::Timeout(limit));
        }
        if known.ended.is_none()
            && let Some(status) = qemu.ended()?
        {
            known.ended = Some(status);
            link.close();
        }
        if !known.drained {
            continue;
        }
        if let Some(outcome) = known.outcome.take() {
            qemu.finish(POWER_OFF)?;
            return Ok(outcome);
        }
        if let Some(status) = known.ended {
            return Ok(unexpected_end(status, qemu, log));
        }
    }
}

/// Takes in one notice; some end the run at once.
fn hear(notice: Notice, known: &mut Known, link: &Link) -> Result<Option<Outcome>> {
    match notice {
        Notice::Status(code, cause, message) => {
            known.outcome = Some(outcome(code, cause, message));
            Ok(None)
        }
        Notice::Drained => {
            known.drained = true;
            Ok(None)
        }
        Notice::Unread => Ok(Some(Outcome::Exited(BROKEN_PIPE))),
        Notice::Broken(text) => Ok(Some(Outcome::Setup(text))),
        Notice::Chord => Ok(Some(Outcome::Ended)),
        Notice::Signal(SIGWINCH) => link.resize().map(|()| None),
        Notice::Signal(signal) => Ok(Some(Outcome::Interrupted(signal))),
    }
}

fn outcome(code: i32, cause: Cause, message: String) -> Outcome {
    match cause {
        Cause::Exited => Outcome::Exited((code & 0xff) as u8),
        Cause::NotFound => Outcome::NotFound(message),
        Cause::NotExecutable => Outcome::NotExecutable(message),
        Cause::Setup => Outcome::Setup(message),
    }
}

/// The machine is gone and the program never ended.
fn unexpected_end(status: ExitStatus, qemu: &Qemu, log: &Path) -> Outcome {
    let found = |marks: &[&str], otherwise: &str| {
        let line = find_line(log, marks).unwrap_or_else(|| otherwise.to_owned());
        format!("{line} (log: {})", log.display())
    };
    match end_of(status) {
        End::Panic => Outcome::Panic(found(&["PANIC: "], "the kernel panicked")),
        End::Reset => Outcome::Panic(found(&["PANIC: "], "the machine reset itself")),
        End::Loader => Outcome::Setup(found(&["loader:"], "the loader found something wrong")),
        End::Orderly => {
            let otherwise = found(&["init:"], "the machine ended without a status");
            let broken = super::crash::broken_libos(log);
            Outcome::Setup(
                broken.map_or(otherwise, |line| format!("{line} (log: {})", log.display())),
            )
        }
        End::Failed(text) => {
            let words = qemu.words();
            Outcome::Setup(if words.is_empty() { text } else { format!("{text}: {words}") })
        }
    }
}
