//! Weighted fair queueing of time slices: who runs next, so that everybody's time is as their weights are.
//!
//! Owns the order and nothing else: whoever has a [`Queue`] switches to whom it picks, by `YieldTo` or otherwise, and says
//! afterwards how much time that took. It is the start-time form of the algorithm (Goyal, Vin, Cheng, SIGCOMM 1996): each task has
//! a *tag*, the virtual time at which its next turn starts; the task with the least tag is picked; time that it used moves the tag on by
//! that time divided by the weight. Who slept comes back at the present virtual time: sleep earns nothing.
//!
//! Who holds what others wait for *inherits* their turns ([`Queue::wait_for`]): a pick names who runs and who pays.
//!
//! A task is *warm* on the core where it ran last until [`Queue::cool_after`] other turns have passed there. A core prefers the tasks
//! that are warm on it, as long as that sets nobody back by more than [`Queue::slack`].
//!
//! Invariant: among tasks that stay runnable the tags lie within one turn's worth, plus the slack, of each other.
#![no_std]
#![forbid(unsafe_code)]
#[cfg(test)]
extern crate std;

#[cfg(test)]
mod tests;

/// Cores that warmth is known for.
pub const CORES: usize = 32;
/// Largest weight.
pub const WEIGHT_MAX: u32 = 1 << 16;
/// Virtual time of one unit of time at weight 1.
const SCALE: u64 = WEIGHT_MAX as u64;

/// A task's place in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(usize);

/// Why a task did not begin to wait for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// That one waits, perhaps through others, for this one: nobody would ever run.
    Deadlock,
    /// There is no such task.
    NoTask,
}

/// Who is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Whom to switch to.
    pub runs: TaskId,
    /// Whose turn it is: the same, or somebody who waits for it. [`Queue::charge`] takes this one.
    pub pays: TaskId,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    weight: u32,
    tag: u128,
    runnable: bool,
    waits_for: Option<usize>,
    /// Core, and the number of the turn there.
    last: Option<(usize, u64)>,
}

/// Up to `N` tasks.
#[derive(Clone, Debug)]
pub struct Queue<const N: usize> {
    tasks: [Option<Task>; N],
    /// The tag of whoever was picked last: the present.
    now: u128,
    /// Turns by core.
    turns: [u64; CORES],
    slack: u128,
    cool_after: u64,
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Queue<N> {
    /// A queue without tasks that knows no warmth.
    #[must_use]
    pub const fn new() -> Self {
        Self { tasks: [None; N], now: 0, turns: [0; CORES], slack: 0, cool_after: 0 }
    }

    /// Prefers tasks that are warm on a core, those that ran there within the last `turns` turns, if their tag is at most as much later as
    /// `time` of a task of weight 1 is worth.
    pub const fn prefer_warm(&mut self, turns: u64, time: u64) {
        self.cool_after = turns;
        self.slack = time as u128 * SCALE as u128;
    }

    /// Virtual time by which a warm task may be preferred to another.
    #[must_use]
    pub const fn slack(&self) -> u128 {
        self.slack
    }

    /// Turns on a core after which whoever ran there before is no longer warm.
    #[must_use]
    pub const fn cool_after(&self) -> u64 {
        self.cool_after
    }

    /// Enters a runnable task; `None` if there is no room. A weight of zero counts as one.
    pub fn add(&mut self, weight: u32) -> Option<TaskId> {
        let place = self.tasks.iter().position(Option::is_none)?;
        let weight = weight.clamp(1, WEIGHT_MAX);
        let task = Task { weight, tag: self.now, runnable: true, waits_for: None, last: None };
        self.tasks[place] = Some(task);
        Some(TaskId(place))
    }

    /// Takes a task out; whoever waited for it waits no more.
    pub fn remove(&mut self, task: TaskId) {
        self.tasks[task.0] = None;
        self.release(task);
    }

    /// A task cannot run for a while.
    pub fn sleep(&mut self, task: TaskId) {
        if let Some(task) = &mut self.tasks[task.0] {
            task.runnable = false;
        }
    }

    /// A task can run again, from the present on.
    pub fn wake(&mut self, task: TaskId) {
        if let Some(task) = self.tasks[task.0].as_mut().filter(|task| !task.runnable) {
            task.runnable = true;
            task.tag = task.tag.max(self.now);
        }
    }

    /// A task waits for what another holds: its turns are the holder's until [`Self::release`].
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait_for(&mut self, task: TaskId, holder: TaskId) -> Result<(), WaitError> {
        if self.task(holder).is_none() {
            return Err(WaitError::NoTask);
        }
        if self.chain(holder).any(|link| link == task) {
            return Err(WaitError::Deadlock);
        }
        let task = self.tasks[task.0].as_mut().ok_or(WaitError::NoTask)?;
        task.waits_for = Some(holder.0);
        Ok(())
    }

    /// A holder let go: whoever waited for it has its own turns back.
    pub fn release(&mut self, holder: TaskId) {
        for task in self.tasks.iter_mut().flatten() {
            task.waits_for = task.waits_for.filter(|waits_for| *waits_for != holder.0);
        }
    }

    fn task(&self, task: TaskId) -> Option<&Task> {
        self.tasks.get(task.0)?.as_ref()
    }

    /// A task, whom it waits for, whom that one waits for, and so on: no ring, as `wait_for` makes none.
    fn chain(&self, task: TaskId) -> impl Iterator<Item = TaskId> {
        let next = |at: &TaskId| self.task(*at).and_then(|task| task.waits_for).map(TaskId);
        core::iter::successors(Some(task), next)
    }

    /// Who runs in a task's turns.
    fn last_of(&self, task: TaskId) -> TaskId {
        self.chain(task).last().unwrap_or(task)
    }

    /// Who is next on a core; `None` if nobody can run there.
    pub fn pick(&mut self, core: usize) -> Option<Pick> {
        let core = core % CORES;
        let can_run =
            |task: &usize| self.task(self.last_of(TaskId(*task))).is_some_and(|task| task.runnable);
        let ready = (0..N).filter(|place| self.tasks[*place].is_some()).filter(can_run);
        let tag = |place: usize| self.tasks[place].map_or(u128::MAX, |task| task.tag);
        let first = ready.clone().min_by_key(|place| tag(*place))?;
        let (earliest, latest) = (tag(first), tag(first) + self.slack);
        let warm = ready.filter(|place| tag(*place) <= latest && self.is_warm(*place, core));
        let chosen = warm.min_by_key(|place| tag(*place)).unwrap_or(first);
        self.now = self.now.max(earliest);
        let (runs, pays) = (self.last_of(TaskId(chosen)), TaskId(chosen));
        let turn = self.turns[core];
        self.turns[core] += 1;
        if let Some(task) = &mut self.tasks[runs.0] {
            task.last = Some((core, turn));
        }
        Some(Pick { runs, pays })
    }

    /// Whether who would run in a task's turn is warm on a core.
    fn is_warm(&self, place: usize, core: usize) -> bool {
        let last = self.task(self.last_of(TaskId(place))).and_then(|task| task.last);
        last.is_some_and(|(at, turn)| at == core && self.turns[core] - turn <= self.cool_after)
    }

    /// A turn took so much time.
    pub fn charge(&mut self, task: TaskId, time: u64) {
        if let Some(task) = &mut self.tasks[task.0] {
            task.tag += u128::from(time) * u128::from(SCALE) / u128::from(task.weight);
        }
    }
}
