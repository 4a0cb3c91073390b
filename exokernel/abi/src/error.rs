//! What a native call answers when it did not succeed.

/// Why a native call failed; the value in rax. Zero is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Error {
    /// No such call.
    BadCall = 1,
    /// The slot is empty, out of range, or of another kind.
    BadSlot = 2,
    /// The slot lacks a right that the call needs.
    Denied = 3,
    /// An argument is outside its domain: misaligned, out of range, unknown flag.
    BadArgument = 4,
    /// User memory at the given address cannot be read or written.
    BadAddress = 5,
    /// The binding's grant was revoked.
    Stale = 6,
    /// The token is malformed, forged, expired, or meant for another domain.
    BadToken = 7,
    /// The domain's account is empty: `fund` it.
    NoFrames = 8,
    /// A table of fixed size is full.
    TableFull = 9,
    /// Progress was made; call again with the same arguments.
    Again = 10,
    /// In use: mapped, pinned, attached, or delegated.
    Busy = 11,
    /// The deadline passed.
    TimedOut = 12,
    /// The other side ended.
    Dead = 13,
    /// This machine or kernel has no such resource.
    Unsupported = 14,
}

impl Error {
    /// Every error, for tables and tests.
    pub const ALL: [Self; 14] = [
        Self::BadCall,
        Self::BadSlot,
        Self::Denied,
        Self::BadArgument,
        Self::BadAddress,
        Self::Stale,
        Self::BadToken,
        Self::NoFrames,
        Self::TableFull,
        Self::Again,
        Self::Busy,
        Self::TimedOut,
        Self::Dead,
        Self::Unsupported,
    ];

    /// The error with this value in rax; `None` for zero (success) and unknown values.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        let index = usize::try_from(code).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn codes_round_trip() {
        for error in Error::ALL {
            assert_eq!(Error::from_code(error as u64), Some(error));
        }
        assert_eq!(Error::from_code(0), None);
        assert_eq!(Error::from_code(u64::MAX), None);
    }
}
