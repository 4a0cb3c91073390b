//! Writing back by time: what programs wrote becomes durable without their asking for it.
//!
//! One task of the session sleeps until something is to be written, then for [`PERIOD_NS`], and then syncs
//! everything, so that a file's data never lag behind its name. While nothing is to be written nothing wakes up.
use super::vfs;
use crate::raw::kernel;
use crate::{io, sched};
use core::future::{Future, poll_fn};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, Waker};
use spin::Mutex;

/// From the first change to its commit: as long as Linux's ext4 waits by default.
const PERIOD_NS: u64 = 5_000_000_000;
/// What could not be written is tried again so much later.
const RETRY_NS: u64 = 60_000_000_000;

/// The task sleeps until something is to be written.
static IS_DORMANT: AtomicBool = AtomicBool::new(false);
static SLEEPER: Mutex<Option<Waker>> = Mutex::new(None);

/// Begins to write back by time. The root is mounted.
pub(super) fn start() {
    io::spawn(work());
    sched::set_look_out(look_out);
}

/// Wakes the task if there is something for it.
fn look_out() -> bool {
    if !IS_DORMANT.load(Ordering::Acquire) || !vfs().has_unsynced() {
        return false;
    }
    let sleeper = SLEEPER.lock().take();
    sleeper.map(Waker::wake).is_some()
}

async fn work() {
    loop {
        until_something_is_unsynced().await;
        sleep(PERIOD_NS).await;
        // Who asks for a sync is told of an error, and the file system has told the log.
        if vfs().sync().await.is_err() {
            sleep(RETRY_NS).await;
        }
    }
}

fn until_something_is_unsynced() -> impl Future<Output = ()> + Send {
    poll_fn(|context| {
        let is_dormant = !vfs().has_unsynced();
        if is_dormant {
            *SLEEPER.lock() = Some(context.waker().clone());
        }
        IS_DORMANT.store(is_dormant, Ordering::Release);
        if is_dormant { Poll::Pending } else { Poll::Ready(()) }
    })
}

fn sleep(duration_ns: u64) -> impl Future<Output = ()> + Send {
    let mut deadline = None;
    poll_fn(move |context| {
        let now = kernel::now_ns();
        let until = *deadline.get_or_insert_with(|| {
            sched::add_timer(now + duration_ns, context.waker().clone());
            now + duration_ns
        });
        if now >= until { Poll::Ready(()) } else { Poll::Pending }
    })
}
