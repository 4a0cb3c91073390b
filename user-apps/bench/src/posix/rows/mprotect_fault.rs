//! `mprotect` takes writing away, a write faults, and the handler of SIGSEGV gives it back.
use crate::meter::{Meter, Outcome, must};
use crate::raw::{self, Mapping, Protection};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

static PAGE_AT: AtomicUsize = AtomicUsize::new(0);
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(_: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    raw::protect(PAGE_AT.load(Ordering::Relaxed), super::PAGE, Protection::ReadWrite);
}

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let memory = Mapping::anonymous(super::PAGE)?;
    memory.write(0, 1);
    PAGE_AT.store(memory.address(), Ordering::Relaxed);
    raw::handle(libc::SIGSEGV, handler)?;
    let mut value = 0u8;
    let figures = meter.figures(501, || {
        let before = HANDLED.load(Ordering::Relaxed);
        value = value.wrapping_add(1);
        raw::protect(memory.address(), super::PAGE, Protection::Read);
        memory.write(0, value);
        must(memory.read(0) == value, "not written")?;
        must(HANDLED.load(Ordering::Relaxed) == before + 1, "no signal")
    });
    raw::default_action(libc::SIGSEGV)?;
    figures
}
