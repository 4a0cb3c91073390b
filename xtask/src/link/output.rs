//! Standard output, standard error and the trace: from the guest to the command's own.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serix_link::{ReceiveCredit, Stream};

use super::Notice;
use super::guest::Guest;

/// How long a guest that was told that nobody reads an output may still write to it.
const UNREAD_LIMIT: Duration = Duration::from_secs(1);

struct Chunk {
    stream: Stream,
    bytes: Vec<u8>,
    cost: usize,
}

/// The window of one stream: the reader takes from it, the writer gives back.
type Window = Arc<Mutex<ReceiveCredit>>;

/// The writers. What is queued for one is bounded by the credit of its streams.
pub(super) struct Outputs {
    windows: [Window; 4],
    /// For standard output, and for standard error with the trace; `None` after the last chunk.
    queues: Option<[Sender<Chunk>; 2]>,
    writers: Vec<JoinHandle<()>>,
    notices: Sender<Notice>,
}

impl Outputs {
    /// Starts both writers.
    pub(super) fn start(
        output: File,
        errors: File,
        guest: &Arc<Guest>,
        notices: &Sender<Notice>,
    ) -> Self {
        let windows: [Window; 4] = Default::default();
        let mut writers = Vec::new();
        let queues = [output, errors].map(|file| {
            let (queue, chunks) = channel();
            let writer = Writer {
                file,
                windows: windows.clone(),
                guest: Arc::clone(guest),
                notices: notices.clone(),
                unread_since: None,
            };
            writers.push(std::thread::spawn(move || writer.run(&chunks)));
            queue
        });
        Self { windows, queues: Some(queues), writers, notices: notices.clone() }
    }

    /// Queues what came.
    pub(super) fn data(
        &self,
        stream: Stream,
        bytes: &[u8],
        cost: usize,
    ) -> Result<(), serix_link::Error> {
        lock(&self.windows[stream as usize]).received(cost)?;
        let Some([output, errors]) = &self.queues else { return Ok(()) };
        let queue = match stream {
            Stream::Stdin => return Err(serix_link::Error::Stream(stream as u8)),
            Stream::Stdout => output,
            Stream::Stderr | Stream::Trace => errors,
        };
        // A writer ends only when its queue does.
        let _ = queue.send(Chunk { stream, bytes: bytes.to_vec(), cost });
        Ok(())
    }

    /// No more will come: once all is written, says so.
    pub(super) fn finish(&mut self) {
        if self.queues.take().is_none() {
            return;
        }
        let (writers, notices) = (std::mem::take(&mut self.writers), self.notices.clone());
        // The reader goes on meanwhile: the guest may still be writing what nobody waits for.
        std::thread::spawn(move || {
            for writer in writers {
                // A panic of the writer has said all there is to say.
                let _ = writer.join();
            }
            // Whoever took notices is gone only when the run is over.
            let _ = notices.send(Notice::Drained);
        });
    }
}

/// The writer of one file.
struct Writer {
    file: File,
    windows: [Window; 4],
    guest: Arc<Guest>,
    notices: Sender<Notice>,
    /// When the guest was told that nobody reads this.
    unread_since: Option<Instant>,
}

impl Writer {
    fn run(mut self, chunks: &Receiver<Chunk>) {
        for chunk in chunks {
            self.write(&chunk);
            let credit = lock(&self.windows[chunk.stream as usize]).consumed(chunk.cost);
            if let Some(bytes) = credit {
                // When the guest cannot be written to, the run ends by other signs.
                let _ = self.guest.send(&serix_link::credit(chunk.stream, bytes));
            }
        }
    }

    /// Writes, or finds that nobody reads. Then the guest is told, and goes on with its credit, so
    /// that a program which does not mind loses its output only.
    fn write(&mut self, chunk: &Chunk) {
        match self.unread_since {
            None => {
                let bytes = match chunk.stream {
                    Stream::Stderr | Stream::Trace => crate::run::lines(&chunk.bytes),
                    _ => Cow::Borrowed(chunk.bytes.as_slice()),
                };
                if let Err(error) = self.file.write_all(&bytes) {
                    self.lose(chunk.stream, &error);
                }
            }
            Some(since) if since.elapsed() > UNREAD_LIMIT => {
                // As below.
                let _ = self.notices.send(Notice::Unread);
            }
            Some(_) => {}
        }
    }

    fn lose(&mut self, stream: Stream, error: &std::io::Error) {
        self.unread_since = Some(Instant::now());
        // Whoever took notices is gone only when the run is over.
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            let _ = self.notices.send(Notice::Broken(format!("cannot write output: {error}")));
        }
        let stream = if stream == Stream::Trace { Stream::Stderr } else { stream };
        let _ = self.guest.send(&serix_link::end(stream));
    }
}

/// A panic elsewhere is reported elsewhere; a window stays usable after it.
fn lock(window: &Window) -> MutexGuard<'_, ReceiveCredit> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}
