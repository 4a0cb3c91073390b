//! Interest in many descriptions at once: what `epoll_create` makes.
//!
//! An interest is its own waker: when its description changes it queues itself as a candidate, and a wait
//! asks only the candidates. Level-triggered ones that were ready stay candidates.
use super::description::Description;
use super::waiters::{Waiters, wake};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use serix_chroma::{Events, VfsError, VfsResult};
use spin::Mutex;

bitflags::bitflags! {
    /// How an interest behaves, in the bits above the readiness events.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Trigger: u32 {
        /// Report changes only.
        const EDGE = 1 << 31;
        /// Report once, until it is changed.
        const ONE_SHOT = 1 << 30;
    }
}

/// What a program asked for, and what it gets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Events of interest.
    pub events: Events,
    /// How to report them.
    pub trigger: Trigger,
    /// The program's own.
    pub data: u64,
}

struct Interest {
    description: Weak<Description>,
    /// `None` once a one-shot interest was reported.
    settings: Mutex<Option<Settings>>,
    is_candidate: AtomicBool,
    candidates: Arc<Candidates>,
}

#[derive(Default)]
struct Candidates {
    queue: Mutex<VecDeque<Weak<Interest>>>,
    waiters: Mutex<Waiters>,
}

impl Wake for Interest {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_candidate.swap(true, Ordering::AcqRel) {
            self.candidates.queue.lock().push_back(Arc::downgrade(self));
            let waiters = self.candidates.waiters.lock().take();
            wake(waiters);
        }
    }
}

impl Interest {
    /// What is to be reported now, and whether it stays a candidate.
    fn check(self: &Arc<Self>) -> Option<(Settings, bool)> {
        let description = self.description.upgrade()?;
        let settings = (*self.settings.lock())?;
        let waker = Waker::from(self.clone());
        let events = description.poll(settings.events, Some(&waker));
        if events.is_empty() {
            return None;
        }
        if settings.trigger.contains(Trigger::ONE_SHOT) {
            *self.settings.lock() = None;
        }
        let stays = settings.trigger.is_empty();
        Some((Settings { events, ..settings }, stays))
    }
}

/// A descriptor number and the description it named; the same number may come to name another.
type Key = (i32, usize);

/// A set of interests.
#[derive(Default)]
pub struct Epoll {
    interests: Mutex<BTreeMap<Key, Arc<Interest>>>,
    candidates: Arc<Candidates>,
}

impl Epoll {
    /// Adds an interest.
    ///
    /// # Errors
    /// `Exists`.
    pub fn add(&self, number: i32, of: &Arc<Description>, settings: Settings) -> VfsResult<()> {
        let interest = Arc::new(Interest {
            description: Arc::downgrade(of),
            settings: Mutex::new(Some(settings)),
            is_candidate: AtomicBool::new(false),
            candidates: self.candidates.clone(),
        });
        {
            let mut interests = self.interests.lock();
            interests.retain(|_, interest| interest.description.strong_count() > 0);
            if interests.contains_key(&key(number, of)) {
                return Err(VfsError::Exists);
            }
            interests.insert(key(number, of), interest.clone());
        }
        interest.wake();
        Ok(())
    }

    /// Changes an interest.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn modify(&self, number: i32, of: &Arc<Description>, settings: Settings) -> VfsResult<()> {
        let found = self.interests.lock().get(&key(number, of)).cloned();
        let interest = found.ok_or(VfsError::NotFound)?;
        *interest.settings.lock() = Some(settings);
        interest.wake();
        Ok(())
    }

    /// Ends an interest.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove(&self, number: i32, of: &Arc<Description>) -> VfsResult<()> {
        let removed = self.interests.lock().remove(&key(number, of));
        removed.map(drop).ok_or(VfsError::NotFound)
    }

    /// Up to `limit` interests that are ready now. A waker is woken when there may be more.
    pub fn collect(&self, limit: usize, waker: Option<&Waker>) -> Vec<Settings> {
        if let Some(waker) = waker {
            self.candidates.waiters.lock().add(waker);
        }
        let (mut ready, mut again) = (Vec::new(), Vec::new());
        while ready.len() < limit {
            let Some(candidate) = self.candidates.queue.lock().pop_front() else { break };
            let Some(interest) = candidate.upgrade() else { continue };
            interest.is_candidate.store(false, Ordering::Release);
            if let Some((settings, stays)) = interest.check() {
                ready.push(settings);
                again.extend(stays.then_some(interest));
            }
        }
        for interest in again {
            if !interest.is_candidate.swap(true, Ordering::AcqRel) {
                self.candidates.queue.lock().push_back(Arc::downgrade(&interest));
            }
        }
        ready
    }

    /// Whether anything is ready, for an epoll within an epoll.
    pub fn poll(&self, interest: Events, waker: Option<&Waker>) -> Events {
        if let Some(waker) = waker {
            self.candidates.waiters.lock().add(waker);
        }
        let candidates: Vec<_> = self.candidates.queue.lock().iter().cloned().collect();
        let is_ready = candidates.iter().filter_map(Weak::upgrade).any(|candidate| {
            let settings = *candidate.settings.lock();
            let description = candidate.description.upgrade();
            settings.zip(description).is_some_and(|(s, d)| !d.poll(s.events, None).is_empty())
        });
        if is_ready { interest & Events::IN } else { Events::empty() }
    }
}

fn key(number: i32, of: &Arc<Description>) -> Key {
    (number, Arc::as_ptr(of) as usize)
}
