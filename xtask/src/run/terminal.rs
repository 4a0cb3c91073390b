//! The terminal of `run`: whether the guest gets it, raw mode while it has it, and the way back.
//!
//! Invariant: whoever set raw mode, it is ended before xtask ends: by the guard, or by the panic hook (a panic aborts,
//! and no guard runs then). Only SIGKILL leaves it, as it must.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Options;

/// What the terminal on standard input was before raw mode; `None` when it is not in raw mode.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A panic elsewhere is reported elsewhere; what is kept here is whole.
fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the guest gets a terminal instead of three pipes.
pub(super) fn is_wanted(options: &Options) -> bool {
    let both = || std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    options.tty || !options.no_tty && both()
}

/// Raw mode of the terminal on standard input; dropping this ends it.
pub(super) struct Raw(());

impl Raw {
    /// Sets raw mode, if standard input is a terminal.
    ///
    /// # Errors
    /// The terminal refuses.
    pub(super) fn set() -> Result<Option<Self>> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let settings = tcgetattr(&stdin).context("--tty: cannot ask the terminal")?;
        let mut raw = settings.clone();
        raw.make_raw();
        *before() = Some(settings);
        let guard = Self(());
        let restoring = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            restoring(panic);
        }));
        tcsetattr(&stdin, OptionalActions::Now, &raw).context("--tty: no raw mode")?;
        Ok(Some(guard))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Ends raw mode, if it is on.
fn restore() {
    if let Some(settings) = before().take() {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &settings);
    }
}

/// Lines for standard error: in raw mode each needs its carriage return.
pub(crate) fn lines(bytes: &[u8]) -> Cow<'_, [u8]> {
    if before().is_none() || !std::io::stderr().is_terminal() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(with_returns(bytes))
}

fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len() + 16);
    for &byte in bytes {
        if byte == b'\n' {
            all.push(b'\r');
        }
        all.push(byte);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_returns() {
        assert_eq!(with_returns(b"a\n\nb"), b"a\r\n\r\nb");
        assert_eq!(lines(b"a\n").as_ref(), b"a\n", "not in raw mode");
    }
}
