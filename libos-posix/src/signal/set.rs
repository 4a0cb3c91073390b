//! Sets of signals, and what each signal is. Pure.
use linux_raw_sys::general as linux;

/// Highest signal number.
pub const SIGNAL_MAX: u32 = 64;
/// First real-time signal.
pub const REAL_TIME_FIRST: u32 = 32;

/// A signal number, 1 to 64.
pub type Signal = u32;

macro_rules! signals {
    ($($name:ident),+ $(,)?) => { $(
        #[doc = concat!("`", stringify!($name), "`")]
        pub const $name: Signal = linux::$name;
    )+ };
}
signals! {
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,
    SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ,
    SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS,
}

/// A set of signals; signal `n` is bit `n - 1`, as programs have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// Those that nothing masks, ignores or handles.
    pub const UNBLOCKABLE: Self = Self::of(SIGKILL).with(Self::of(SIGSTOP));
    /// Those that stop.
    pub const STOPS: Self =
        Self::of(SIGSTOP).with(Self::of(SIGTSTP)).with(Self::of(SIGTTIN)).with(Self::of(SIGTTOU));
    /// Those that an instruction causes; they go before others.
    pub const SYNCHRONOUS: Self = Self::of(SIGSEGV)
        .with(Self::of(SIGBUS))
        .with(Self::of(SIGILL))
        .with(Self::of(SIGTRAP))
        .with(Self::of(SIGFPE))
        .with(Self::of(SIGSYS));

    /// The set of one.
    #[must_use]
    pub const fn of(signal: Signal) -> Self {
        Self(1 << (signal - 1))
    }
    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Without the others.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// In both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// Whether a signal is in it.
    #[must_use]
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & Self::of(signal).0 != 0
    }
    /// Whether none is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The one to handle first: synchronous ones, then by number.
    #[must_use]
    pub const fn first(self) -> Option<Signal> {
        let urgent = self.0 & Self::SYNCHRONOUS.0;
        let from = if urgent != 0 { urgent } else { self.0 };
        if from == 0 { None } else { Some(from.trailing_zeros() + 1) }
    }
}

/// What a signal does to a process that neither handles nor ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Ends it.
    Terminate,
    /// Ends it; Linux may dump core.
    Core,
    /// Nothing.
    Ignore,
    /// Stops it.
    Stop,
    /// Continues it.
    Continue,
}

/// The default action of a signal (signal(7)).
#[must_use]
pub const fn default_action(signal: Signal) -> DefaultAction {
    match signal {
        SIGCHLD | SIGURG | SIGWINCH => DefaultAction::Ignore,
        SIGCONT => DefaultAction::Continue,
        SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => DefaultAction::Stop,
        SIGQUIT | SIGILL | SIGTRAP | SIGABRT | SIGBUS | SIGFPE | SIGSEGV | SIGXCPU | SIGXFSZ
        | SIGSYS => DefaultAction::Core,
        _ => DefaultAction::Terminate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synchronous_signals_go_first() {
        let set = SignalSet::of(SIGHUP).with(SignalSet::of(SIGSEGV)).with(SignalSet::of(40));
        assert_eq!(set.first(), Some(SIGSEGV));
        assert_eq!(set.without(SignalSet::of(SIGSEGV)).first(), Some(SIGHUP));
        assert_eq!(SignalSet::EMPTY.first(), None);
        assert_eq!(SignalSet::of(64).first(), Some(64));
    }

    #[test]
    fn numbers_are_linux_numbers() {
        assert_eq!((SIGKILL, SIGSEGV, SIGCHLD, SIGSTOP), (9, 11, 17, 19));
        assert_eq!(default_action(SIGKILL), DefaultAction::Terminate);
        assert_eq!(default_action(SIGTTOU), DefaultAction::Stop);
    }
}
