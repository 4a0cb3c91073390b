//! How a run ended: its exit status and its last line.

use std::time::Duration;

use crate::SETUP_FAILED;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program ended with this status (128 + n for signal n).
    Exited(u8),
    /// The kernel panicked, with this to say.
    Panic(String),
    /// `--timeout` ran out.
    Timeout(Duration),
    /// Something outside the program is missing or failed.
    Setup(String),
    /// The program is there and cannot be run.
    NotExecutable(String),
    /// There is no such program.
    NotFound(String),
    /// xtask itself was told to stop by this signal.
    Interrupted(i32),
    /// Whoever sat at the terminal typed the chord.
    Ended,
}

impl Outcome {
    /// The exit status of `run`.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Exited(status) => *status,
            Self::Panic(_) => 121,
            Self::Timeout(_) => 124,
            Self::Setup(_) => SETUP_FAILED,
            Self::NotExecutable(_) => 126,
            Self::NotFound(_) => 127,
            Self::Ended => 143,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// `xtask: KIND: …`.
    pub(crate) fn line(&self) -> String {
        let (kind, text) = match self {
            Self::Exited(status) => ("exited", status.to_string()),
            Self::Panic(text) => ("panic", text.clone()),
            Self::Timeout(limit) => ("timeout", format!("no end after {} s", limit.as_secs_f64())),
            Self::Setup(text) => ("setup", text.clone()),
            Self::NotExecutable(text) => ("not-executable", text.clone()),
            Self::NotFound(text) => ("not-found", text.clone()),
            Self::Interrupted(signal) => ("interrupted", format!("by signal {signal}")),
            Self::Ended => ("ended", "by Ctrl-] q".to_owned()),
        };
        format!("xtask: {kind}: {}", text.trim().replace(['\n', '\r'], " "))
    }

    /// Whether standard error gets the line too: not when the program had the last word.
    pub(crate) fn is_announced(&self) -> bool {
        !matches!(self, Self::Exited(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_status_and_line() {
        let text = || "a\nb".to_owned();
        let cases = [
            (Outcome::Exited(7), 7, "xtask: exited: 7"),
            (Outcome::Panic(text()), 121, "xtask: panic: a b"),
            (Outcome::Timeout(Duration::from_secs(3)), 124, "xtask: timeout: no end after 3 s"),
            (Outcome::Setup(text()), 125, "xtask: setup: a b"),
            (Outcome::NotExecutable(text()), 126, "xtask: not-executable: a b"),
            (Outcome::NotFound(text()), 127, "xtask: not-found: a b"),
            (Outcome::Interrupted(2), 130, "xtask: interrupted: by signal 2"),
            (Outcome::Ended, 143, "xtask: ended: by Ctrl-] q"),
        ];
        for (outcome, status, line) in cases {
            assert_eq!((outcome.status(), outcome.line().as_str()), (status, line));
            assert_eq!(outcome.is_announced(), status != 7);
        }
    }
}
