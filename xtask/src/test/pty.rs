//! A command at a terminal: the test sits at the other end of a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// How often an end is looked for.
const PERIOD: Duration = Duration::from_millis(5);

/// What the terminal showed and nobody has looked at.
type Shown = Arc<(Mutex<Vec<u8>>, Condvar)>;

/// A terminal and the command that has it.
pub(crate) struct Pty {
    keyboard: File,
    /// The command's side, which keeps the settings alive.
    terminal: OwnedFd,
    child: Child,
    shown: Shown,
}

impl Pty {
    /// Starts a command as the leader of a session of its own, with a terminal of this size.
    pub(crate) fn start(command: &Command, rows: u16, columns: u16) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).context("no pseudo-terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
        set_size(&terminal, rows, columns)?;
        let mut leader = Command::new("setsid");
        leader.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        let end = || Ok::<_, anyhow::Error>(Stdio::from(terminal.try_clone()?));
        leader.env("TERM", "vt100").stdin(end()?).stdout(end()?).stderr(end()?);
        let child = leader.spawn().context("cannot start setsid")?;
        let keyboard = File::from(master);
        let shown = watch(keyboard.try_clone()?);
        Ok(Self { keyboard, terminal, child, shown })
    }

    /// The command's process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: impl AsRef<[u8]>) -> Result<()> {
        self.keyboard.write_all(keys.as_ref()).context("cannot type")
    }

    /// Waits until the terminal has shown a text, and takes what it showed up to that.
    pub(crate) fn expect(&self, text: &str, limit: Duration) -> Result<String> {
        let (start, (shown, changed)) = (Instant::now(), &*self.shown);
        let mut bytes = shown.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let wanted = text.as_bytes();
            if let Some(at) = bytes.windows(wanted.len()).position(|part| part == wanted) {
                let taken: Vec<u8> = bytes.drain(..at + wanted.len()).collect();
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            let Some(left) = limit.checked_sub(start.elapsed()) else {
                bail!("not shown: {text:?}; shown was {:?}", String::from_utf8_lossy(&bytes));
            };
            let waited = changed.wait_timeout(bytes, left);
            bytes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What `stty -g` says.
    pub(crate) fn settings(&self) -> Result<String> {
        let settings = tcgetattr(&self.terminal)?;
        Ok(format!(
            "{:x}:{:x}:{:x}:{:x}:{:?}",
            settings.input_modes.bits(),
            settings.output_modes.bits(),
            settings.control_modes.bits(),
            settings.local_modes.bits(),
            settings.special_codes
        ))
    }

    /// Gives the window another size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        set_size(&self.terminal, rows, columns)
    }

    /// Waits for the end, and tells the status.
    pub(crate) fn end(&mut self, limit: Duration) -> Result<Option<i32>> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(PERIOD);
        }
        bail!("no end after {limit:?}; shown was {:?}", self.rest());
    }

    /// What was shown and not expected.
    pub(crate) fn rest(&self) -> String {
        let bytes = self.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &OwnedFd, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).context("no window size")
}

fn watch(mut screen: File) -> Shown {
    let shown = Shown::default();
    let watched = Arc::clone(&shown);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The other end is gone for good when nobody holds it: then a read fails.
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            let mut bytes = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
            bytes.extend_from_slice(&buffer[..count]);
            shown.1.notify_all();
        }
    });
    watched
}
