//! What only several cores show: dispatchers that run at the same time, and what one core does to another.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod ending;
mod fetching;
mod moving;
mod running;
mod shooting;

use core::sync::atomic::{AtomicU64, Ordering};
use serix_abi::Error;
use serix_kernel_tests::raw::{CREW, Job, crew, now_ns};
use serix_kernel_tests::{Session, program, run};
use serix_session::SessionStart;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    let groups = [running::TESTS, moving::TESTS, shooting::TESTS, ending::TESTS, fetching::TESTS];
    run(start, &groups)
}

/// How long anything may take, in nanoseconds.
const PATIENCE_NS: u64 = 20_000_000_000;

fn patience() -> u64 {
    now_ns() + PATIENCE_NS
}

/// Spins until a condition holds; false if it does not in time.
fn comes(condition: impl Fn() -> bool) -> bool {
    let end = patience();
    while !condition() {
        if now_ns() > end {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Spins for some time.
fn spin_ns(time: u64) {
    let end = now_ns() + time;
    while now_ns() < end {
        core::hint::spin_loop();
    }
}

/// The first words of a test, which its workers share.
static SHARED: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

fn shared(index: usize) -> &'static AtomicU64 {
    &SHARED[index]
}

/// Zero everywhere, for a new test.
fn clear_shared() {
    SHARED.iter().for_each(|word| word.store(0, Ordering::SeqCst));
}

/// Runs a job on three other cores, with arguments 0 to 2, while this one does `meanwhile`; then waits for their end.
fn with_crew<T>(
    session: &mut Session,
    job: Job,
    meanwhile: impl FnOnce(&mut Session) -> Result<T, serix_kernel_tests::Failure>,
) -> Result<T, serix_kernel_tests::Failure> {
    let workers = crew(session)?;
    for (worker, argument) in workers.iter().zip(0..CREW as u64) {
        worker.begin(job, argument)?;
    }
    let result = meanwhile(session);
    let mut ended: Result<(), Error> = Ok(());
    for worker in &workers {
        ended = ended.and(worker.finish(patience()));
    }
    let result = result?;
    ended?;
    Ok(result)
}
