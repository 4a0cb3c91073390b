//! The slice vector of a core: who owns which turn.

/// Turns in the vector.
pub(crate) const SLICES: usize = 64;
/// Length of a turn, in nanoseconds.
pub(crate) const SLICE_NS: u64 = 10_000_000;

/// A vector of turns, taken one after the other.
pub(crate) struct SliceVector {
    owners: [u32; SLICES],
    at: usize,
}

impl SliceVector {
    /// All turns of one domain.
    pub(crate) fn new(owner: u32) -> Self {
        Self { owners: [owner; SLICES], at: 0 }
    }

    /// The domain whose turn it is.
    pub(crate) fn owner(&self) -> u32 {
        self.owners[self.at]
    }

    /// Gives turns to a domain.
    pub(crate) fn assign(&mut self, first: usize, count: usize, owner: u32) {
        self.owners[first..first + count].fill(owner);
    }

    /// Takes all turns of a domain back for another.
    pub(crate) fn reassign(&mut self, from: u32, to: u32) {
        self.owners.iter_mut().filter(|owner| **owner == from).for_each(|owner| *owner = to);
    }

    /// Goes to the next turn whose owner can use it, at most once around; false if none can.
    pub(crate) fn advance(&mut self, is_runnable: impl Fn(u32) -> bool) -> bool {
        for step in 1..=SLICES {
            let at = (self.at + step) % SLICES;
            if is_runnable(self.owners[at]) {
                self.at = at;
                return true;
            }
        }
        false
    }
}
