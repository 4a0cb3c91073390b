//! What a test answers.

use core::fmt::{self, Write};
use core::panic::Location;
use serix_abi::Error;

use crate::raw::Fault;

/// Longest reason, in bytes.
const REASON_MAX: usize = 112;

/// Why a test failed.
#[derive(Clone)]
pub struct Failure {
    reason: [u8; REASON_MAX],
    length: usize,
}

/// What a test answers.
pub type Check = Result<(), Failure>;

impl Failure {
    /// A failure for this reason, cut where it is too long.
    #[must_use]
    pub fn new(reason: fmt::Arguments<'_>) -> Self {
        let mut failure = Self { reason: [0; REASON_MAX], length: 0 };
        // A reason never refuses: what is too long is cut.
        let _ = failure.write_fmt(reason);
        failure
    }
}

/// A call that should have succeeded.
impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        let place = Location::caller();
        Self::new(format_args!("{error:?} at {}:{}", place.file(), place.line()))
    }
}

/// A touch that should have succeeded.
impl From<Fault> for Failure {
    #[track_caller]
    fn from(fault: Fault) -> Self {
        let (place, vector, address) = (Location::caller(), fault.vector, fault.address);
        Self::new(format_args!(
            "fault {vector} on {address:#x} at {}:{}",
            place.file(),
            place.line()
        ))
    }
}

impl Write for Failure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Some(place) = self.reason.get_mut(self.length) else { break };
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.reason[..self.length]).unwrap_or("(cut)"))
    }
}

/// Fails the test unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(format_args!($($reason)+)));
        }
    };
}

/// Fails the test unless both are equal; what follows says where.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr) => {
        $crate::ensure_eq!($left, $right, "line {}", line!())
    };
    ($left:expr, $right:expr, $($place:tt)+) => {
        match (&$left, &$right) {
            (left, right) => {
                $crate::ensure!(
                    left == right,
                    "{}: {:?} instead of {:?}", format_args!($($place)+), left, right
                );
            }
        }
    };
}
