//! Waiting without an executor: a list of wakers, and several futures at once.
//!
//! Owns no data and no scheduler. Sleeping locks with data come from `async-lock`.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use spin::Mutex;

/// Tasks that wait until something holds.
#[derive(Default)]
pub(crate) struct WaitList(Mutex<Vec<Waker>>);

impl WaitList {
    /// Waits until `holds` answers something. Whoever changes what it looks at calls
    /// [`Self::notify`] afterwards.
    pub(crate) async fn until<T>(&self, mut holds: impl FnMut() -> Option<T> + Send) -> T {
        poll_fn(|context| {
            if let Some(value) = holds() {
                return Poll::Ready(value);
            }
            self.register(context.waker());
            // It may have begun to hold before the waker was in the list.
            holds().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn register(&self, waker: &Waker) {
        let mut wakers = self.0.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Wakes all that wait.
    pub(crate) fn notify(&self) {
        let woken = core::mem::take(&mut *self.0.lock());
        woken.into_iter().for_each(Waker::wake);
    }
}

type Pinned<F> = Pin<Box<F>>;

/// Polls what is pending, and keeps the first error.
fn poll_all<E, F: Future<Output = Result<(), E>>>(
    pending: &mut Vec<Pinned<F>>,
    outcome: &mut Result<(), E>,
    context: &mut Context<'_>,
) {
    pending.retain_mut(|future| match future.as_mut().poll(context) {
        Poll::Pending => true,
        Poll::Ready(result) => {
            if outcome.is_ok() {
                *outcome = result;
            }
            false
        }
    });
}

/// Runs all futures at once, to the end of each, and answers the first error.
pub(crate) async fn all<E, F: Future<Output = Result<(), E>>>(futures: Vec<F>) -> Result<(), E> {
    let mut pending: Vec<Pinned<F>> = futures.into_iter().map(Box::pin).collect();
    let mut outcome = Some(Ok(()));
    poll_fn(move |context| {
        let mut result = outcome.take().unwrap_or(Ok(()));
        poll_all(&mut pending, &mut result, context);
        if pending.is_empty() {
            return Poll::Ready(result);
        }
        outcome = Some(result);
        Poll::Pending
    })
    .await
}
