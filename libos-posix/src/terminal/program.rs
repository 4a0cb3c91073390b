//! What programs do with a terminal: reads and writes, and when they have to wait.
use super::Terminal;
use super::state::ROOM_LEAST;
use crate::file::Page;
use crate::raw::kernel;
use crate::sched::WaitError;
use crate::signal::set::{SIGTTIN, SIGTTOU};
use crate::{Errno, Result};
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use serix_chroma::{Destination, Source};
use serix_terminal::Settings;

/// Most bytes of one read.
const READ_MAX: usize = 64 * 1024;
/// Bytes that a write takes from the program at a time.
const WRITE_PART: usize = 1024;
/// The unit of `VTIME`: a tenth of a second.
const TENTH_NS: u64 = 100_000_000;

/// When a read that is not of lines is over.
struct Rule {
    /// Bytes that are enough.
    least: usize,
    /// How long to wait for the first byte.
    first_ns: Option<u64>,
    /// How long to wait after each.
    between_ns: Option<u64>,
}

impl Rule {
    fn of(settings: &Settings) -> Self {
        let least = usize::from(settings.character(linux::VMIN));
        let time = u64::from(settings.character(linux::VTIME)) * TENTH_NS;
        match least {
            0 => Self { least: 1, first_ns: Some(time), between_ns: None },
            _ => Self { least, first_ns: None, between_ns: (time > 0).then_some(time) },
        }
    }
}

/// Bytes with which a terminal that is not read in lines counts as readable.
pub(super) fn least_of(settings: &Settings) -> usize {
    match settings.character(linux::VTIME) {
        0 => usize::from(settings.character(linux::VMIN)).max(1),
        _ => 1,
    }
}

impl Terminal {
    /// Reads a line, or bytes by the rules of `VMIN` and `VTIME`.
    ///
    /// # Errors
    /// `EIO` in the background with nobody to continue the group, `EAGAIN`, `RESTART`, `EFAULT`.
    pub fn read(&self, into: &mut dyn Destination<Page>, is_non_blocking: bool) -> Result<usize> {
        self.check_foreground(SIGTTIN)?;
        let limit = into.remaining().min(READ_MAX);
        if limit == 0 {
            return Ok(0);
        }
        let bytes = self.take_input(limit, is_non_blocking)?;
        if into.put(&bytes) < bytes.len() { Err(Errno::EFAULT) } else { Ok(bytes.len()) }
    }

    fn take_input(&self, limit: usize, is_non_blocking: bool) -> Result<Vec<u8>> {
        let rule = self.look(|state| match state.discipline.is_canonical() {
            true => Rule { least: 0, first_ns: None, between_ns: None },
            false => Rule::of(state.discipline.settings()),
        });
        let after = |ns: Option<u64>| ns.map(|ns| kernel::now_ns() + ns);
        let mut deadline = after(rule.first_ns);
        let mut bytes = Vec::new();
        loop {
            let (is_readable, is_hung_up) =
                self.look(|state| (state.discipline.is_readable(1), state.is_hung_up));
            if is_readable {
                let room = limit - bytes.len();
                let (more, is_line) = self
                    .change(|state| (state.discipline.read(room), state.discipline.is_canonical()));
                bytes.extend(more);
                if is_line || bytes.len() >= rule.least.min(limit) {
                    return Ok(bytes);
                }
                deadline = after(rule.between_ns);
                continue;
            }
            if is_hung_up || rule.first_ns == Some(0) {
                return Ok(bytes);
            }
            let waited = match is_non_blocking {
                true => Err(Errno::EAGAIN),
                false => match self
                    .wait_for(deadline, |state| state.is_hung_up || state.discipline.is_readable(1))
                {
                    Err(WaitError::TimedOut) => return Ok(bytes),
                    Err(WaitError::Interrupted) => Err(Errno::RESTART),
                    // Whoever waited learns of the hang-up; later reads meet an end of file.
                    Ok(()) if self.look(|state| state.is_hung_up) => Err(Errno::EIO),
                    Ok(()) => Ok(()),
                },
            };
            match waited {
                Err(error) if bytes.is_empty() => return Err(error),
                Err(_) => return Ok(bytes),
                Ok(()) => {}
            }
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    /// `EIO` if the other side is gone or, with `TOSTOP`, in the background with nobody to continue the group;
    /// `EAGAIN`, `RESTART`, `EFAULT`.
    pub fn write(&self, from: &mut dyn Source<Page>, is_non_blocking: bool) -> Result<usize> {
        if self.look(|state| state.discipline.settings().local & linux::TOSTOP != 0) {
            self.check_foreground(SIGTTOU)?;
        }
        let mut done = 0;
        let outcome = loop {
            let mut part = vec![0; from.remaining().min(WRITE_PART)];
            if part.is_empty() {
                break Ok(());
            }
            let taken = from.take(&mut part);
            if taken == 0 {
                break Err(Errno::EFAULT);
            }
            if let Err(error) = self.write_part(&part[..taken], is_non_blocking, &mut done) {
                break Err(error);
            }
        };
        match outcome {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    fn write_part(&self, mut bytes: &[u8], is_non_blocking: bool, done: &mut usize) -> Result<()> {
        loop {
            if self.look(|state| state.is_hung_up) {
                return Err(Errno::EIO);
            }
            let count = self.change(|state| state.discipline.write(bytes));
            *done += count;
            bytes = &bytes[count..];
            if bytes.is_empty() {
                return Ok(());
            }
            if is_non_blocking {
                return Err(Errno::EAGAIN);
            }
            self.wait_for(None, |state| {
                state.is_hung_up || state.discipline.output_room() >= ROOM_LEAST
            })
            .map_err(|_| Errno::RESTART)?;
        }
    }
}
