//! Descriptors and what they name.
//!
//! Owns the descriptor table of a process, open file descriptions and the objects that are no files of
//! chroma: pipes, event counters, epoll. Everything that may wait does so by a waker, so this
//! knows no scheduler but `sched::block_on`.
pub mod calls;
pub mod current;
pub mod description;
pub mod epoll;
pub mod event;
pub mod lock;
pub mod path_buffer;
pub mod pipe;
mod ring;
pub mod table;
#[cfg(test)]
mod tests;
pub mod user_buffer;
pub mod waiters;

pub use description::{Description, Object};
pub use table::Descriptors;

use crate::{Errno, Result, sched};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use serix_chroma::{Reply, VfsResult};

/// The pages that files, programs and devices share.
pub type Page = crate::memory::FramePage;

/// Waits for an operation of chroma, whatever signals come.
#[inline]
pub fn wait<T>(reply: Reply<'_, T>) -> Result<T> {
    match reply {
        Reply::Ready(answer) => answer.map_err(Errno::from),
        later => sched::block_on(later).map_err(Errno::from),
    }
}

/// The same for one that is no [`Reply`].
pub fn block_on<T>(work: impl Future<Output = VfsResult<T>>) -> Result<T> {
    sched::block_on(work).map_err(Errno::from)
}

/// Waits for an operation on a device until it is done or a signal comes.
///
/// # Errors
/// Those of the operation, and `RESTART`.
pub fn wait_interruptibly<T>(reply: Reply<'_, T>) -> Result<T> {
    match reply {
        Reply::Ready(outcome) => outcome.map_err(Errno::from),
        later => {
            let mut later = pin!(later);
            sched::wait_interruptible(|waker| {
                match later.as_mut().poll(&mut Context::from_waker(waker)) {
                    Poll::Ready(outcome) => Some(outcome),
                    Poll::Pending => None,
                }
            })?
            .map_err(Errno::from)
        }
    }
}
