//! Deadlines: a binary heap of fixed capacity.
//!
//! Owns who waits until when, for small ids (waiters) with at most one deadline each. The storage is one slice of
//! the boot code's making, as long as there are ids, so an insertion never fails for lack of room. Invariant: no
//! deadline is earlier than its parent's in the heap, and the position of each id leads to its entry.

/// The storage: place `i` holds the heap's entry `i` and the position of id `i`.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineSlot {
    deadline_ns: u64,
    id: u32,
    position: u32,
}

const NOWHERE: u32 = u32::MAX;

impl DeadlineSlot {
    /// What the slice is filled with.
    pub const EMPTY: Self = Self { deadline_ns: 0, id: 0, position: NOWHERE };
}

/// An id past the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchId;

/// The heap.
#[derive(Debug)]
pub struct Deadlines<'a> {
    slots: &'a mut [DeadlineSlot],
    count: usize,
    /// That of the first slot, or `u64::MAX`.
    earliest_ns: u64,
}

impl<'a> Deadlines<'a> {
    /// No deadlines, for ids below `slots.len()`.
    #[must_use]
    pub fn new(slots: &'a mut [DeadlineSlot]) -> Self {
        slots.fill(DeadlineSlot::EMPTY);
        Self { slots, count: 0, earliest_ns: u64::MAX }
    }

    /// How many ids have a deadline.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The earliest deadline and its id.
    #[inline(always)]
    #[must_use]
    pub fn peek(&self) -> Option<(u64, u32)> {
        self.slots[..self.count].first().map(|slot| (slot.deadline_ns, slot.id))
    }

    /// The earliest deadline; `u64::MAX` if there is none.
    #[inline(always)]
    #[must_use]
    pub fn earliest_ns(&self) -> u64 {
        self.earliest_ns
    }

    /// Whether `id` has a deadline.
    #[inline(always)]
    #[must_use]
    pub fn has(&self, id: u32) -> bool {
        self.count > 0 && self.position(id).is_some()
    }

    /// Sets the deadline of `id`, in place of one that it had. In time logarithmic in the number of deadlines, as
    /// all that follows.
    ///
    /// # Errors
    /// [`NoSuchId`] for an id past the capacity.
    pub fn insert(&mut self, id: u32, deadline_ns: u64) -> Result<(), NoSuchId> {
        if id as usize >= self.slots.len() {
            return Err(NoSuchId);
        }
        self.remove(id);
        let last = self.count;
        self.count += 1;
        self.put(last, deadline_ns, id);
        self.rise(last);
        self.note_earliest();
        Ok(())
    }

    /// Removes the deadline of `id`; whether it had one.
    pub fn remove(&mut self, id: u32) -> bool {
        let Some(position) = self.position(id) else { return false };
        self.slots[id as usize].position = NOWHERE;
        self.count -= 1;
        if position != self.count {
            let DeadlineSlot { deadline_ns, id, .. } = self.slots[self.count];
            self.put(position, deadline_ns, id);
            self.rise(position);
            self.sink(position);
        }
        self.note_earliest();
        true
    }

    fn note_earliest(&mut self) {
        self.earliest_ns = self.peek().map_or(u64::MAX, |(deadline_ns, _)| deadline_ns);
    }

    /// Removes the earliest deadline that is not later than `now_ns`, and names its id.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        let (deadline_ns, id) = self.peek()?;
        (deadline_ns <= now_ns && self.remove(id)).then_some(id)
    }

    #[inline(always)]
    fn position(&self, id: u32) -> Option<usize> {
        let position = self.slots.get(id as usize)?.position;
        (position != NOWHERE).then_some(position as usize)
    }

    fn put(&mut self, position: usize, deadline_ns: u64, id: u32) {
        let slot = &mut self.slots[position];
        (slot.deadline_ns, slot.id) = (deadline_ns, id);
        self.slots[id as usize].position = position as u32;
    }

    fn is_earlier(&self, one: usize, other: usize) -> bool {
        self.slots[one].deadline_ns < self.slots[other].deadline_ns
    }

    fn swap(&mut self, one: usize, other: usize) {
        let (a, b) = (self.slots[one], self.slots[other]);
        self.put(one, b.deadline_ns, b.id);
        self.put(other, a.deadline_ns, a.id);
    }

    fn rise(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if !self.is_earlier(position, parent) {
                return;
            }
            self.swap(position, parent);
            position = parent;
        }
    }

    fn sink(&mut self, mut position: usize) {
        loop {
            let left = 2 * position + 1;
            let children = left..(left + 2).min(self.count);
            let earliest = children.min_by_key(|child| self.slots[*child].deadline_ns);
            match earliest {
                Some(child) if self.is_earlier(child, position) => {
                    self.swap(child, position);
                    position = child;
                }
                _ => return,
            }
        }
    }
}
