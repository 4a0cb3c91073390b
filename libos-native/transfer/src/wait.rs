//! Waiting for a future without a scheduler.
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// Polls `future` until it is done; between polls `wait` waits for the ring's event and calls
/// [`crate::Ring::process`]. For programs that do one thing at a time.
pub fn block_on<T>(future: impl Future<Output = T>, mut wait: impl FnMut()) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        wait();
    }
}
