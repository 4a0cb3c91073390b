//! Vector registers: kept across preemption, and nobody else's. Run twice, side by side.
#![cfg_attr(target_os = "none", no_std, no_main)]

use serix_kernel_tests::raw::{now_ns, vectors, vectors_survive};
use serix_kernel_tests::{Check, Session, ensure, ensure_eq, program, run, tests};
use serix_session::SessionStart;
use serix_sys::call as sys;

program!(session);

/// How long each test runs, in nanoseconds: hundreds of slices.
const TIME_NS: u64 = 4_000_000_000;

fn session(start: &'static SessionStart) -> i32 {
    run(
        start,
        &[
            tests!["vectors": they_start_empty, they_survive_preemption, giving_up_the_cpu_clears_them],
        ],
    )
}

fn they_start_empty(_: &mut Session) -> Check {
    // Binding and printing have entered the kernel many times by now; nothing of this program uses vectors.
    ensure_eq!(vectors(), [0; 32]);
    Ok(())
}

fn they_survive_preemption(session: &mut Session) -> Check {
    let pattern = session.number_option("pattern").unwrap_or(0x1111_0000);
    let (end, mut rounds) = (now_ns() + TIME_NS, 0);
    while now_ns() < end {
        ensure!(vectors_survive(pattern + rounds, 20_000_000), "round {rounds}");
        rounds += 1;
    }
    Ok(())
}

/// A dispatcher that yields has declared its vector registers dead: it gets them back empty, or as they were; never another's.
fn giving_up_the_cpu_clears_them(session: &mut Session) -> Check {
    let pattern = session.number_option("pattern").unwrap_or(0x1111_0000);
    for round in 0..200 {
        ensure!(vectors_survive(pattern, 1000), "round {round}");
        sys::yield_slice()?;
        for (at, half) in vectors().into_iter().enumerate() {
            let own = pattern + at as u64 / 2;
            ensure!(half == 0 || half == own, "round {round}: register {} holds {half:#x}", at / 2);
        }
    }
    Ok(())
}
