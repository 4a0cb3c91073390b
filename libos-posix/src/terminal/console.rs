//! The host's terminal: the link's standard input and output as the other side of a terminal.
use super::devices::{self, CONSOLE};
use super::state::State;
use super::{Side, Size, Terminal};
use crate::file::pipe::{End, Pipe};
use crate::file::{Description, Page};
use crate::io::{self, link::Link};
use crate::raw::kernel;
use crate::sched;
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use linux_raw_sys::general::{IUTF8, O_RDWR};
use serix_chroma::{Events, VfsError};
use serix_link::{Stream, WindowSize};
use serix_terminal::Settings;

/// How long the host may take for its first frame.
const GREETING_NS: u64 = 10_000_000_000;
/// How long output may take to leave at the end of the session, should the host have stopped reading.
const DRAIN_NS: u64 = 5_000_000_000;
/// Bytes that move at a time.
const PART: usize = 4096;

/// The terminal of the session's first process, if the link's other end is one: starts what serves it.
pub fn start() -> Option<Arc<Terminal>> {
    let link = io::link()?;
    let deadline = kernel::now_ns() + GREETING_NS;
    let greeting = sched::wait_until(Some(deadline), |waker| link.poll_greeting(waker));
    let size = greeting.ok()??;
    let mut settings = Settings::fresh();
    // The host's terminals speak UTF-8 nowadays, and erasing has to know.
    settings.input |= IUTF8;
    let terminal = Arc::new(Terminal::new(CONSOLE, settings, false));
    terminal.set_size(as_size(size));
    io::spawn(input(link.clone(), terminal.clone()));
    io::spawn(output(link.clone(), terminal.clone()));
    io::spawn(resizes(link.clone(), terminal.clone(), size));
    Some(devices::set_console(terminal).clone())
}

/// A description of the console, which becomes the terminal of the running process's session.
///
/// # Errors
/// Those of finding its node.
pub fn open(terminal: &Arc<Terminal>) -> Result<Arc<Description>> {
    let place = devices::place_of(terminal)?;
    terminal.open();
    terminal.acquire_if_free();
    Ok(Description::of_terminal(terminal.clone(), Side::Program, place, O_RDWR))
}

/// Waits until what programs wrote is with the link. What `^S` holds back goes too.
pub fn drain() {
    let Some(terminal) = devices::console() else { return };
    terminal.change(|state| state.discipline.start_by_program());
    let deadline = kernel::now_ns() + DRAIN_NS;
    // A host that does not read in time has lost interest.
    let _ = sched::wait_until(Some(deadline), |waker| {
        terminal.poll_for(waker, |state| (state.discipline.output_len() == 0).then_some(()))
    })
    .map_err(|_| Errno::EIO);
}

const fn as_size(size: WindowSize) -> Size {
    Size::of_characters(size.rows, size.columns)
}

/// Waits until something can be done at an end of a pipe.
async fn ready(pipe: &Pipe, end: End, events: Events) {
    poll_fn(|context| match pipe.poll(end, events, Some(context.waker())).is_empty() {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}

/// Waits until something is true of a terminal.
pub(super) async fn until(terminal: &Terminal, condition: impl Fn(&State) -> bool) {
    poll_fn(|context| {
        let waker: &Waker = context.waker();
        match terminal.poll_for(waker, |state| condition(state).then_some(())) {
            Some(()) => Poll::Ready(()),
            None => Poll::Pending,
        }
    })
    .await;
}

/// Passes on what is typed, until the host's terminal is gone.
async fn input(link: Arc<Link>, terminal: Arc<Terminal>) {
    let mut part = vec![0; PART];
    loop {
        match link.stdin().try_read::<Page, _>(&mut part.as_mut_slice()) {
            Ok(0) => break,
            Ok(count) => type_bytes(&terminal, &part[..count]).await,
            Err(VfsError::WouldBlock) => ready(link.stdin(), End::Read, Events::IN).await,
            Err(_) => break,
        }
    }
    terminal.hang_up();
}

async fn type_bytes(terminal: &Terminal, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let taken = terminal.change(|state| state.discipline.receive(bytes));
        bytes = &bytes[taken..];
        if taken == 0 {
            until(terminal, |state| state.discipline.input_room() > 0).await;
        }
    }
}

/// Passes on what is to be shown, as far as the link has room.
async fn output(link: Arc<Link>, terminal: Arc<Terminal>) {
    let pipe = link.output(Stream::Stdout);
    loop {
        until(&terminal, |state| state.discipline.output_len() > 0).await;
        ready(pipe, End::Write, Events::OUT).await;
        let room = pipe.limit().saturating_sub(pipe.len()).min(PART);
        let bytes = terminal.change(|state| state.discipline.take_output(room));
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match pipe.try_write::<Page, _>(&mut rest) {
                Ok(_) => {}
                Err(VfsError::WouldBlock) => ready(pipe, End::Write, Events::OUT).await,
                // Nobody looks any more.
                Err(_) => break,
            }
        }
    }
}

/// Passes on the sizes that the host's window takes.
async fn resizes(link: Arc<Link>, terminal: Arc<Terminal>, mut size: WindowSize) {
    loop {
        size = poll_fn(|context| match link.poll_window(size, context.waker()) {
            Some(size) => Poll::Ready(size),
            None => Poll::Pending,
        })
        .await;
        terminal.set_size(as_size(size));
    }
}
