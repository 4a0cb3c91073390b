//! The host's end of the link (decision 0001): standard input, output and errors of the command
//! against the frames of the session.
//!
//! QEMU's end is a pair of named pipes, not a socket: its virtio-console drops what the character
//! device does not take at once, and a pipe of 1 MiB takes all that credit allows to be under way.
//!
//! Invariant: the thread that reads frames never waits for a writer, and each stream has a writer of
//! its own, so a full output stops that output alone.

mod chord;
mod guest;
mod input;
mod output;
mod pipe;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use anyhow::{Context, Result};
use serix_link::{Cause, Decoder, Event, Hello, Stream, WindowSize};

use guest::Guest;
use output::Outputs;
use pipe::Pipes;

/// What happens on the link that `run` must know.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The guest's last word: status, cause, message.
    Status(i32, Cause, String),
    /// All that came is written, and no more will come.
    Drained,
    /// The guest goes on writing to an output which nobody reads.
    Unread,
    /// The link cannot go on.
    Broken(String),
    /// The chord that ends the machine was typed.
    Chord,
    /// xtask got this signal.
    Signal(i32),
}

/// How a terminal is typed at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// Somebody sits there, and may type the chord that ends the machine.
    pub(crate) have_chord: bool,
}

/// Standard streams of the command, or what stands for them.
pub(crate) struct Ends {
    /// Standard input.
    pub(crate) input: File,
    /// Standard output.
    pub(crate) output: File,
    /// Standard error; the trace goes there too.
    pub(crate) errors: File,
}

impl Ends {
    /// Those of this process, without buffers between.
    pub(crate) fn standard() -> Result<Self> {
        use std::os::fd::AsFd;
        let same = |end: std::os::fd::BorrowedFd<'_>| end.try_clone_to_owned().map(File::from);
        Ok(Self {
            input: same(std::io::stdin().as_fd()).context("no standard input")?,
            output: same(std::io::stdout().as_fd()).context("no standard output")?,
            errors: same(std::io::stderr().as_fd()).context("no standard error")?,
        })
    }
}

/// The host's end.
#[derive(Debug)]
pub(crate) struct Link {
    guest: Arc<Guest>,
    /// Held so that the reader meets no end of file before QEMU has opened its end.
    writer: Option<File>,
    is_terminal: bool,
}

impl Link {
    /// Makes the pipes at `path` and starts to carry; with `keys`, a terminal.
    pub(crate) fn start(
        path: &Path,
        ends: Ends,
        keys: Option<Keys>,
        notices: &Sender<Notice>,
    ) -> Result<Self> {
        let pipes = Pipes::create(path)?;
        let guest = Arc::new(Guest::new(pipes.to_guest));
        let size = window_size().unwrap_or(DEFAULT_SIZE);
        let hello = Hello { terminal: keys.is_some(), size, ..Hello::PLAIN };
        guest.send(&hello.encode())?;
        input::start(ends.input, keys, Arc::clone(&guest), notices.clone());
        let outputs = Outputs::start(ends.output, ends.errors, &guest, notices);
        let (credits, notices) = (Arc::clone(&guest), notices.clone());
        std::thread::spawn(move || {
            let mut reader = Reader { guest: credits, outputs, notices };
            reader.run(pipes.from_guest);
        });
        Ok(Self { guest, writer: Some(pipes.writer), is_terminal: keys.is_some() })
    }

    /// QEMU is gone: what is in the pipe is all there is.
    pub(crate) fn close(&mut self) {
        self.writer = None;
    }

    /// Tells the guest the terminal's size.
    pub(crate) fn resize(&self) -> Result<()> {
        match window_size().filter(|_| self.is_terminal) {
            Some(size) => self.guest.send(&serix_link::resize(size)),
            None => Ok(()),
        }
    }
}

/// Of a terminal that nobody sees.
const DEFAULT_SIZE: WindowSize = WindowSize { rows: 24, columns: 80 };

/// The size of the terminal on standard output.
fn window_size() -> Option<WindowSize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    let is_known = size.ws_row > 0 && size.ws_col > 0;
    is_known.then_some(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// The thread that reads frames.
struct Reader {
    guest: Arc<Guest>,
    outputs: Outputs,
    notices: Sender<Notice>,
}

impl Reader {
    fn run(&mut self, mut from_guest: File) {
        let (mut decoder, mut buffer) = (Decoder::new(), vec![0; 256 * 1024]);
        loop {
            let length = match from_guest.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return self.broken(&error.to_string()),
            };
            let mut input = &buffer[..length];
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(event)) => {
                        if let Err(error) = self.handle(event) {
                            return self.broken(&error.to_string());
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return self.broken(&error.to_string()),
                }
            }
        }
        self.outputs.finish();
    }

    fn handle(&mut self, event: Event<'_>) -> Result<(), serix_link::Error> {
        match event {
            Event::Data { stream, bytes, cost } => return self.outputs.data(stream, bytes, cost),
            Event::Credit(Stream::Stdin, bytes) => return self.guest.add_credit(bytes),
            Event::End(Stream::Stdin) => self.guest.end_input(),
            Event::Status(status) => {
                let message = String::from_utf8_lossy(status.message).into_owned();
                // Whoever took notices is gone only when the run is over.
                let _ = self.notices.send(Notice::Status(status.code, status.cause, message));
                self.outputs.finish();
            }
            // Ends of outputs say nothing that the status does not, and the rest is for the guest.
            Event::Hello(_) | Event::End(_) | Event::Credit(..) | Event::Resize(_) => {}
        }
        Ok(())
    }

    fn broken(&mut self, error: &str) {
        let text = format!("the link to the guest: {error}");
        // As above.
        let _ = self.notices.send(Notice::Broken(text));
    }
}
