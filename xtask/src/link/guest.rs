//! What is sent to the guest, and the credit for it.

use std::fs::File;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serix_link::{DATA_MAX, Header, SendCredit, Stream};

/// The direction to the guest; each call sends whole frames.
#[derive(Debug)]
pub(super) struct Guest {
    pipe: Mutex<File>,
    input: Mutex<Input>,
    credit_came: Condvar,
}

#[derive(Debug)]
struct Input {
    credit: SendCredit,
    /// The guest reads no more.
    ended: bool,
}

impl Guest {
    pub(super) fn new(pipe: File) -> Self {
        let input = Input { credit: SendCredit::new(), ended: false };
        Self { pipe: Mutex::new(pipe), input: Mutex::new(input), credit_came: Condvar::new() }
    }

    /// Sends a frame that needs no credit.
    pub(super) fn send(&self, frame: &[u8]) -> Result<()> {
        lock(&self.pipe).write_all(frame).context("cannot write to the guest")
    }

    /// Waits until there is credit for input and says for how many bytes; 0 when the guest reads no
    /// more.
    pub(super) fn wait_for_credit(&self) -> usize {
        let mut input = lock(&self.input);
        loop {
            if input.ended {
                return 0;
            }
            match input.credit.available() {
                0 => {
                    let woken = self.credit_came.wait(input);
                    input = woken.unwrap_or_else(PoisonError::into_inner);
                }
                available => return available.min(DATA_MAX),
            }
        }
    }

    /// Sends input, which must fit the credit that was waited for.
    pub(super) fn send_input(&self, bytes: &[u8]) -> Result<()> {
        let taken = lock(&self.input).credit.take(bytes.len());
        debug_assert_eq!(taken, bytes.len(), "input beyond the credit");
        let mut frame = Vec::from(Header::data(Stream::Stdin, bytes.len()));
        frame.extend_from_slice(bytes);
        self.send(&frame)
    }

    /// The guest gave credit for input.
    pub(super) fn add_credit(&self, bytes: u32) -> Result<(), serix_link::Error> {
        lock(&self.input).credit.add(bytes)?;
        self.credit_came.notify_all();
        Ok(())
    }

    /// The guest reads no more input.
    pub(super) fn end_input(&self) {
        lock(&self.input).ended = true;
        self.credit_came.notify_all();
    }
}

/// A panic elsewhere is reported elsewhere; what is locked here stays usable after it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
