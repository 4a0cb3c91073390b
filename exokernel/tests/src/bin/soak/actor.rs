//! One of the dispatchers at work.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;
use serix_abi::{Error, ring::status};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{core_number, now_ns};
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::{Failure, Random};
use serix_sys::{Slot, call as sys};

use crate::children::{self, Child};
use crate::pages::{self, Pages};
use crate::{ACTORS, SHARED};

/// Frames of an actor: those of its window, and those of its child.
pub(crate) const FRAMES: u64 = pages::WINDOW + children::FRAMES;
/// Operations of one that has ended.
pub(crate) const ENDED: u64 = u64::MAX;

/// What an operation answers.
pub(crate) type Outcome = Result<(), Failure>;

/// An actor.
pub(crate) struct Actor {
    index: usize,
    random: Random,
    environment: Slot,
    event: Slot,
    pages: Pages,
    child: Option<Child>,
    ring: TestRing,
}

/// Works until told to stop.
pub(crate) fn main(index: u64) {
    let index = index as usize;
    let mut actor = Actor::new(index);
    let shared = &SHARED.actors[index];
    while !SHARED.stop.load(SeqCst) {
        let core = core_number() as usize;
        if let Err(failure) = actor.one() {
            actor.complain(format_args!("{failure}"));
            break;
        }
        shared.operations.fetch_add(1, SeqCst);
        SHARED.cores[core % SHARED.cores.len()].fetch_add(1, SeqCst);
    }
    if let Err(failure) = actor.end() {
        actor.complain(format_args!("at the end: {failure}"));
    }
    shared.operations.store(ENDED, SeqCst);
}

/// The slot that `prepare` put at a place.
pub(crate) fn slot(place: usize) -> Slot {
    Slot(SHARED.slots[place].load(SeqCst) as u32)
}

impl Actor {
    fn new(index: usize) -> Self {
        let shared = &SHARED.actors[index];
        let parts = shared.ring.each_ref().map(|part| part.load(SeqCst));
        let first = shared.first_unit.load(SeqCst);
        let seed = SHARED.seed.load(SeqCst) ^ (index as u64) << 56;
        Self {
            index,
            random: Random::new(seed),
            environment: slot(0),
            event: slot(2),
            pages: Pages::new(first, shared.window.load(SeqCst)),
            child: None,
            ring: TestRing::from_parts(parts),
        }
    }

    fn complain(&self, what: fmt::Arguments<'_>) {
        SHARED.failed.store(true, SeqCst);
        let operations = SHARED.actors[self.index].operations.load(SeqCst);
        line(format_args!("WRONG actor {} after {operations} operations: {what}", self.index));
    }

    /// One operation.
    fn one(&mut self) -> Outcome {
        let kind = self.random.below(16) as usize;
        SHARED.kinds[kind].fetch_add(1, SeqCst);
        match kind {
            0..=2 => self.pages.map(&mut self.random),
            3 => self.pages.unmap(&mut self.random),
            4 => self.pages.protect(&mut self.random),
            5 => self.pages.look(),
            6 => self.pages.common(&mut self.random),
            7 => self.pages.fork(),
            8..=10 => self.child_step(),
            11 => self.signal(),
            12 => self.wait(),
            13 => sys::yield_slice().map(drop).map_err(Failure::from),
            14 => self.yield_to(),
            _ => self.read_disk(),
        }
    }

    /// The child's next step: made, run, looked at, ended.
    fn child_step(&mut self) -> Outcome {
        match self.child.take() {
            None => {
                let unit = self.pages.first_unit + pages::WINDOW;
                let slices = Slot(SHARED.actors[self.index].slices.load(SeqCst) as u32);
                self.child = Some(Child::new(unit, slices, &mut self.pages, self.event)?);
            }
            Some(mut child) => {
                if self.random.below(3) > 0 {
                    child.step(&mut self.random)?;
                    self.child = Some(child);
                } else {
                    child.end(&mut self.pages)?;
                }
            }
        }
        Ok(())
    }

    fn signal(&mut self) -> Outcome {
        sys::event_signal(self.event, 1 << self.random.below(ACTORS as u64))?;
        Ok(())
    }

    fn wait(&mut self) -> Outcome {
        let deadline = now_ns() + self.random.below(2_000_000);
        match sys::event_wait(self.event, 1 << self.index, deadline) {
            Ok(_) | Err(Error::TimedOut) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn yield_to(&mut self) -> Outcome {
        let other = self.random.below(ACTORS as u64) as usize;
        let number = SHARED.actors[other].number.load(SeqCst);
        match sys::yield_to(self.environment, number) {
            Ok(_) | Err(Error::Busy) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn read_disk(&mut self) -> Outcome {
        let sectors = SHARED.sectors.load(SeqCst);
        if sectors < 64 {
            return Ok(());
        }
        let sector = self.random.below(sectors - 64);
        let length = 512 * (1 + self.random.below(64)) as u32;
        let done = self.ring.transfer(&self.ring.read(slot(3), sector, length))?;
        if done.status != status::OK || done.length != length {
            return Err(Failure::new(format_args!("a read at {sector} ended with {done:?}")));
        }
        Ok(())
    }

    fn end(&mut self) -> Outcome {
        if let Some(child) = self.child.take() {
            child.end(&mut self.pages)?;
        }
        self.pages.end()
    }
}
