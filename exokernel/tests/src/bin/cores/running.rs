//! Dispatchers at the same time on several cores.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::Error;
use serix_kernel_tests::raw::{core_number, crew, now_ns};
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

use crate::{clear_shared, comes, patience, shared, spin_ns, with_crew};

pub(crate) const TESTS: &[Test] = tests!["running":
    dispatchers_run_on_four_cores_at_once, what_runs_elsewhere_is_busy,
    a_parked_one_goes_on_where_it_is_yielded_to, a_signal_wakes_an_idle_core,
    signals_from_all_sides_are_not_lost, deadlines_expire_on_every_core];

/// Each waits until all four are there, without giving up its core.
fn meet(who: u64) {
    shared(8 + who as usize).store(u64::from(core_number()) + 1, SeqCst);
    shared(0).fetch_add(1, SeqCst);
    if comes(|| shared(0).load(SeqCst) >= 4) {
        shared(1).fetch_add(1, SeqCst);
    }
}

fn dispatchers_run_on_four_cores_at_once(session: &mut Session) -> Check {
    for round in 0..40 {
        clear_shared();
        with_crew(session, meet, |_| {
            meet(3);
            Ok(())
        })?;
        let cores = [8, 9, 10, 11].map(|word| shared(word).load(SeqCst));
        let all = shared(1).load(SeqCst);
        ensure_eq!(all, 4, "round {round}: dispatchers that saw all, on {cores:?}");
        let different = cores.iter().enumerate().all(|(at, core)| !cores[..at].contains(core));
        ensure!(different, "round {round}: cores {cores:?}, counted from 1");
    }
    Ok(())
}

/// Spins until told to stop.
fn spin(who: u64) {
    shared(8 + who as usize).store(1, SeqCst);
    if comes(|| shared(0).load(SeqCst) != 0) {
        shared(1).fetch_add(1, SeqCst);
    }
}

fn what_runs_elsewhere_is_busy(session: &mut Session) -> Check {
    clear_shared();
    let workers = crew(session)?;
    with_crew(session, spin, |session| {
        let all = || (8..11).all(|word| shared(word).load(SeqCst) == 1);
        ensure!(comes(all), "not all began");
        let mut answers = [Ok(0); 6];
        for (worker, pair) in workers.iter().zip(answers.chunks_mut(2)) {
            pair[0] = sys::yield_to(session.environment, worker.number);
            pair[1] = sys::dispatcher_start(session.environment, worker.number);
        }
        shared(0).store(1, SeqCst);
        ensure_eq!(answers, [Err(Error::Busy); 6]);
        Ok(())
    })?;
    ensure_eq!(shared(1).load(SeqCst), 3, "dispatchers that went on");
    for worker in &workers {
        let answer = sys::yield_to(session.environment, worker.number);
        ensure_eq!(answer, Err(Error::Busy), "one that waits");
    }
    Ok(())
}

/// Yields to another worker where it is, and goes on when the test yields to it.
fn hand_over(environment: u64) {
    let environment = Slot(environment as u32);
    shared(8).store(u64::from(core_number()), SeqCst);
    // The core is the other's now: it spins there.
    let there = sys::yield_to(environment, 0).is_err_and(|error| error == Error::Busy);
    shared(2).store(1 + u64::from(there), SeqCst);
    let _ = sys::yield_to(environment, shared(5).load(SeqCst));
    shared(9).store(u64::from(core_number()), SeqCst);
    shared(3).store(1, SeqCst);
    // Back to the test.
    let _ = sys::yield_to(environment, 0);
}

fn stay(_: u64) {
    shared(4).store(1, SeqCst);
    let _ = comes(|| shared(0).load(SeqCst) != 0);
}

fn a_parked_one_goes_on_where_it_is_yielded_to(session: &mut Session) -> Check {
    use serix_kernel_tests::raw::{Place, Worker};
    clear_shared();
    crew(session)?;
    let other = Worker::new(session, Place::Own, stay, 0)?;
    shared(5).store(other.number, SeqCst);
    let first = Worker::start(session, Place::Own, hand_over, session.environment.0.into())?;
    ensure!(comes(|| shared(4).load(SeqCst) == 1), "it did not hand its core over");
    ensure_eq!(shared(2).load(SeqCst), 2, "the running test is busy for it");
    sys::yield_to(session.environment, first.number)?;
    let here = u64::from(core_number());
    ensure_eq!(shared(3).load(SeqCst), 1, "it ran before the test went on");
    let (before, after) = (shared(8).load(SeqCst), shared(9).load(SeqCst));
    ensure!(before != after && after == here, "cores {before}, {after}; the test {here}");
    shared(0).store(1, SeqCst);
    other.finish(patience())?;
    // It was parked again when it yielded back; started, it ends its job.
    sys::dispatcher_start(session.environment, first.number)?;
    first.finish(patience())?;
    Ok(())
}

/// Waits for bit 0 of an event and says when it came.
fn wait(event: u64) {
    shared(1).store(1, SeqCst);
    let answer = sys::event_wait(Slot(event as u32), 1, patience());
    shared(2).store(if answer == Ok(1) { 1 } else { 2 }, SeqCst);
}

/// The test never enters the kernel between the signal and the other's answer, so only the other core can give it.
fn a_signal_wakes_an_idle_core(session: &mut Session) -> Check {
    let workers = crew(session)?;
    let event = Slot(sys::event_create()? as u32);
    for round in 0..50 {
        clear_shared();
        workers[round % 3].begin(wait, event.0.into())?;
        ensure!(comes(|| shared(1).load(SeqCst) == 1), "round {round}: no start");
        spin_ns(200_000 * (round as u64 % 4));
        sys::event_signal(event, 1)?;
        ensure!(comes(|| shared(2).load(SeqCst) != 0), "round {round}: it was not woken");
        ensure_eq!(shared(2).load(SeqCst), 1, "round {round}: its answer");
        workers[round % 3].finish(patience())?;
    }
    sys::unbind(event)?;
    Ok(())
}

/// Signals of one worker in the lost-wake-up test.
const SIGNALS: u64 = 300;

/// Passes a token round: waits for its own bit, then sets the next one's.
fn pass(who: u64) {
    let event = Slot(shared(7).load(SeqCst) as u32);
    for _ in 0..SIGNALS {
        if sys::event_wait(event, 1 << who, patience()).is_err() {
            shared(6).fetch_add(1, SeqCst);
            return;
        }
        shared(8 + who as usize).fetch_add(1, SeqCst);
        let _ = sys::event_signal(event, 1 << ((who + 1) % 4));
    }
}

fn signals_from_all_sides_are_not_lost(session: &mut Session) -> Check {
    clear_shared();
    let event = Slot(sys::event_create()? as u32);
    shared(7).store(event.0.into(), SeqCst);
    with_crew(session, pass, |_| {
        sys::event_signal(event, 1)?;
        pass(3);
        Ok(())
    })?;
    ensure_eq!(shared(6).load(SeqCst), 0, "waits that timed out");
    ensure_eq!([8, 9, 10, 11].map(|word| shared(word).load(SeqCst)), [SIGNALS; 4]);
    sys::unbind(event)?;
    Ok(())
}

/// Waits for what nobody signals, with deadlines that differ.
fn time_out(who: u64) {
    let event = Slot(shared(7).load(SeqCst) as u32);
    for round in 0..50 {
        let before = now_ns();
        let delay = 300_000 * (who + 1) + 70_000 * round;
        let answer = sys::event_wait(event, 1 << who, before + delay);
        let good = answer == Err(Error::TimedOut) && now_ns() >= before + delay;
        shared(if good { 1 } else { 2 }).fetch_add(1, SeqCst);
    }
}

fn deadlines_expire_on_every_core(session: &mut Session) -> Check {
    clear_shared();
    let event = Slot(sys::event_create()? as u32);
    shared(7).store(event.0.into(), SeqCst);
    with_crew(session, time_out, |_| {
        time_out(3);
        Ok(())
    })?;
    ensure_eq!(shared(2).load(SeqCst), 0, "waits that ended otherwise");
    ensure_eq!(shared(1).load(SeqCst), 200);
    sys::unbind(event)?;
    Ok(())
}
