//! Drives futures without an executor.
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::boxed::Box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::vec::Vec;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future until it is done.
///
/// # Panics
/// If the future waits and nothing has woken it: with devices that need no thread, that is a
/// deadlock.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        assert!(flag.0.swap(false, Ordering::SeqCst), "deadlock: nothing woke the future");
    }
}

/// Polls all futures in turn until all are done, each only when woken.
///
/// # Panics
/// If some wait and nothing has woken them.
pub fn run_all<'a>(futures: Vec<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>) {
    let mut tasks: Vec<_> =
        futures.into_iter().map(|future| (future, Arc::new(Flag(AtomicBool::new(true))))).collect();
    while !tasks.is_empty() {
        let mut polled = false;
        tasks.retain_mut(|(future, flag)| {
            if !flag.0.swap(false, Ordering::SeqCst) {
                return true;
            }
            polled = true;
            let waker = Waker::from(flag.clone());
            future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        assert!(polled, "deadlock: {} tasks wait for nothing", tasks.len());
    }
}

/// Gives every other task a turn.
pub async fn yield_once() {
    let mut yielded = false;
    core::future::poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
