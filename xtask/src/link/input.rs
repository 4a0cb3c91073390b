//! Standard input to the guest.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use serix_link::{DATA_MAX, Stream};

use super::guest::Guest;

/// Carries `input` to the guest until either ends. It reads only what it has credit for, so that
/// input which no program asked for stays, but for one window, where it is.
pub(super) fn start(input: File, guest: Arc<Guest>) {
    std::thread::spawn(move || {
        // When the guest cannot be written to, the run ends by other signs.
        let _ = carry(input, &guest);
    });
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
