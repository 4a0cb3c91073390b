//! Shares as the weights say.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::pass_time;
use serix_kernel_tests::{Check, Session, ensure};

use crate::{Scheduler, TASKS};

/// Slices that are looked at.
const SLICES: u64 = 1000;
const WEIGHTS: [u32; TASKS] = [1, 2, 3, 4];

/// What each has done.
static WORK: [AtomicU64; TASKS] = [const { AtomicU64::new(0) }; TASKS];

/// Works for ever.
fn work(task: u64) {
    loop {
        WORK[task as usize].fetch_add(1, SeqCst);
        pass_time();
    }
}

/// Takes turns until the kernel has counted so many slices since `before`; how many each got.
fn run(
    scheduler: &mut Scheduler,
    slices: u64,
) -> Result<[u64; TASKS], serix_kernel_tests::Failure> {
    let before = scheduler.slices()?;
    loop {
        scheduler.turn()?;
        let mut counts = scheduler.slices()?;
        counts.iter_mut().zip(before).for_each(|(count, before)| *count -= before);
        if counts.iter().sum::<u64>() >= slices {
            return Ok(counts);
        }
    }
}

/// Each part of the sum is as its weight among the weights, within 2 % of it.
fn expect_shares(what: &str, parts: [u64; TASKS], weights: [u32; TASKS]) -> Check {
    let (sum, all) = (parts.iter().sum::<u64>(), u64::from(weights.iter().sum::<u32>()));
    line(format_args!("SHARES {what} {parts:?} for weights {weights:?}"));
    for (part, weight) in parts.into_iter().zip(weights) {
        // part / sum = weight / all, within a fiftieth.
        let (is, should) = (part * all, sum * u64::from(weight));
        ensure!(is.abs_diff(should) * 50 <= should, "{what}: {parts:?} for {weights:?}");
    }
    Ok(())
}

pub(crate) fn slices_are_as_the_weights(session: &mut Session) -> Check {
    let mut scheduler = Scheduler::new(session, WEIGHTS, work)?;
    let slices = run(&mut scheduler, SLICES)?;
    let work = WORK.each_ref().map(|work| work.load(SeqCst));
    scheduler.end(session)?;
    expect_shares("slices", slices, WEIGHTS)?;
    // What they did with them is as many times as much.
    expect_shares("work", work, WEIGHTS)
}

pub(crate) fn who_sleeps_earns_nothing(session: &mut Session) -> Check {
    let mut scheduler = Scheduler::new(session, [1; TASKS], work)?;
    let sleeper = scheduler.tasks[0];
    scheduler.queue.sleep(sleeper);
    let asleep = run(&mut scheduler, 60)?;
    scheduler.queue.wake(sleeper);
    let awake = run(&mut scheduler, 80)?;
    scheduler.end(session)?;
    line(format_args!("SHARES asleep {asleep:?}, awake {awake:?}"));
    ensure!(asleep[0] == 0, "slices of one that sleeps: {asleep:?}");
    ensure!(awake.iter().all(|count| (19..=21).contains(count)), "afterwards: {awake:?}");
    Ok(())
}
