//! A lock whose holder inherits the slices of those who wait for it: they yield to whom the lock word names.

use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicU64};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::pass_time;
use serix_kernel_tests::{Check, Failure, Session, ensure};

use crate::{Scheduler, TASKS, give_slice_to};

/// Tasks: one of low weight that holds the lock, another that the chain goes through, one that only works, one of high weight
/// that waits.
const LOW: usize = 0;
const MIDDLE: usize = 1;
const OTHER: usize = 2;
const HIGH: usize = 3;
const WEIGHTS: [u32; TASKS] = [1, 1, 16, 16];
/// Slices of work that the holder does before it lets go.
const HELD_SLICES: u64 = 6;
/// Turns after which a test is given up.
const TURNS: u64 = 1500;

/// A lock: the holder's number, counted from 1.
struct Lock(AtomicU64);

/// The lock that is waited for, and the one that its holder waits for in turn.
static LOCKS: [Lock; 2] = [const { Lock(AtomicU64::new(0)) }; 2];
/// Whether who waits yields to the holder, or tells the scheduler that it sleeps.
static INHERITS: AtomicBool = AtomicBool::new(false);
/// Whether the one in the middle takes part.
static CHAINED: AtomicBool = AtomicBool::new(false);
/// Work that the holder does.
static UNITS: AtomicU64 = AtomicU64::new(0);
/// Work that the holder has done, and whether the others may begin.
static DONE: AtomicU64 = AtomicU64::new(0);
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// Tasks that sleep until the lock is free, a bit each.
static ASLEEP: AtomicU64 = AtomicU64::new(0);
/// The one of high weight has the lock.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Lock {
    fn take(&self, task: usize) {
        loop {
            let Err(holder) = self.0.compare_exchange(0, task as u64 + 1, SeqCst, SeqCst) else {
                return;
            };
            if INHERITS.load(SeqCst) {
                give_slice_to(holder as usize - 1);
            } else {
                ASLEEP.fetch_or(1 << task, SeqCst);
                give_slice_to(TASKS);
            }
        }
    }

    fn free(&self) {
        self.0.store(0, SeqCst);
    }
}

/// A task's life.
fn live(task: u64) {
    match task as usize {
        LOW => {
            let lock = &LOCKS[usize::from(CHAINED.load(SeqCst))];
            lock.take(LOW);
            BEGUN.fetch_or(1 << LOW, SeqCst);
            for _ in 0..UNITS.load(SeqCst) {
                DONE.fetch_add(1, SeqCst);
                pass_time();
            }
            lock.free();
        }
        MIDDLE if CHAINED.load(SeqCst) => {
            LOCKS[0].take(MIDDLE);
            BEGUN.fetch_or(1 << MIDDLE, SeqCst);
            LOCKS[1].take(MIDDLE);
            LOCKS[1].free();
            LOCKS[0].free();
        }
        HIGH => {
            LOCKS[0].take(HIGH);
            TAKEN.store(true, SeqCst);
        }
        _ => {}
    }
    loop {
        pass_time();
    }
}

/// What was asked for by the lock's name goes on: who sleeps until a lock is free is awake when one is.
fn wake(scheduler: &mut Scheduler) {
    let asleep = ASLEEP.load(SeqCst);
    let is_free = |task: usize| LOCKS[usize::from(task == MIDDLE)].0.load(SeqCst) == 0;
    for task in (0..TASKS).filter(|task| asleep & 1 << task != 0) {
        if is_free(task) {
            ASLEEP.fetch_and(!(1 << task), SeqCst);
            scheduler.queue.wake(scheduler.tasks[task]);
        } else {
            scheduler.queue.sleep(scheduler.tasks[task]);
        }
    }
}

/// How many units of work a task does in one slice.
fn units_per_slice(session: &mut Session) -> Result<u64, Failure> {
    const SLICES: u64 = 8;
    prepare(u64::MAX, false, false);
    let mut scheduler = Scheduler::new(session, WEIGHTS, live)?;
    only(&mut scheduler, &[LOW]);
    let mut marks = [0; 2];
    for mark in &mut marks {
        for _ in 0..SLICES {
            scheduler.turn()?;
        }
        *mark = DONE.load(SeqCst);
    }
    scheduler.end(session)?;
    Ok((marks[1] - marks[0]) / SLICES)
}

fn prepare(units: u64, inherits: bool, chained: bool) {
    LOCKS.iter().for_each(Lock::free);
    [&DONE, &BEGUN, &ASLEEP].iter().for_each(|word| word.store(0, SeqCst));
    UNITS.store(units, SeqCst);
    INHERITS.store(inherits, SeqCst);
    CHAINED.store(chained, SeqCst);
    TAKEN.store(false, SeqCst);
}

/// Only these can run.
fn only(scheduler: &mut Scheduler, tasks: &[usize]) {
    for (index, task) in scheduler.tasks.into_iter().enumerate() {
        if tasks.contains(&index) {
            scheduler.queue.wake(task)
        } else {
            scheduler.queue.sleep(task)
        }
    }
}

/// How many slices, by the kernel's count, the task of high weight waits for a lock whose holder has little of its own.
fn wait(session: &mut Session, units: u64, inherits: bool, chained: bool) -> Result<u64, Failure> {
    prepare(units, inherits, chained);
    let mut scheduler = Scheduler::new(session, WEIGHTS, live)?;
    // Each holder has its lock before anybody wants it.
    let holders: &[usize] = if chained { &[LOW, MIDDLE] } else { &[LOW] };
    for holder in holders {
        only(&mut scheduler, &[*holder]);
        while BEGUN.load(SeqCst) & 1 << holder == 0 {
            scheduler.turn()?;
        }
    }
    only(&mut scheduler, if chained { &[LOW, MIDDLE, OTHER, HIGH] } else { &[LOW, OTHER, HIGH] });
    let before = scheduler.slices()?.iter().sum::<u64>();
    for turn in 0.. {
        ensure!(turn < TURNS, "no lock after {turn} turns");
        wake(&mut scheduler);
        if TAKEN.load(SeqCst) {
            break;
        }
        scheduler.turn()?;
    }
    let slices = scheduler.slices()?.iter().sum::<u64>() - before;
    scheduler.end(session)?;
    Ok(slices)
}

/// Waits with and without inheritance, and what each has to be.
fn compare(session: &mut Session, chained: bool) -> Check {
    let units = HELD_SLICES * units_per_slice(session)?;
    let without = wait(session, units, false, chained)?;
    let with = wait(session, units, true, chained)?;
    let weight = |tasks: &[usize]| tasks.iter().map(|task| u64::from(WEIGHTS[*task])).sum::<u64>();
    let all =
        if chained { weight(&[LOW, MIDDLE, OTHER, HIGH]) } else { weight(&[LOW, OTHER, HIGH]) };
    // The holder has its own slices and those of all who wait; a slice or two more for who begins.
    let inherited = all - weight(&[OTHER]);
    let bound = (HELD_SLICES + 2) * all.div_ceil(inherited) + 2;
    line(format_args!(
        "WAIT chained {chained}: {without} slices without inheritance, {with} with, at most {bound}"
    ));
    ensure!(with <= bound, "{with} slices, more than {bound}");
    ensure!(without > 2 * bound, "{without} slices without inheritance: the test shows nothing");
    Ok(())
}

pub(crate) fn a_holder_inherits_slices(session: &mut Session) -> Check {
    compare(session, false)
}

pub(crate) fn a_chain_of_holders_inherits(session: &mut Session) -> Check {
    compare(session, true)
}
