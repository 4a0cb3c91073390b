//! Standard input to the guest.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};

use serix_link::{DATA_MAX, Stream};

use super::chord::Chord;
use super::guest::Guest;
use super::{Keys, Notice};

/// Most reads of the keyboard that wait for a guest which reads nothing.
const TYPED_MAX: usize = 4096;
/// Ctrl-D.
const END_OF_FILE: u8 = 4;

/// Carries `input` to the guest until either ends. It reads only what it has credit for, so that
/// input which no program asked for stays, but for one window, where it is.
pub(super) fn start(input: File, keys: Option<Keys>, guest: Arc<Guest>, notices: Sender<Notice>) {
    std::thread::spawn(move || {
        // When the guest cannot be written to, the run ends by other signs.
        let _ = match keys {
            None => carry(input, &guest),
            Some(keys) => carry_keys(input, keys, &guest, &notices),
        };
    });
}

/// What is typed at a terminal. Its end is no end of file, which a terminal has not, but Ctrl-D.
fn carry_keys(
    mut input: File,
    keys: Keys,
    guest: &Arc<Guest>,
    notices: &Sender<Notice>,
) -> anyhow::Result<()> {
    let (mut chord, mut buffer) = (Chord::default(), vec![0; DATA_MAX]);
    let queue = queue(guest);
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // A closed or unreadable input is at its end.
            Err(_) => break,
        };
        let (passed, is_end) = match keys.have_chord {
            true => chord.filter(&buffer[..length]),
            false => (buffer[..length].to_vec(), false),
        };
        queue.send(passed)?;
        if is_end {
            // Whoever took notices is gone only when the run is over.
            let _ = notices.send(Notice::Chord);
            return Ok(());
        }
    }
    Ok(queue.send(vec![END_OF_FILE])?)
}

/// What is typed waits here for credit, so that the chord is seen even if the guest reads nothing.
fn queue(guest: &Arc<Guest>) -> SyncSender<Vec<u8>> {
    let (queue, typed) = sync_channel::<Vec<u8>>(TYPED_MAX);
    let guest = Arc::clone(guest);
    std::thread::spawn(move || {
        for bytes in typed {
            if send(&guest, &bytes).is_err() {
                return;
            }
        }
    });
    queue
}

/// Sends bytes as credit comes.
fn send(guest: &Guest, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        let room = guest.wait_for_credit();
        if room == 0 {
            return Ok(());
        }
        let (part, rest) = bytes.split_at(room.min(bytes.len()));
        guest.send_input(part)?;
        bytes = rest;
    }
    Ok(())
}

fn carry(mut input: File, guest: &Guest) -> anyhow::Result<()> {
    let mut buffer = vec![0; DATA_MAX];
    loop {
        let room = guest.wait_for_credit();
        if room == 0 {
            return Ok(());
        }
        match input.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(length) => guest.send_input(&buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A closed or unreadable input is at its end.
            Err(_) => break,
        }
    }
    guest.send(&serix_link::end(Stream::Stdin))
}
