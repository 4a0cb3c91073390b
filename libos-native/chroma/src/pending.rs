//! Answers that are usually there already.
//!
//! A boxed future per call would cost an allocation where the cache has the answer. [`Pending`]
//! holds the answer itself in that case. It never leaves `Taken` once it is there.
use crate::VfsResult;
use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// An answer, or the work that leads to it.
pub enum Pending<'a, T> {
    /// The answer; nothing was allocated for it.
    Ready(T),
    /// The answer needs a device, a lock or another task.
    Later(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
    /// The answer was handed out by `poll`.
    Taken,
}

/// The pending result of a file operation.
pub type Reply<'a, T> = Pending<'a, VfsResult<T>>;

impl<'a, T> Pending<'a, T> {
    /// The work as a pending answer.
    pub fn later(work: impl Future<Output = T> + Send + 'a) -> Self {
        Self::Later(Box::pin(work))
    }

    /// The answer, with `block_on` called only if it is not there yet.
    ///
    /// # Panics
    /// If the answer was taken before by polling.
    pub fn wait(
        self,
        block_on: impl FnOnce(Pin<Box<dyn Future<Output = T> + Send + 'a>>) -> T,
    ) -> T {
        match self {
            Self::Ready(answer) => answer,
            Self::Later(work) => block_on(work),
            Self::Taken => panic!("the answer was taken before"),
        }
    }

    /// The answer passed through `change`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'a) -> Pending<'a, U>
    where
        T: 'a,
    {
        match self {
            Self::Ready(answer) => Pending::Ready(change(answer)),
            Self::Later(work) => Pending::later(async move { change(work.await) }),
            Self::Taken => Pending::Taken,
        }
    }
}

impl<T> Reply<'_, T> {
    /// A ready success.
    pub fn done(value: T) -> Self {
        Self::Ready(Ok(value))
    }

    /// A ready failure.
    #[must_use]
    pub fn fail(error: crate::VfsError) -> Self {
        Self::Ready(Err(error))
    }
}

// The answer is moved out, never pinned in place.
impl<T> Unpin for Pending<'_, T> {}

impl<T> Future for Pending<'_, T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Self::Later(work) = &mut *self {
            return work.as_mut().poll(context);
        }
        match core::mem::replace(&mut *self, Self::Taken) {
            Self::Ready(answer) => Poll::Ready(answer),
            _ => panic!("polled after the answer"),
        }
    }
}
