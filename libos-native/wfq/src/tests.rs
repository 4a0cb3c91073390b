//! Shares, sleep, inheritance and warmth, for any weights.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Queue, TaskId, WaitError};

const TASKS: usize = 6;

/// Runs so many turns of a length each on one core; turns that each task ran in and paid.
fn run(queue: &mut Queue<TASKS>, turns: usize, length: u64) -> [(usize, usize); TASKS] {
    let mut counts = [(0, 0); TASKS];
    for _ in 0..turns {
        let Some(pick) = queue.pick(0) else { break };
        counts[pick.runs.0].0 += 1;
        counts[pick.pays.0].1 += 1;
        queue.charge(pick.pays, length);
    }
    counts
}

fn with(weights: &[u32]) -> (Queue<TASKS>, Vec<TaskId>) {
    let mut queue = Queue::new();
    let tasks = weights.iter().map(|weight| queue.add(*weight).expect("room")).collect();
    (queue, tasks)
}

proptest! {
    /// Everybody gets what the weights say, to a turn or so for each of the others.
    #[test]
    fn shares_are_the_weights(weights in proptest::collection::vec(1..20_u32, 1..TASKS), length in 1..10_000_u64) {
        let (mut queue, tasks) = with(&weights);
        let sum: u32 = weights.iter().sum();
        let turns = 1000;
        let counts = run(&mut queue, turns, length);
        for (task, weight) in tasks.iter().zip(&weights) {
            let wanted = turns as f64 * f64::from(*weight) / f64::from(sum);
            let got = counts[task.0].0 as f64;
            prop_assert!((got - wanted).abs() <= 2.0 + weights.len() as f64, "{got} of {wanted}");
        }
    }

    /// However long a task slept, it does not hold up the others afterwards, nor they it.
    #[test]
    fn sleep_earns_nothing(asleep in 0..500_usize) {
        let (mut queue, tasks) = with(&[1, 1]);
        queue.sleep(tasks[0]);
        prop_assert_eq!(run(&mut queue, asleep, 7)[tasks[0].0].0, 0);
        queue.wake(tasks[0]);
        let counts = run(&mut queue, 100, 7);
        prop_assert!((49..=51).contains(&counts[tasks[0].0].0), "{counts:?}");
    }

    /// Whoever waits in whatever order: nobody waits in a ring, and somebody always runs.
    #[test]
    fn rings_are_refused(waits in proptest::collection::vec((0..TASKS, 0..TASKS), 0..30)) {
        let (mut queue, tasks) = with(&[1; TASKS]);
        for (task, holder) in waits {
            let outcome = queue.wait_for(tasks[task], tasks[holder]);
            prop_assert!(task != holder || outcome == Err(WaitError::Deadlock));
            let pick = queue.pick(0).expect("all are runnable");
            prop_assert!(queue.task(pick.runs).is_some_and(|task| task.waits_for.is_none()));
        }
    }
}

#[test]
fn a_holder_inherits_the_turns_of_those_that_wait() {
    let (mut queue, tasks) = with(&[1, 8, 8]);
    let [low, middle, high] = tasks[..] else { unreachable!() };
    queue.wait_for(high, low).expect("no ring");
    let counts = run(&mut queue, 170, 10);
    assert_eq!(counts[high.0].0, 0, "who waits does not run");
    assert!((88..=92).contains(&counts[low.0].0), "{counts:?}");
    assert!((78..=82).contains(&counts[middle.0].0), "{counts:?}");
    queue.release(low);
    let counts = run(&mut queue, 170, 10);
    assert!((9..=11).contains(&counts[low.0].0), "{counts:?}");
}

#[test]
fn turns_pass_along_a_chain() {
    let (mut queue, tasks) = with(&[1, 1, 1]);
    queue.wait_for(tasks[2], tasks[1]).expect("no ring");
    queue.wait_for(tasks[1], tasks[0]).expect("no ring");
    assert_eq!(queue.wait_for(tasks[0], tasks[2]), Err(WaitError::Deadlock));
    assert_eq!(run(&mut queue, 30, 1)[tasks[0].0], (30, 10));
    // The holder in the middle sleeps: so do those who wait for it, and nobody is picked in vain.
    queue.release(tasks[0]);
    queue.sleep(tasks[1]);
    let counts = run(&mut queue, 30, 1);
    assert_eq!((counts[tasks[0].0].0, counts[tasks[1].0].0, counts[tasks[2].0].0), (30, 0, 0));
    queue.remove(tasks[1]);
    queue.wake(tasks[2]);
    assert!(run(&mut queue, 30, 1)[tasks[2].0].0 > 10, "waits for nobody any more");
    assert_eq!(queue.wait_for(tasks[0], tasks[1]), Err(WaitError::NoTask));
}

#[test]
fn warm_tasks_stay_on_their_core() {
    let moves = |queue: &mut Queue<TASKS>| {
        let mut last = [None; TASKS];
        let mut moves = 0;
        for turn in 0..600_usize {
            let core = turn % 3;
            let pick = queue.pick(core).expect("all are runnable");
            moves += usize::from(last[pick.runs.0].is_some_and(|last| last != core));
            last[pick.runs.0] = Some(core);
            queue.charge(pick.pays, 10);
        }
        moves
    };
    let (mut cold, _) = with(&[1; 4]);
    let (mut warm, tasks) = with(&[1; 4]);
    warm.prefer_warm(4, 20);
    assert_eq!((warm.cool_after(), warm.slack() > 0), (4, true));
    assert!(moves(&mut cold) > 300);
    assert!(moves(&mut warm) < 150);
    // Still fair: nobody is set back by more than the slack and a turn.
    let tags: Vec<_> = tasks.iter().filter_map(|task| Some(warm.task(*task)?.tag)).collect();
    let spread = tags.iter().max().expect("four") - tags.iter().min().expect("four");
    assert!(spread <= warm.slack() + 2 * 10 * u128::from(super::SCALE), "{spread}");
}

#[test]
fn room_is_bounded_and_nobody_is_nobody() {
    let mut queue = Queue::<2>::default();
    assert_eq!(queue.pick(0), None);
    let first = queue.add(0).expect("room");
    queue.add(u32::MAX).expect("room");
    assert_eq!(queue.add(1), None);
    queue.sleep(first);
    assert_ne!(queue.pick(40).expect("one is awake").runs, first);
    queue.remove(first);
    queue.charge(first, 5);
    queue.wake(first);
    assert!(queue.add(1).is_some());
}
