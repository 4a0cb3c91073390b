//! One ring: who waits for which transfer, and the line in front of a full ring.
use crate::TransferError;
use crate::raw::RingMemory;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use serix_abi::ring::{Completion, SUBMISSIONS, Submission, status};
use serix_sys::Slot;
use spin::Mutex;

/// Tells the kernel that a ring has new submissions.
pub trait Doorbell: Send + Sync + 'static {
    /// The kernel should look at the ring now.
    fn ring(&self);
}

/// The ring in a slot of the binding table.
impl Doorbell for Slot {
    fn ring(&self) {
        // A failure shows as submissions not taken; they are offered again after the next completion.
        let _ = serix_sys::call::ring_submit(*self);
    }
}

/// What a transfer keeps alive until the kernel is done with it.
type Kept = Box<dyn Any + Send>;

enum Phase {
    Free,
    /// In the waiting line.
    Queued,
    /// In the ring or with the kernel.
    InFlight,
    /// Completed, the result not yet fetched.
    Done(Completion),
}

struct Entry {
    phase: Phase,
    submission: Submission,
    waker: Option<Waker>,
    /// Nobody will fetch the result.
    abandoned: bool,
    kept: Option<Kept>,
}

struct State {
    memory: RingMemory,
    entries: Vec<Entry>,
    free: Vec<u32>,
    queue: VecDeque<u32>,
    in_flight: usize,
}

/// A transfer ring of the domain.
pub struct Ring {
    doorbell: Box<dyn Doorbell>,
    state: Mutex<State>,
}

impl Ring {
    /// A ring over `memory`, whose kernel side is told by `doorbell`.
    #[must_use]
    pub fn new(memory: RingMemory, doorbell: impl Doorbell) -> Arc<Self> {
        let state = State {
            memory,
            entries: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            in_flight: 0,
        };
        Arc::new(Self { doorbell: Box::new(doorbell), state: Mutex::new(state) })
    }

    /// Starts a transfer, or puts it in line if the ring is full. Its cookie is the ring's to choose. `kept` is
    /// dropped when the kernel has completed it.
    pub fn start(self: &Arc<Self>, submission: Submission, kept: impl Any + Send) -> Transfer {
        let (number, offered) = {
            let mut state = self.state.lock();
            let number = state.enter(submission, Box::new(kept));
            (number, state.offer())
        };
        if offered {
            self.doorbell.ring();
        }
        Transfer { ring: self.clone(), number }
    }

    /// Passes completions on to who waits for them and fills the ring from the waiting line. To be called after
    /// the ring's event was signalled; calling it in vain is cheap. Answers how many transfers ended.
    #[inline]
    pub fn process(&self) -> usize {
        if self.is_quiet() { 0 } else { self.process_some() }
    }

    /// Whether [`Self::process`] would find nothing to do.
    #[inline]
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && state.memory.is_quiet()
    }

    fn process_some(&self) -> usize {
        let mut ended = 0;
        loop {
            // One at a time, so that wakers and dropped pages run without the lock.
            let Some((waker, kept)) = self.state.lock().reap() else { break };
            ended += usize::from(kept.is_some());
            drop(kept);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        let offered = {
            let mut state = self.state.lock();
            state.offer() || state.memory.untaken() > 0
        };
        if offered {
            self.doorbell.ring();
        }
        ended
    }

    /// Whether nothing is in flight or in line.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.in_flight == 0 && state.queue.is_empty()
    }
}

impl State {
    fn enter(&mut self, submission: Submission, kept: Kept) -> u32 {
        let number = self.free.pop().unwrap_or(self.entries.len() as u32);
        let entry = Entry {
            phase: Phase::Queued,
            submission: Submission { cookie: u64::from(number), ..submission },
            waker: None,
            abandoned: false,
            kept: Some(kept),
        };
        match self.entries.get_mut(number as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self.queue.push_back(number);
        number
    }

    /// Moves what fits from the line to the ring; true if anything.
    fn offer(&mut self) -> bool {
        let mut offered = false;
        while self.in_flight < SUBMISSIONS
            && let Some(number) = self.queue.pop_front()
        {
            let entry = &mut self.entries[number as usize];
            entry.phase = Phase::InFlight;
            let submission = entry.submission;
            self.memory.push(submission);
            self.in_flight += 1;
            offered = true;
        }
        offered
    }

    /// Takes one completion; whom to wake and what to drop, or `None` if there is none.
    fn reap(&mut self) -> Option<(Option<Waker>, Option<Kept>)> {
        let completion = self.memory.pop()?;
        let number = completion.cookie as u32;
        let entry = self.entries.get_mut(number as usize);
        let Some(entry) = entry.filter(|entry| matches!(entry.phase, Phase::InFlight)) else {
            return Some((None, None));
        };
        self.in_flight -= 1;
        if completion.status == status::BUSY {
            entry.phase = Phase::Queued;
            self.queue.push_front(number);
            return Some((None, None));
        }
        let (waker, kept) = (entry.waker.take(), entry.kept.take());
        entry.phase = Phase::Done(completion);
        if entry.abandoned {
            self.release(number);
        }
        Some((waker, kept))
    }

    fn release(&mut self, number: u32) {
        self.entries[number as usize].phase = Phase::Free;
        self.free.push(number);
    }
}

/// A transfer under way: a future of the bytes transferred. Dropping it abandons the result, not the transfer.
#[must_use = "a transfer's result is known only when it is awaited"]
pub struct Transfer {
    ring: Arc<Ring>,
    number: u32,
}

/// The number of a [`Transfer`] whose result was fetched.
const FETCHED: u32 = u32::MAX;

impl Future for Transfer {
    type Output = Result<usize, TransferError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert_ne!(self.number, FETCHED, "polled after the result");
        let completion = {
            let mut state = self.ring.state.lock();
            let entry = &mut state.entries[self.number as usize];
            let Phase::Done(completion) = entry.phase else {
                entry.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            state.release(self.number);
            completion
        };
        self.number = FETCHED;
        Poll::Ready(match TransferError::from_status(completion.status) {
            None => Ok(completion.length as usize),
            Some(error) => Err(error),
        })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.number == FETCHED {
            return;
        }
        let mut state = self.ring.state.lock();
        let entry = &mut state.entries[self.number as usize];
        entry.abandoned = true;
        entry.waker = None;
        if matches!(entry.phase, Phase::Done(_)) {
            state.release(self.number);
        }
    }
}
