//! What comes with a signal: the `siginfo_t` of Linux. Pure.
use super::set::Signal;
use alloc::boxed::Box;

/// Bytes of `siginfo_t`.
pub const INFO_SIZE: usize = 128;

/// Where a signal comes from (`si_code`).
pub mod code {
    /// `kill`
    pub const USER: i32 = 0;
    /// The kernel.
    pub const KERNEL: i32 = 0x80;
    /// `sigqueue`
    pub const QUEUE: i32 = -1;
    /// A timer.
    pub const TIMER: i32 = -2;
    /// `tkill`, `tgkill`
    pub const THREAD: i32 = -6;
    /// Child exited.
    pub const CHILD_EXITED: i32 = 1;
    /// Child was killed.
    pub const CHILD_KILLED: i32 = 2;
    /// Child was killed with a core dump.
    pub const CHILD_DUMPED: i32 = 3;
    /// Child stopped.
    pub const CHILD_STOPPED: i32 = 5;
    /// Child continued.
    pub const CHILD_CONTINUED: i32 = 6;
    /// Nothing is mapped there (SIGSEGV).
    pub const SEGV_MAP: i32 = 1;
    /// The mapping does not allow it (SIGSEGV).
    pub const SEGV_ACCESS: i32 = 2;
    /// No memory behind the address (SIGBUS).
    pub const BUS_ADDRESS: i32 = 2;
    /// Illegal operand (SIGILL).
    pub const ILLEGAL_OPERAND: i32 = 2;
    /// Integer division by zero (SIGFPE).
    pub const FPE_DIVIDE: i32 = 1;
    /// Invalid floating point operation (SIGFPE).
    pub const FPE_INVALID: i32 = 7;
    /// Breakpoint (SIGTRAP).
    pub const TRAP_BREAKPOINT: i32 = 1;
    /// Single step (SIGTRAP).
    pub const TRAP_TRACE: i32 = 2;
}

/// A signal with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// The signal.
    pub signal: Signal,
    /// Its origin.
    pub code: i32,
    /// The part that depends on the origin.
    pub origin: Origin,
}

/// The part of `siginfo_t` that depends on the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process, with its value.
    Process {
        /// Who sent it.
        pid: u32,
        /// His real user.
        uid: u32,
        /// `sigval`
        value: u64,
    },
    /// The end or a change of a child.
    Child {
        /// Which.
        pid: u32,
        /// Its real user.
        uid: u32,
        /// Exit code or signal.
        status: i32,
        /// Clock ticks of user time.
        user_ticks: u64,
    },
    /// An instruction.
    Fault {
        /// Address of the access or the instruction.
        address: u64,
    },
    /// As a program made it (`rt_sigqueueinfo`): the 112 bytes after the three integers and padding.
    Raw(Box<[u8; INFO_SIZE - 16]>),
}

impl SignalInfo {
    /// From the kernel, with nothing more to say.
    #[must_use]
    pub const fn kernel(signal: Signal) -> Self {
        let origin = Origin::Process { pid: 0, uid: 0, value: 0 };
        Self { signal, code: code::KERNEL, origin }
    }

    /// From a process.
    #[must_use]
    pub const fn from_process(signal: Signal, code: i32, pid: u32, uid: u32) -> Self {
        Self { signal, code, origin: Origin::Process { pid, uid, value: 0 } }
    }

    /// From an instruction.
    #[must_use]
    pub const fn fault(signal: Signal, code: i32, address: u64) -> Self {
        Self { signal, code, origin: Origin::Fault { address } }
    }

    /// As programs see it, in words of 8 bytes.
    #[inline]
    #[must_use]
    pub fn to_words(&self) -> [u64; INFO_SIZE / 8] {
        let both = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let (signal, code) = (self.signal.into(), u64::from(self.code as u32));
        let [a, b, c] = match &self.origin {
            Origin::Process { pid, uid, value } => [both(*pid, *uid), *value, 0],
            Origin::Child { pid, uid, status, user_ticks } => {
                [both(*pid, *uid), u64::from(*status as u32), *user_ticks]
            }
            Origin::Fault { address } => [*address, 0, 0],
            Origin::Raw(rest) => return raw_words(signal, code, rest),
        };
        [signal, code, a, b, c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// As programs see it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; INFO_SIZE] {
        let mut bytes = [0; INFO_SIZE];
        for (to, word) in bytes.chunks_exact_mut(8).zip(self.to_words()) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// As a program gave it to `rt_sigqueueinfo`.
    #[must_use]
    pub fn from_bytes(signal: Signal, bytes: &[u8; INFO_SIZE]) -> Self {
        let mut code = [0; 4];
        code.copy_from_slice(&bytes[8..12]);
        let mut rest = Box::new([0; INFO_SIZE - 16]);
        rest.copy_from_slice(&bytes[16..]);
        Self { signal, code: i32::from_le_bytes(code), origin: Origin::Raw(rest) }
    }
}

#[cold]
fn raw_words(signal: u64, code: u64, rest: &[u8; INFO_SIZE - 16]) -> [u64; INFO_SIZE / 8] {
    let mut words = [0; INFO_SIZE / 8];
    (words[0], words[1]) = (signal, code);
    for (word, bytes) in words[2..].iter_mut().zip(rest.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_linux_has_them() {
        let child = Origin::Child { pid: 0x0102, uid: 3, status: 7, user_ticks: 9 };
        let bytes = SignalInfo { signal: 17, code: code::CHILD_EXITED, origin: child }.to_bytes();
        assert_eq!(&bytes[0..12], &[17, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(&bytes[16..28], &[2, 1, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0]);
        let fault = SignalInfo::fault(11, code::SEGV_MAP, 0x1234).to_bytes();
        assert_eq!(&fault[16..24], &0x1234u64.to_le_bytes());
    }

    #[test]
    fn queued_information_round_trips() {
        let mut bytes = [0; INFO_SIZE];
        bytes[0] = 40;
        bytes[8..12].copy_from_slice(&code::QUEUE.to_le_bytes());
        bytes[24] = 99;
        assert_eq!(SignalInfo::from_bytes(40, &bytes).to_bytes(), bytes);
    }
}
