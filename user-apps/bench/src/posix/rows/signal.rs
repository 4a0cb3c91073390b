//! A signal to this process itself, and its handler.
use crate::meter::{Meter, Outcome, must};
use crate::raw;
use std::sync::atomic::{AtomicU32, Ordering};

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(_: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn row(meter: &mut Meter) -> Outcome {
    raw::handle(libc::SIGUSR1, handler)?;
    let me = raw::getpid();
    meter.figures(501, || {
        let before = HANDLED.load(Ordering::Relaxed);
        must(raw::kill(me, libc::SIGUSR1), "not sent")?;
        must(HANDLED.load(Ordering::Relaxed) == before + 1, "not handled")
    })
}
