//! The link to the host: standard streams as pipes, and the frames that carry them.
//!
//! Each stream is a [`Pipe`] with the program at one end and the link at the other, so that reads, writes,
//! polls, end of file and broken pipes are those of pipes. Two tasks move bytes between the pipes and
//! the machine's stream; this module is what they say to each other, and does no I/O itself.
//!
//! Invariant: no DATA byte without credit, and stdin never holds more than the window.
use crate::file::Page;
use crate::file::pipe::{End, Pipe};
use crate::file::waiters::{Waiters, wake};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use serix_chroma::{Events, VfsError};
use serix_link::{
    CONTROL_MAX, Cause, DATA_MAX, Decoder, Error, Event, HEADER_LEN, Header, Hello, INITIAL_CREDIT,
    ReceiveCredit, SendCredit, Status, Stream, WindowSize, credit, end,
};
use serix_transfer::TransferError;
use spin::Mutex;

/// Streams from the session to the host, in the order of [`Link::outputs`].
const OUTPUTS: [Stream; 3] = [Stream::Stdout, Stream::Stderr, Stream::Trace];
/// Most that stdin's pipe may hold: more than the window, so that what comes always fits.
const STDIN_LIMIT: usize = 2 * INITIAL_CREDIT as usize;

/// Why a link was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The host broke the protocol.
    Protocol(Error),
    /// The machine's stream failed.
    Device(TransferError),
}

/// Room for one frame.
pub(super) type Frame = [u8; HEADER_LEN + DATA_MAX];

/// The session's end of the link.
pub struct Link {
    stdin: Arc<Pipe>,
    outputs: [Arc<Pipe>; 3],
    protocol: Mutex<Protocol>,
}

struct Protocol {
    /// Control frames to be sent before anything else.
    control: Vec<u8>,
    send: [SendCredit; 3],
    /// END was sent, or the host reads no more.
    ended: [bool; 3],
    receive: ReceiveCredit,
    /// Bytes put into stdin's pipe of which it is not yet known that they were read.
    unread: usize,
    /// The host sends no more.
    stdin_ended: bool,
    /// The host was told that nobody reads stdin.
    stdin_unwanted: bool,
    window: WindowSize,
    terminal: bool,
    /// The host's HELLO came.
    greeted: bool,
    /// The last frame, sent when all output is.
    status: Option<Vec<u8>>,
    /// It is on its way.
    finishing: bool,
    finished: bool,
    failed: Option<Failure>,
    waiters: Waiters,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link at its start: the guest's HELLO waits to be sent.
    #[must_use]
    pub fn new() -> Self {
        let (stdin, outputs) = (Arc::new(Pipe::new()), [(); 3].map(|()| Arc::new(Pipe::new())));
        stdin.open(End::Both);
        // The limit is a power of two below what a pipe may have.
        let _ = stdin.set_limit(STDIN_LIMIT);
        for output in &outputs {
            output.open(End::Both);
        }
        let protocol = Protocol {
            control: Hello::PLAIN.encode().to_vec(),
            send: [SendCredit::new(); 3],
            ended: [false; 3],
            receive: ReceiveCredit::new(),
            unread: 0,
            stdin_ended: false,
            stdin_unwanted: false,
            window: WindowSize::default(),
            terminal: false,
            greeted: false,
            status: None,
            finishing: false,
            finished: false,
            failed: None,
            waiters: Waiters::new(),
        };
        Self { stdin, outputs, protocol: Mutex::new(protocol) }
    }

    /// The pipe that programs read standard input from. One read end is open for the session's first
    /// descriptor.
    #[must_use]
    pub fn stdin(&self) -> &Arc<Pipe> {
        &self.stdin
    }

    /// The pipe that a stream to the host is written to. One write end is open, as for stdin; that of the trace
    /// is never closed.
    ///
    /// # Panics
    /// For [`Stream::Stdin`], which flows the other way.
    #[must_use]
    pub fn output(&self, stream: Stream) -> &Arc<Pipe> {
        &self.outputs[index(stream).expect("a stream to the host")]
    }

    /// The host's terminal: whether there is one, and its size.
    #[must_use]
    pub fn terminal(&self) -> Option<WindowSize> {
        let protocol = self.protocol.lock();
        protocol.terminal.then_some(protocol.window)
    }

    /// As [`Self::terminal`] once the host has said it, or the link has failed; wakes the waker then.
    pub(crate) fn poll_greeting(&self, waker: &Waker) -> Option<Option<WindowSize>> {
        let is_known = {
            let mut protocol = self.protocol.lock();
            protocol.waiters.add(waker);
            protocol.greeted || protocol.failed.is_some()
        };
        is_known.then(|| self.terminal())
    }

    /// The size of the host's window if it is not `known`; wakes the waker when it changes.
    pub(crate) fn poll_window(&self, known: WindowSize, waker: &Waker) -> Option<WindowSize> {
        let mut protocol = self.protocol.lock();
        protocol.waiters.add(waker);
        (protocol.window != known).then_some(protocol.window)
    }

    /// Sets the last frame, which follows all output that was written before.
    pub fn finish(&self, code: i32, cause: Cause, message: &[u8]) {
        let mut frame = [0; HEADER_LEN + CONTROL_MAX];
        let length = Status { code, cause, message }.encode(&mut frame);
        let waiters = {
            let mut protocol = self.protocol.lock();
            protocol.status = Some(frame[..length].to_vec());
            protocol.waiters.take()
        };
        wake(waiters);
    }

    /// Whether the last frame was handed to the machine's stream, or the link failed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let protocol = self.protocol.lock();
        protocol.finished || protocol.failed.is_some()
    }

    /// What [`Self::poll_output`] gave last was handed over.
    pub(super) fn sent(&self) {
        let waiters = {
            let mut protocol = self.protocol.lock();
            if !protocol.finishing {
                return;
            }
            protocol.finished = true;
            protocol.waiters.take()
        };
        wake(waiters);
    }

    /// Ready once [`Self::is_finished`]; wakes the waker then.
    pub(super) fn poll_finished(&self, waker: &Waker) -> Option<()> {
        self.protocol.lock().waiters.add(waker);
        self.is_finished().then_some(())
    }

    /// Why the link was given up.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.protocol.lock().failed
    }

    /// Acts on bytes from the host.
    pub(super) async fn receive(&self, decoder: &mut Decoder, mut bytes: &[u8]) {
        loop {
            let outcome = match decoder.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Event::Data { stream: Stream::Stdin, bytes, cost })) => {
                    self.take_input(bytes, cost).await
                }
                Ok(Some(event)) => self.act(event),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                return self.fail(Failure::Protocol(error));
            }
        }
    }

    /// Gives the link up: end of file on stdin, broken pipes on the others.
    pub(super) fn fail(&self, failure: Failure) {
        let waiters = {
            let mut protocol = self.protocol.lock();
            if protocol.failed.replace(failure).is_some() {
                return;
            }
            protocol.waiters.take()
        };
        for stream in Stream::ALL {
            self.end(stream);
        }
        wake(waiters);
    }

    fn act(&self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Hello(hello) => self.greet(hello),
            Event::Resize(size) => self.set_window(size),
            Event::End(stream) => self.end(stream),
            Event::Credit(stream, bytes) => self.add_credit(stream, bytes)?,
            // The host has nothing to say on the other streams.
            Event::Data { stream, .. } => return Err(Error::Stream(stream as u8)),
            Event::Status(_) => {}
        }
        Ok(())
    }

    fn greet(&self, hello: Hello) {
        {
            let mut protocol = self.protocol.lock();
            (protocol.greeted, protocol.terminal) = (true, hello.terminal);
        }
        self.set_window(hello.size);
    }

    fn set_window(&self, size: WindowSize) {
        let waiters = {
            let mut protocol = self.protocol.lock();
            protocol.window = size;
            protocol.waiters.take()
        };
        wake(waiters);
    }

    fn add_credit(&self, stream: Stream, bytes: u32) -> Result<(), Error> {
        let waiters = {
            let mut protocol = self.protocol.lock();
            if let Some(index) = index(stream) {
                protocol.send[index].add(bytes)?;
            }
            protocol.waiters.take()
        };
        wake(waiters);
        Ok(())
    }

    async fn take_input(&self, mut bytes: &[u8], cost: usize) -> Result<(), Error> {
        self.protocol.lock().received(cost, bytes.len())?;
        while !bytes.is_empty() {
            match self.stdin.try_write::<Page, _>(&mut bytes) {
                Ok(done) => self.protocol.lock().unread += done,
                // Credit bounds what comes, so only a program in the middle of a read is in the way.
                Err(VfsError::WouldBlock) => {
                    poll_fn(|context| self.poll_stdin(context)).await;
                }
                Err(_) => {
                    self.protocol.lock().consumed(bytes.len());
                    break;
                }
            }
        }
        Ok(())
    }

    fn poll_stdin(&self, context: &Context<'_>) -> Poll<()> {
        match self.stdin.poll(End::Write, Events::OUT, Some(context.waker())).is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Puts the next frames to be sent in `buffer` and answers how many bytes they are.
    pub(super) fn poll_output(&self, context: &Context<'_>, buffer: &mut Frame) -> Poll<usize> {
        let mut protocol = self.protocol.lock();
        protocol.waiters.add(context.waker());
        for pipe in self.outputs.iter().chain([&self.stdin]) {
            pipe.add_waiter(context.waker());
        }
        if protocol.failed.is_some() || protocol.finished {
            return Poll::Pending;
        }
        protocol.account(&self.stdin);
        if let Some(length) = protocol.take_control(buffer) {
            return Poll::Ready(length);
        }
        for index in 0..OUTPUTS.len() {
            if let Some(length) = protocol.take_output(index, &self.outputs[index], buffer) {
                return Poll::Ready(length);
            }
        }
        protocol.take_status(&self.outputs, buffer).map_or(Poll::Pending, Poll::Ready)
    }

    /// The host sends no more on stdin, or reads no more of another stream.
    fn end(&self, stream: Stream) {
        let mut protocol = self.protocol.lock();
        let (pipe, end, ended) = match index(stream) {
            None => (&self.stdin, End::Write, &mut protocol.stdin_ended),
            Some(index) => (&self.outputs[index], End::Read, &mut protocol.ended[index]),
        };
        if !core::mem::replace(ended, true) {
            drop(protocol);
            pipe.close(end);
        }
    }
}

impl Protocol {
    fn received(&mut self, cost: usize, payload: usize) -> Result<(), Error> {
        self.receive.received(cost)?;
        self.consumed(cost - payload);
        Ok(())
    }

    fn consumed(&mut self, cost: usize) {
        if let Some(bytes) = self.receive.consumed(cost) {
            self.control.extend_from_slice(&credit(Stream::Stdin, bytes));
        }
    }

    /// Gives credit for what programs read of stdin, and says so when nobody is left to read it.
    fn account(&mut self, stdin: &Pipe) {
        if let Some(len) = stdin.settled_len()
            && len < self.unread
        {
            let read = core::mem::replace(&mut self.unread, len) - len;
            self.consumed(read);
        }
        if !stdin.has_peer(End::Write) && !core::mem::replace(&mut self.stdin_unwanted, true) {
            self.control.extend_from_slice(&end(Stream::Stdin));
        }
    }

    fn take_control(&mut self, buffer: &mut Frame) -> Option<usize> {
        let length = self.control.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.control[..length]);
        self.control.drain(..length);
        (length > 0).then_some(length)
    }

    /// A DATA or END frame of an output.
    fn take_output(&mut self, index: usize, pipe: &Pipe, buffer: &mut Frame) -> Option<usize> {
        let waiting = pipe.settled_len()?;
        if self.ended[index] {
            return None;
        }
        if waiting == 0 {
            let is_over = !pipe.has_peer(End::Read) && OUTPUTS[index] != Stream::Trace;
            return is_over.then(|| {
                self.ended[index] = true;
                buffer[..HEADER_LEN].copy_from_slice(&end(OUTPUTS[index]));
                HEADER_LEN
            });
        }
        let room = waiting.min(self.send[index].available());
        let mut payload = &mut buffer[HEADER_LEN..HEADER_LEN + room];
        // A writer on another core may just be adding bytes; its end wakes us again.
        let length = pipe.try_read::<Page, _>(&mut payload).ok().filter(|&length| length > 0)?;
        let length = self.send[index].take(length);
        buffer[..HEADER_LEN].copy_from_slice(&Header::data(OUTPUTS[index], length));
        Some(HEADER_LEN + length)
    }

    /// The last frame, once all outputs are empty.
    fn take_status(&mut self, outputs: &[Arc<Pipe>; 3], buffer: &mut Frame) -> Option<usize> {
        let mut left = outputs.iter().zip(self.ended);
        if left.any(|(pipe, ended)| !ended && pipe.settled_len() != Some(0)) {
            return None;
        }
        let frame = self.status.take()?;
        buffer[..frame.len()].copy_from_slice(&frame);
        self.finishing = true;
        Some(frame.len())
    }
}

fn index(stream: Stream) -> Option<usize> {
    OUTPUTS.iter().position(|&output| output == stream)
}
