//! Futexes: threads that wait for a word of program memory.
//!
//! A word is named by its address space and address, or by its frame if it is shared between processes. Checking the
//! word and joining the queue is one step, because nothing else runs in between.
use super::{WaitError, wait_until};
use crate::memory::{AddressSpace, UserAddress};
use crate::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use spin::Mutex;

/// Names a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(usize, u64);

/// Those who match any wake (`FUTEX_BITSET_MATCH_ANY`).
pub const ANY: u32 = u32::MAX;

struct Waiter {
    bits: u32,
    woken: AtomicBool,
    waker: Waker,
}

static QUEUES: Mutex<BTreeMap<Key, VecDeque<Arc<Waiter>>>> = Mutex::new(BTreeMap::new());

/// The name of a word in a space.
///
/// # Errors
/// `EFAULT` if a shared word cannot be reached, `EINVAL` if it is not aligned.
pub fn key(space: &Arc<AddressSpace>, address: u64, is_private: bool) -> Result<Key> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if !is_private && space.is_shared(address) {
        // The read makes the page present.
        let _: u32 = UserAddress(address).read()?;
        let frame = crate::memory::space::present_frame(address).ok_or(Errno::EFAULT)?;
        return Ok(Key(0, u64::from(frame.0) << 12 | address & 4095));
    }
    Ok(Key(Arc::as_ptr(space) as usize, address))
}

/// Waits until woken, if the word at `address` has the value that is expected.
///
/// # Errors
/// `EAGAIN` if it has another, `EFAULT`, `ETIMEDOUT`, `RESTART`.
pub fn wait(
    key: Key,
    address: u64,
    expected: u32,
    bits: u32,
    deadline_ns: Option<u64>,
) -> Result<()> {
    if UserAddress(address).read::<u32>()? != expected {
        return Err(Errno::EAGAIN);
    }
    let mut waiter: Option<Arc<Waiter>> = None;
    let outcome = wait_until(deadline_ns, |waker| match &waiter {
        None => {
            let new =
                Arc::new(Waiter { bits, woken: AtomicBool::new(false), waker: waker.clone() });
            QUEUES.lock().entry(key).or_default().push_back(new.clone());
            waiter = Some(new);
            None
        }
        Some(waiter) => waiter.woken.load(Ordering::Relaxed).then_some(()),
    });
    if outcome.is_err()
        && let Some(waiter) = &waiter
    {
        forget(waiter);
    }
    outcome.map_err(|error| match error {
        WaitError::TimedOut => Errno::ETIMEDOUT,
        WaitError::Interrupted => Errno::RESTART,
    })
}

/// Takes a waiter out, whichever queue it was moved to.
fn forget(waiter: &Arc<Waiter>) {
    let mut queues = QUEUES.lock();
    queues.retain(|_, queue| {
        queue.retain(|other| !Arc::ptr_eq(other, waiter));
        !queue.is_empty()
    });
}

/// Wakes up to `count` of those who match `bits`; answers how many.
pub fn wake(key: Key, count: u32, bits: u32) -> u32 {
    let mut woken = 0;
    while woken < count {
        let waiter = {
            let mut queues = QUEUES.lock();
            let Some(queue) = queues.get_mut(&key) else { break };
            let Some(at) = queue.iter().position(|waiter| waiter.bits & bits != 0) else { break };
            let waiter = queue.remove(at);
            if queue.is_empty() {
                queues.remove(&key);
            }
            waiter
        };
        let Some(waiter) = waiter else { break };
        waiter.woken.store(true, Ordering::Relaxed);
        waiter.waker.wake_by_ref();
        woken += 1;
    }
    woken
}

/// Wakes those who wait for a word, whichever way they named it.
pub fn wake_address(space: &Arc<AddressSpace>, address: u64, count: u32) {
    let keys = [true, false].map(|is_private| key(space, address, is_private).ok());
    for key in keys.into_iter().flatten() {
        wake(key, count, ANY);
        // Both are one unless the word is in memory that processes share.
        if keys[0] == keys[1] {
            break;
        }
    }
}

/// Wakes some who wait for one word and moves others to another; answers how many of each.
pub fn requeue(from: Key, to: Key, wake_count: u32, move_count: u32) -> (u32, u32) {
    let woken = wake(from, wake_count, ANY);
    if from == to {
        return (woken, 0);
    }
    let mut queues = QUEUES.lock();
    let Some(mut source) = queues.remove(&from) else { return (woken, 0) };
    let moved = source.len().min(move_count as usize);
    let rest = source.split_off(moved);
    if !rest.is_empty() {
        queues.insert(from, rest);
    }
    if moved > 0 {
        queues.entry(to).or_default().append(&mut source);
    }
    (woken, moved as u32)
}
