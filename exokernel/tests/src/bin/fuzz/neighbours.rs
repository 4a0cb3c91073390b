//! Environments of the session beside the players' own. Each is parked most of the time: whoever yields to it is yielded back to,
//! and whoever calls its gate gets an answer.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;
use serix_kernel_tests::raw::{Place, Worker, now_ns};
use serix_kernel_tests::{Failure, Session};
use serix_sys::{Slot, call as sys};

use crate::{SHARED, own};

/// How many there are.
const COUNT: usize = 2;
/// Bit of the common event that nobody sets.
const NOBODY: u64 = 1 << 62;
/// How long one waits when nobody can be yielded to, in nanoseconds.
const PAUSE_NS: u64 = 1_000_000;

/// Of each: environment, gate, and the dispatcher that it yields back to.
static NEIGHBOURS: [[AtomicU64; 3]; COUNT] = [const { [const { AtomicU64::new(0) }; 3] }; COUNT];

/// The environment of one, which is going to yield back to dispatcher `number`.
pub(crate) fn environment(index: u64, number: u64) -> u64 {
    let [environment, _, back] = &NEIGHBOURS[index as usize % COUNT];
    back.store(number, SeqCst);
    environment.load(SeqCst)
}

/// The gate of one.
pub(crate) fn gate(index: u64) -> u64 {
    NEIGHBOURS[index as usize % COUNT][1].load(SeqCst)
}

/// Makes them.
pub(crate) fn make(session: &mut Session) -> Result<(), Failure> {
    for (index, parts) in NEIGHBOURS.iter().enumerate() {
        let worker = Worker::start(session, Place::Apart, yield_back, index as u64)?;
        let (entry, stack) = worker.gate();
        let gate = sys::gate_create(worker.environment, worker.number, entry, stack)?;
        let known = [worker.environment.0.into(), gate, 0];
        parts.iter().zip(known).for_each(|(place, part)| place.store(part, SeqCst));
    }
    Ok(())
}

/// Ends them, unless a player found a way.
pub(crate) fn end() -> Result<(), Failure> {
    for [environment, gate, _] in &NEIGHBOURS {
        // Stale is what another name ended.
        let _ = sys::unbind(Slot(gate.load(SeqCst) as u32));
        let _ = sys::environment_destroy(Slot(environment.load(SeqCst) as u32));
    }
    Ok(())
}

/// A neighbour's life.
fn yield_back(index: u64) {
    let (session, event) = (Slot(own(1) as u32), Slot(own(4) as u32));
    while !SHARED.stop.load(SeqCst) {
        let back = NEIGHBOURS[index as usize][2].load(SeqCst);
        if sys::yield_to(session, back).is_err() {
            let _ = sys::event_wait(event, NOBODY, now_ns() + PAUSE_NS);
        }
    }
}
