//! The session's own background work: a few futures that run when no thread has to.
//!
//! A task is polled at scheduling points, on the stack of whatever thread is there, so it may not block that
//! thread; it awaits. Waking one only sets a mark.
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use spin::Mutex;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The mark of one task, and of all.
struct Mark {
    is_ready: AtomicBool,
    any: Arc<AtomicBool>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.is_ready.store(true, Ordering::Release);
        self.any.store(true, Ordering::Release);
    }
}

struct Task {
    mark: Arc<Mark>,
    waker: Waker,
    /// Taken while it is polled.
    work: Option<Work>,
}

/// The tasks of a session.
pub(super) struct Tasks {
    any: Arc<AtomicBool>,
    tasks: Mutex<Vec<Task>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// No tasks.
    #[must_use]
    pub(super) fn new() -> Self {
        Self { any: Arc::new(AtomicBool::new(false)), tasks: Mutex::new(Vec::new()) }
    }

    /// Adds a task, to be polled at the next opportunity.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mark = Arc::new(Mark { is_ready: AtomicBool::new(true), any: self.any.clone() });
        let waker = Waker::from(mark.clone());
        self.tasks.lock().push(Task { mark, waker, work: Some(Box::pin(work)) });
        self.any.store(true, Ordering::Release);
    }

    /// Whether a task was woken.
    #[inline]
    #[must_use]
    pub(super) fn is_ready(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Polls the tasks that were woken, until none is. A task that is being polled already, further up this
    /// stack or on another core, is left to whoever does that.
    pub(super) fn run(&self) {
        while self.any.swap(false, Ordering::AcqRel) {
            let count = self.tasks.lock().len();
            for index in 0..count {
                self.run_one(index);
            }
        }
    }

    fn run_one(&self, index: usize) {
        loop {
            let Some((mut work, waker)) = self.take_ready(index) else { return };
            let outcome = work.as_mut().poll(&mut Context::from_waker(&waker));
            let task = &mut self.tasks.lock()[index];
            if outcome == Poll::Pending {
                task.work = Some(work);
            }
            // Woken while it ran: `take_ready` of somebody else has passed it over.
            if !task.mark.is_ready.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn take_ready(&self, index: usize) -> Option<(Work, Waker)> {
        let task = &mut self.tasks.lock()[index];
        let work = task.work.take()?;
        if !task.mark.is_ready.swap(false, Ordering::AcqRel) {
            task.work = Some(work);
            return None;
        }
        Some((work, task.waker.clone()))
    }
}
