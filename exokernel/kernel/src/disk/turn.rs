//! Who is next at a disk that has no room: domains take turns, one transfer each.
//!
//! Invariant: a disk whose queue is not empty has something in flight, so that something ends and the queue goes on. A domain has at
//! most one ring in a disk's queue, however many rings it has.
use crate::kernel::Kernel;
use serix_abi::ring::{Completion, Submission, status};

/// Disks that can have a queue.
const MAX_DISKS: usize = u32::BITS as usize;

/// Turns of one step: with what each ring submits after its own, a step of an interrupt.
const TURNS_PER_STEP: u32 = 4;

/// Rings that wait for a disk, the first to have its turn and the last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queue {
    first: Option<u32>,
    last: Option<u32>,
}

impl Kernel {
    /// Whether a transfer has to wait for its turn.
    pub(super) fn must_wait(&self, disk: usize) -> bool {
        let queue = self.devices.queues.get(disk);
        !self.devices.disks[disk].has_room() || queue.is_some_and(|queue| queue.first.is_some())
    }

    /// Keeps a submission until its domain has its turn at the disk. `BUSY` if another ring of the domain waits there.
    pub(super) fn wait_for_turn(
        &mut self,
        index: u32,
        disk: usize,
        submission: &Submission,
    ) -> Result<(), u32> {
        let ring = self.rings.get(index).ok_or(status::DENIED)?;
        let owner = self.resources.domains.get_mut(ring.domain).ok_or(status::DENIED)?;
        if disk >= MAX_DISKS || owner.waits_at & 1 << disk != 0 {
            return Err(status::BUSY);
        }
        owner.waits_at |= 1 << disk;
        let last = self.devices.queues[disk].last.replace(index);
        match last.and_then(|last| self.rings.get_mut(last)) {
            Some(last) => last.next = Some(index),
            None => self.devices.queues[disk].first = Some(index),
        }
        let ring = self.rings.get_mut(index).ok_or(status::DENIED)?;
        (ring.waiting, ring.previous, ring.next) = (Some((disk, *submission)), last, None);
        Ok(())
    }

    /// Takes a ring out of the queue that it is in; what waited there.
    pub(super) fn leave_turn(&mut self, index: u32) -> Option<Submission> {
        let ring = self.rings.get_mut(index)?;
        let (disk, submission) = ring.waiting.take()?;
        let (previous, next, domain) = (ring.previous.take(), ring.next.take(), ring.domain);
        match previous.and_then(|previous| self.rings.get_mut(previous)) {
            Some(previous) => previous.next = next,
            None => self.devices.queues[disk].first = next,
        }
        match next.and_then(|next| self.rings.get_mut(next)) {
            Some(next) => next.previous = previous,
            None => self.devices.queues[disk].last = previous,
        }
        if let Some(owner) = self.resources.domains.get_mut(domain) {
            owner.waits_at &= !(1 << disk);
        }
        Some(submission)
    }

    /// Gives a bounded number of turns at a disk that has room: one transfer each, after which the ring queues for its next.
    pub(super) fn give_turns(&mut self, disk: usize) {
        let mut turns = 0;
        while let Some(index) = self.devices.queues[disk].first
            && let known = &self.devices.disks[disk]
            // One that did not come up fails whatever comes to it.
            && (known.has_room() || !known.is_up())
            && (turns < TURNS_PER_STEP || !known.has(|_| true))
        {
            turns += 1;
            let Some(submission) = self.leave_turn(index) else { return };
            if let Err(status) = self.start_now(index, &submission) {
                let completion = Completion { cookie: submission.cookie, status, length: 0 };
                self.ring_complete(index, completion);
            }
            // Cannot fail: the ring exists.
            let _ = self.ring_submit(index);
        }
    }
}
