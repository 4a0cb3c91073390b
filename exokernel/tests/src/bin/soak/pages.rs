//! An actor's own pages, and those that all change.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error, NO_SLOT, PAGE_SIZE};
use serix_kernel_tests::child::until_done;
use serix_kernel_tests::raw::{call, worker_read, worker_write};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Failure, Random, ensure, ensure_eq};
use serix_sys::Slot;

use crate::SHARED;
use crate::actor::{Outcome, slot};

/// Pages of an actor, and frames for them.
pub(crate) const WINDOW: u64 = 48;
/// Pages that all actors map, unmap and touch.
pub(crate) const COMMON: u64 = 16;
const PAGE: u64 = PAGE_SIZE as u64;

/// What is known of an own page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Readable,
    Writable,
}

/// An actor's own pages: page `n` shows frame `n` of its frames, or nothing.
pub(crate) struct Pages {
    pub(crate) first_unit: u64,
    window: u64,
    states: [State; WINDOW as usize],
    /// What each frame holds; zero if nothing was written.
    values: [u64; WINDOW as usize],
    written: u64,
}

impl Pages {
    pub(crate) fn new(first_unit: u64, window: u64) -> Self {
        let states = [State::Absent; WINDOW as usize];
        Self { first_unit, window, states, values: [0; WINDOW as usize], written: 0 }
    }

    fn address(&self, page: usize) -> u64 {
        self.window + page as u64 * PAGE
    }

    fn range(random: &mut Random) -> core::ops::Range<usize> {
        let first = random.below(WINDOW) as usize;
        first..(first + 1 + random.below(8) as usize).min(WINDOW as usize)
    }

    /// Maps frames at a place.
    fn show(&self, address: u64, unit: u64, count: u64, flags: MapFlags) -> Result<u64, Error> {
        let [space, frames] = [slot(0), slot(1)].map(|slot| u64::from(slot.0));
        call(Call::MapRange, &[space, address, frames, unit, count, flags.0])
    }

    /// Maps some pages writable and writes to them.
    pub(crate) fn map(&mut self, random: &mut Random) -> Outcome {
        let range = Self::range(random);
        let (first, count) = (range.start, range.len() as u64);
        let done = self.show(self.address(first), self.first_unit + first as u64, count, DATA)?;
        ensure_eq!(done, count, "pages mapped");
        for page in range {
            self.states[page] = State::Writable;
            self.check(page)?;
            self.written += 1;
            self.values[page] = self.written << 8 | page as u64;
            let written = worker_write(self.address(page), self.values[page]);
            ensure!(written.is_ok(), "page {page} cannot be written: {written:?}");
        }
        Ok(())
    }

    pub(crate) fn unmap(&mut self, random: &mut Random) -> Outcome {
        let range = Self::range(random);
        let (address, count) = (self.address(range.start), range.len() as u64);
        call(Call::Unmap, &[slot(0).0.into(), address, count])?;
        for page in range {
            self.states[page] = State::Absent;
            self.check(page)?;
        }
        Ok(())
    }

    pub(crate) fn protect(&mut self, random: &mut Random) -> Outcome {
        let range = Self::range(random);
        let (address, count) = (self.address(range.start), range.len() as u64);
        let (flags, state) =
            random.of(&[(MapFlags::NO_EXECUTE, State::Readable), (DATA, State::Writable)]);
        call(Call::Protect, &[slot(0).0.into(), address, count, flags.0])?;
        for page in range {
            if self.states[page] != State::Absent {
                self.states[page] = state;
            }
            self.check(page)?;
        }
        Ok(())
    }

    /// All own pages are as they should be.
    pub(crate) fn look(&mut self) -> Outcome {
        (0..WINDOW as usize).try_for_each(|page| self.check(page))
    }

    fn check(&self, page: usize) -> Outcome {
        let (address, state, value) = (self.address(page), self.states[page], self.values[page]);
        match worker_read(address) {
            Ok(found) => {
                ensure!(state != State::Absent, "page {page} is there");
                ensure_eq!(found, value, "page {page}");
            }
            Err(fault) => ensure!(state == State::Absent, "page {page} is not: {fault:?}"),
        }
        if state == State::Readable {
            ensure!(worker_write(address, 0).is_err(), "page {page} is writable");
        }
        Ok(())
    }

    /// What all change at the same time: any answer is right, if the kernel and its ledger bear it.
    pub(crate) fn common(&mut self, random: &mut Random) -> Outcome {
        let at = SHARED.common.load(SeqCst) + random.below(COMMON - 4) * PAGE;
        let (space, count) = (u64::from(slot(0).0), 1 + random.below(4));
        match random.below(4) {
            0 => drop(self.show(
                at,
                self.first_unit + random.below(WINDOW - 4),
                count,
                MapFlags::NO_EXECUTE,
            )?),
            1 => drop(call(Call::Unmap, &[space, at, count])?),
            2 => match call(Call::Protect, &[space, at, count, DATA.0]) {
                Ok(_) | Err(Error::Denied) => {}
                Err(error) => return Err(error.into()),
            },
            _ => drop(worker_read(at)),
        }
        Ok(())
    }

    /// An environment with a copy of the own pages, as a fork makes it; then it is gone.
    pub(crate) fn fork(&mut self) -> Outcome {
        let own = u64::from(slot(0).0);
        let none = u64::from(NO_SLOT);
        let copy = call(Call::EnvironmentCreate, &[none, none])?;
        let copied = call(Call::CopyRange, &[own, copy, self.window, WINDOW]);
        // Writable pages are read-only now, and marked.
        for page in 0..WINDOW as usize {
            if self.states[page] == State::Writable {
                self.states[page] = State::Readable;
            }
        }
        let looked = self.look();
        until_done(Call::EnvironmentDestroy, Slot(copy as u32))?;
        copied?;
        looked
    }

    /// Puts bytes into a frame beyond the window, seen for a moment at the window's first page.
    pub(crate) fn fill(&mut self, unit: u64, bytes: &[u8]) -> Outcome {
        self.visit(unit, |address| {
            for (at, chunk) in bytes.chunks(8).enumerate() {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                let written = worker_write(address + at as u64 * 8, u64::from_le_bytes(word));
                ensure!(written.is_ok(), "a fresh page cannot be written");
            }
            Ok(())
        })
    }

    /// A frame that came back is zero.
    pub(crate) fn expect_zero(&mut self, unit: u64) -> Outcome {
        self.visit(unit, |address| {
            for at in (0..PAGE).step_by(256) {
                ensure_eq!(worker_read(address + at).ok(), Some(0), "at {at} of frame {unit}");
            }
            Ok(())
        })
    }

    fn visit(&mut self, unit: u64, look: impl FnOnce(u64) -> Outcome) -> Outcome {
        self.show(self.window, unit, 1, DATA)?;
        let result = look(self.window);
        call(Call::Unmap, &[slot(0).0.into(), self.window, 1])?;
        self.states[0] = State::Absent;
        result
    }

    pub(crate) fn end(&mut self) -> Outcome {
        let space = slot(0).0.into();
        call(Call::Unmap, &[space, self.window, WINDOW])?;
        call(Call::Unmap, &[space, SHARED.common.load(SeqCst), COMMON])?;
        Ok(())
    }
}

/// An outcome of a call that must succeed.
pub(crate) fn must(answer: Result<u64, Error>, what: &str) -> Result<u64, Failure> {
    answer.map_err(|error| Failure::new(format_args!("{what}: {error:?}")))
}
