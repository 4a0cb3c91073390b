//! The session's connections to the machine: its transfer ring, and the link to the host.
//!
//! Owns the one ring of the session and the background tasks that serve the link. Every scheduling
//! point calls [`poll`], which is cheap in vain; whoever waits for the session's event waits for
//! [`EVENT_BITS`] too. It may use the pipes of `file`, and nothing else of the libOS but memory.
pub mod link;
mod pump;
mod tasks;
#[cfg(test)]
mod tests;

use crate::file::Page;
use crate::sched;
use alloc::sync::Arc;
use link::Link;
use serix_link::Cause;
use serix_transfer::{FrameMemory, Ring, StreamReader, StreamWriter, TransferError};
use spin::Once;
use tasks::Tasks;

/// Bits of the session's event that the ring's completions signal.
pub const EVENT_BITS: u64 = 1;
/// Pages through which the link is read and written: one full frame and its header.
const LINK_PAGES: usize = 17;

struct Io {
    ring: Arc<Ring>,
    link: Option<Arc<Link>>,
    tasks: Tasks,
}

static IO: Once<Io> = Once::new();

/// Starts transfers over `ring`, and the link if the session has one, in slot `link_slot`.
///
/// # Errors
/// `NoMemory` if the link's buffers could not be had.
pub fn start<M: FrameMemory<Page = Page>>(
    ring: Arc<Ring>,
    memory: &M,
    link_slot: Option<u32>,
) -> Result<(), TransferError> {
    let tasks = Tasks::new();
    let link = match link_slot {
        None => None,
        Some(slot) => Some(start_link(&tasks, &ring, memory, slot)?),
    };
    IO.call_once(|| Io { ring, link, tasks });
    Ok(())
}

fn start_link<M: FrameMemory<Page = Page>>(
    tasks: &Tasks,
    ring: &Arc<Ring>,
    memory: &M,
    slot: u32,
) -> Result<Arc<Link>, TransferError> {
    let link = Arc::new(Link::new());
    let reader = StreamReader::new(ring.clone(), memory, slot, LINK_PAGES)?;
    let writer = StreamWriter::new(ring.clone(), memory, slot, LINK_PAGES)?;
    tasks.spawn(pump::input(link.clone(), reader));
    tasks.spawn(pump::output(link.clone(), writer));
    Ok(link)
}

/// Passes completions on and runs the tasks that they woke. To be called at every scheduling point.
#[inline]
pub fn poll() {
    if let Some(io) = IO.get() {
        io.ring.process();
        if io.tasks.is_ready() {
            io.tasks.run();
        }
    }
}

/// Whether [`poll`] would find nothing to do.
#[inline]
#[must_use]
pub fn is_quiet() -> bool {
    IO.get().is_none_or(|io| io.ring.is_quiet() && !io.tasks.is_ready())
}

/// Tells the host how the session's program ended, after all that was written before, and waits until it
/// is on its way. Blocks the calling thread.
pub fn finish(code: i32, cause: Cause, message: &[u8]) {
    if let Some(link) = link() {
        link.finish(code, cause, message);
        sched::wait(|waker| link.poll_finished(waker));
    }
}

/// Starts background work, such as what serves the console.
pub fn spawn(work: impl core::future::Future<Output = ()> + Send + 'static) {
    if let Some(io) = IO.get() {
        io.tasks.spawn(work);
    }
}

/// The session's ring.
///
/// # Panics
/// Before [`start`].
#[must_use]
pub fn ring() -> &'static Arc<Ring> {
    &IO.get().expect("io::start comes first").ring
}

/// The link to the host, if the session has one.
#[must_use]
pub fn link() -> Option<&'static Arc<Link>> {
    IO.get().and_then(|io| io.link.as_ref())
}
