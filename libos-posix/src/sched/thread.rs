//! A thread: its registers while it does not run, its libOS stack, its state, its signals.
use crate::memory::FrameNumber;
use crate::process::Process;
use crate::process::rseq::Registration;
use crate::raw::context::{Context, Place};
use crate::raw::entry::TrapFrame;
use crate::signal::ThreadSignals;
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use serix_sys::abi::PAGE_SIZE;
use spin::Mutex;

/// Thread ids share their numbers with process ids.
pub type ThreadId = u32;

/// Pages of a libOS stack.
const STACK_PAGES: usize = 16;
/// Pages from one stack to the next: below each lies a hole, so an overflow faults.
const STACK_STRIDE: u64 = 2 * STACK_PAGES as u64 * PAGE_SIZE as u64;
/// Most stacks.
const STACKS_MAX: u64 = 4096;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RunState {
    /// In the run queue.
    Ready,
    /// On the CPU.
    Running,
    /// Waits to be woken.
    Blocked,
    /// Ended.
    Dead,
}

/// A thread of a process.
pub struct Thread {
    /// Its number.
    pub tid: ThreadId,
    /// Its process.
    pub process: Arc<Process>,
    /// Masks and pending signals.
    pub signals: Mutex<ThreadSignals>,
    /// Word of program memory to clear and wake at exit (`set_tid_address`).
    pub clear_child_tid: AtomicU64,
    /// Word of program memory that gets its number before it runs.
    pub set_child_tid: AtomicU64,
    /// The area of its restartable sequences.
    pub rseq: Mutex<Option<Registration>>,
    /// When the sleep ends that a stop interrupted and that starts again, or 0.
    pub sleep_deadline_ns: AtomicU64,
    pub(crate) context: Context,
    state: AtomicU8,
    woken: AtomicBool,
    interruptible: AtomicBool,
    work: AtomicBool,
    /// Nanoseconds run, and when the present run began.
    run_ns: AtomicU64,
    since_ns: AtomicU64,
    _stack: Stack,
}

impl Thread {
    /// A thread that starts as `frame` says.
    ///
    /// # Errors
    /// `ENOMEM` if there is no stack for it.
    pub fn new(
        tid: ThreadId,
        process: Arc<Process>,
        place: Place,
        frame: &TrapFrame,
        fs_base: u64,
        signals: ThreadSignals,
    ) -> Result<Arc<Self>> {
        let stack = Stack::take()?;
        let context = Context::new(stack.top(), place, frame, fs_base);
        Ok(Arc::new(Self {
            tid,
            process,
            signals: Mutex::new(signals),
            clear_child_tid: AtomicU64::new(0),
            set_child_tid: AtomicU64::new(0),
            rseq: Mutex::new(None),
            sleep_deadline_ns: AtomicU64::new(0),
            context,
            state: AtomicU8::new(RunState::Blocked as u8),
            woken: AtomicBool::new(false),
            interruptible: AtomicBool::new(false),
            work: AtomicBool::new(false),
            run_ns: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            _stack: stack,
        }))
    }

    #[inline]
    pub(super) fn state(&self) -> RunState {
        match self.state.load(Ordering::Relaxed) {
            0 => RunState::Ready,
            1 => RunState::Running,
            2 => RunState::Blocked,
            _ => RunState::Dead,
        }
    }

    #[inline]
    pub(super) fn set_state(&self, state: RunState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn set_woken(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn clear_woken(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && {
            self.clear_woken();
            true
        }
    }

    pub(super) fn set_interruptible(&self, on: bool) {
        self.interruptible.store(on, Ordering::Relaxed);
    }

    /// Whether it runs, or waits to; else it sleeps.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state(), RunState::Ready | RunState::Running)
    }

    /// Whether it waits for something that no signal ends.
    #[must_use]
    pub fn is_uninterruptible(&self) -> bool {
        self.state() == RunState::Blocked && !self.interruptible.load(Ordering::Relaxed)
    }

    /// Sends the thread through the exit work, and wakes it if it sleeps interruptibly.
    pub(crate) fn interrupt(self: &Arc<Self>) {
        self.work.store(true, Ordering::Relaxed);
        if self.state() == RunState::Running {
            crate::raw::local::request_work();
        } else if self.interruptible.load(Ordering::Relaxed) {
            super::wake(self);
        }
    }

    /// Sends the running thread, which this is, through the exit work.
    #[inline]
    pub(crate) fn request_work(&self) {
        self.work.store(true, Ordering::Relaxed);
        crate::raw::local::request_work();
    }

    /// Whether the exit work is asked for.
    pub(crate) fn has_work(&self) -> bool {
        self.work.load(Ordering::Relaxed)
    }

    /// The exit work begins.
    pub(crate) fn clear_work(&self) {
        self.work.store(false, Ordering::Relaxed);
        crate::raw::local::clear_work();
    }

    pub(super) fn start_clock(&self, now_ns: u64) {
        self.since_ns.store(now_ns, Ordering::Relaxed);
    }

    /// When it got the CPU (nanoseconds of the TSC clock): another value says that others ran meanwhile.
    #[must_use]
    pub fn on_cpu_since(&self) -> u64 {
        self.since_ns.load(Ordering::Relaxed)
    }

    pub(super) fn stop_clock(&self, now_ns: u64) {
        let run = now_ns.saturating_sub(self.since_ns.load(Ordering::Relaxed));
        self.run_ns.fetch_add(run, Ordering::Relaxed);
    }

    /// Nanoseconds of CPU used so far.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        let before = self.run_ns.load(Ordering::Relaxed);
        if self.state() != RunState::Running {
            return before;
        }
        let now = crate::raw::kernel::now_ns();
        before + now.saturating_sub(self.since_ns.load(Ordering::Relaxed))
    }
}

/// A libOS stack; dropping it keeps the pages for the next thread.
#[derive(Debug)]
struct Stack(u64);

struct Stacks {
    spare: Vec<u64>,
    made: u64,
}

static STACKS: Mutex<Stacks> = Mutex::new(Stacks { spare: Vec::new(), made: 0 });

impl Stack {
    fn take() -> Result<Self> {
        let mut stacks = STACKS.lock();
        if let Some(top) = stacks.spare.pop() {
            return Ok(Self(top));
        }
        if stacks.made == STACKS_MAX {
            return Err(Errno::EAGAIN);
        }
        let index = stacks.made;
        stacks.made += 1;
        drop(stacks);
        Self::make(index)
    }

    fn make(index: u64) -> Result<Self> {
        let top = crate::raw::STACKS_ADDRESS + (index + 1) * STACK_STRIDE;
        let mut frames = [FrameNumber(0); STACK_PAGES];
        if crate::memory::take_frames(&mut frames) < STACK_PAGES {
            return Err(Errno::ENOMEM);
        }
        let bottom = top - (STACK_PAGES * PAGE_SIZE) as u64;
        crate::raw::kernel::map_stack(bottom, &frames).map_err(|_| Errno::ENOMEM)?;
        Ok(Self(top))
    }

    fn top(&self) -> u64 {
        self.0
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        STACKS.lock().spare.push(self.0);
    }
}
