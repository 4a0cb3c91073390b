//! A session that minds its own business beside a hostile one, and notices if anything of it changes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use serix_abi::Call;
use serix_kernel_tests::child::event;
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Random, Session, ensure_eq, program, run, tests};
use serix_session::SessionStart;

program!(session);

/// Pages that hold the secret.
const PAGES: u64 = 128;
/// How often it looks at least.
const ROUNDS_MIN: u64 = 4;
/// How long it looks, in nanoseconds, where the manifest says nothing.
const PATIENCE_NS: u64 = 20_000_000_000;

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[tests!["victim": its_memory_stays_its_own]])
}

/// Fills pages with a secret, and until its time is over sleeps, compares, and changes them.
fn its_memory_stays_its_own(session: &mut Session) -> Check {
    let patience = session.number_option("seconds").map_or(PATIENCE_NS, |s| s * 1_000_000_000);
    let (unit, pages) = (session.take_frames(PAGES), session.take_addresses(PAGES));
    session.map(session.environment, pages, unit, PAGES, DATA)?;
    let (event, end) = (event()?, raw::now_ns() + patience);
    let mut rounds = 0;
    // On a busy host time may be over before it was tried often.
    while raw::now_ns() < end || rounds < ROUNDS_MIN {
        fill(pages, rounds)?;
        let nap = raw::now_ns() + 50_000_000;
        let slept = call(Call::EventWait, &[event.0.into(), 1, nap]);
        ensure_eq!(slept, Err(serix_abi::Error::TimedOut), "woken by a stranger");
        compare(pages, rounds)?;
        rounds += 1;
    }
    for page in 0..PAGES {
        let count = call(Call::MappingCount, &[session.frames.0.into(), unit + page]);
        ensure_eq!(count, Ok(1), "mappings of page {page}");
    }
    Ok(())
}

fn fill(pages: u64, seed: u64) -> Check {
    let mut random = Random::new(seed);
    for at in (0..PAGES * 4096).step_by(8) {
        raw::write(pages + at, random.word())?;
    }
    Ok(())
}

fn compare(pages: u64, seed: u64) -> Check {
    let mut random = Random::new(seed);
    for at in (0..PAGES * 4096).step_by(8) {
        ensure_eq!(raw::read(pages + at)?, random.word(), "byte {at} of round {seed}");
    }
    Ok(())
}
