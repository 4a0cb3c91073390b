//! What the end of a session means.

use serix_abi::start::EndReason;
use serix_manifest::Restart;

/// Status of a machine whose sessions could not be started or did not end by themselves.
pub const STATUS_FAILED: i32 = 125;
/// Name of the session whose end is the machine's end.
pub const MAIN: &str = "main";

/// How a domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why; `None` for a reason that this program does not know.
    pub reason: Option<EndReason>,
    /// Exit status, or the exception's vector.
    pub status: i32,
}

impl End {
    /// What `DomainStatus` answered; `None` while the domain runs.
    #[must_use]
    pub fn decode(value: u64) -> Option<Self> {
        let known = [EndReason::Exit, EndReason::Fault, EndReason::Destroyed, EndReason::Revoked];
        let reason = (value >> 32) as u32;
        (reason != 0).then(|| Self {
            reason: known.into_iter().find(|&known| known as u32 == reason),
            status: value as u32 as i32,
        })
    }

    /// The status that the machine ends with if this was its last session.
    #[must_use]
    pub fn exit_status(&self) -> i32 {
        match self.reason {
            Some(EndReason::Exit) => self.status,
            _ => STATUS_FAILED,
        }
    }
}

impl core::fmt::Display for End {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let status = self.status;
        match self.reason {
            Some(EndReason::Exit) => write!(f, "exited with status {status}"),
            Some(EndReason::Fault) => write!(f, "was ended by the kernel: exception {status}"),
            Some(EndReason::Destroyed) => f.write_str("was destroyed"),
            Some(EndReason::Revoked) => {
                f.write_str("lost frames that the kernel used for it, and was ended")
            }
            None => write!(f, "ended for an unknown reason, status {status}"),
        }
    }
}

/// Time between an end and the next start, in nanoseconds; `failures` in a row came before, each soon
/// after its start.
#[must_use]
pub const fn restart_delay_ns(failures: u32) -> u64 {
    const FIRST: u64 = 100_000_000;
    const DOUBLINGS_MAX: u32 = 6;
    FIRST << if failures < DOUBLINGS_MAX { failures } else { DOUBLINGS_MAX }
}

/// A session that ran at least so long had a good start, in nanoseconds.
pub const GOOD_RUN_NS: u64 = 10_000_000_000;

/// Whether a session starts again.
#[must_use]
pub fn restarts(restart: Restart, end: End) -> bool {
    restart == Restart::OnFailure && end.exit_status() != 0
}

/// The machine's status when no session runs any more: the first that is not zero, in the order of their ends.
#[must_use]
pub fn overall(so_far: i32, end: End) -> i32 {
    if so_far == 0 { end.exit_status() } else { so_far }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(reason: EndReason, status: u32) -> End {
        End::decode((reason as u64) << 32 | u64::from(status)).unwrap()
    }

    #[test]
    fn the_kernels_word_is_taken_apart() {
        assert_eq!(End::decode(0), None);
        assert_eq!(end(EndReason::Exit, 7).exit_status(), 7);
        assert_eq!(end(EndReason::Exit, u32::MAX).exit_status(), -1);
        assert_eq!(end(EndReason::Fault, 14).exit_status(), STATUS_FAILED);
        assert_eq!(End::decode(99 << 32).unwrap().reason, None);
    }

    #[test]
    fn only_failures_restart_and_only_where_asked() {
        let (good, bad) = (end(EndReason::Exit, 0), end(EndReason::Fault, 0));
        assert!(!restarts(Restart::OnFailure, good));
        assert!(restarts(Restart::OnFailure, bad));
        assert!(!restarts(Restart::Never, bad));
    }

    #[test]
    fn delays_grow_to_a_bound() {
        assert_eq!(restart_delay_ns(0), 100_000_000);
        assert_eq!(restart_delay_ns(1), 200_000_000);
        assert_eq!(restart_delay_ns(6), restart_delay_ns(u32::MAX));
    }

    #[test]
    fn the_first_failure_is_the_machines_status() {
        let status = [end(EndReason::Exit, 0), end(EndReason::Exit, 3), end(EndReason::Fault, 6)]
            .into_iter()
            .fold(0, overall);
        assert_eq!(status, 3);
    }
}
