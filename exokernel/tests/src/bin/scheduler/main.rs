//! A scheduler in ring 3: the session's first dispatcher runs environments by `YieldTo`, in the order of `serix-wfq`. The kernel counts
//! their slices. Run with `--icount`: shares are counted, not timed.
//!
//! An environment that is running when a slice begins is told so by an upcall, and yields to the scheduler; it picks the next one
//! and yields to that. So each slice is used by who was picked in it, and the next one begins with it: the kernel's count of slices
//! begun with a dispatcher is the count of those that it used.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod lock;
mod shares;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;
use serix_abi::Error;
use serix_abi::dispatcher::offset;
use serix_kernel_tests::raw::{self, Job, Place, Worker, now_ns};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Failure, Session, program, run, tests};
use serix_session::SessionStart;
use serix_sys::{Slot, call as sys};
use serix_wfq::{Queue, TaskId};

program!(session);

/// Most environments under the scheduler.
pub(crate) const TASKS: usize = 4;

fn session(start: &'static SessionStart) -> i32 {
    run(
        start,
        &[tests!["scheduler":
            shares::slices_are_as_the_weights, shares::who_sleeps_earns_nothing,
            lock::a_holder_inherits_slices, lock::a_chain_of_holders_inherits]],
    )
}

/// Slots of the environments, the scheduler's last, for those who yield to one another.
pub(crate) static ENVIRONMENTS: [AtomicU64; TASKS + 1] = [const { AtomicU64::new(0) }; TASKS + 1];

/// The rest of the slice goes to an environment: a task's, or [`TASKS`] for the scheduler's.
pub(crate) fn give_slice_to(task: usize) {
    let _ = sys::yield_to(Slot(ENVIRONMENTS[task].load(SeqCst) as u32), 0);
}

/// Environments, and the queue that says whose turn it is.
pub(crate) struct Scheduler {
    pub(crate) queue: Queue<TASKS>,
    pub(crate) tasks: [TaskId; TASKS],
    workers: [Worker; TASKS],
    /// Where the dispatcher pages can be read.
    views: [u64; TASKS],
}

impl Scheduler {
    /// Environments that run `job`, with these weights.
    pub(crate) fn new(
        session: &mut Session,
        weights: [u32; TASKS],
        job: Job,
    ) -> Result<Self, Failure> {
        ENVIRONMENTS[TASKS].store(session.environment.0.into(), SeqCst);
        let mut queue = Queue::new();
        let mut made = [None; TASKS];
        for (index, (place, weight)) in made.iter_mut().zip(weights).enumerate() {
            let worker = Worker::new(session, Place::Apart, job, index as u64)?;
            ENVIRONMENTS[index].store(worker.environment.0.into(), SeqCst);
            let view = session.take_addresses(1);
            session.map(session.environment, view, worker.page_unit, 1, DATA)?;
            let task = queue.add(weight).ok_or(Error::TableFull)?;
            *place = Some((worker, view, task));
        }
        let made = made.map(|made| made.expect("all were made"));
        let (workers, views) = (made.map(|made| made.0), made.map(|made| made.1));
        Ok(Self { queue, tasks: made.map(|made| made.2), workers, views })
    }

    /// Slices that began with each, as the kernel counts.
    pub(crate) fn slices(&self) -> Result<[u64; TASKS], Failure> {
        let mut slices = [0; TASKS];
        for (count, view) in slices.iter_mut().zip(self.views) {
            *count = raw::read(view + offset::SLICES as u64)?;
        }
        Ok(slices)
    }

    /// One turn: whoever is next runs until a slice begins, or until it gives up the rest of its own.
    pub(crate) fn turn(&mut self) -> Result<(), Failure> {
        let pick = self.queue.pick(0).ok_or(Error::Dead)?;
        let position = |task: TaskId| self.tasks.iter().position(|known| *known == task);
        let next = position(pick.runs).ok_or(Error::Dead)?;
        let before = now_ns();
        sys::yield_to(self.workers[next].environment, 0)?;
        self.queue.charge(pick.pays, now_ns() - before);
        Ok(())
    }

    /// Ends all environments.
    pub(crate) fn end(self, session: &Session) -> Result<(), Failure> {
        for view in self.views {
            session.unmap(session.environment, view, 1)?;
        }
        for worker in self.workers {
            worker.destroy()?;
        }
        Ok(())
    }
}
