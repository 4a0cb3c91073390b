//! The slice vector of a core: who runs when.
//!
//! Owns the order and the owners of a core's time slices, nothing of what an owner does with one. Invariant: an owner
//! that stays runnable and keeps a slice is chosen again after at most one round of the vector.

use crate::extent::Extent;
use crate::ids::DomainId;

/// One slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whose it is; [`DomainId::NONE`]: nobody's, skipped.
    pub owner: DomainId,
    /// Its length, in nanoseconds.
    pub length_ns: u32,
}

/// The slice that runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its place in the vector.
    pub index: usize,
    /// The slice.
    pub slice: Slice,
}

/// Why slices did not change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceError {
    /// Not all in the vector, or none at all.
    Outside,
    /// One of them is another domain's.
    NotOwner,
}

/// The vector of one core. The slices are of the boot code's making, a few hundred at most: a round of the vector is the
/// work of the worst call.
#[derive(Debug)]
pub struct SliceVector<'a> {
    slices: &'a mut [Slice],
    /// The slice after the one that was last chosen.
    next: usize,
}

impl<'a> SliceVector<'a> {
    /// A vector of these slices, starting with the first.
    #[must_use]
    pub fn new(slices: &'a mut [Slice]) -> Self {
        Self { slices, next: 0 }
    }

    /// How many slices a round has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// A slice.
    #[must_use]
    pub fn slice(&self, index: usize) -> Option<Slice> {
        self.slices.get(index).copied()
    }

    /// Whether a domain has a slice.
    #[must_use]
    pub fn has(&self, domain: DomainId) -> bool {
        self.slices.iter().any(|slice| slice.owner == domain)
    }

    /// Chooses the next slice in order whose owner is runnable. `None` if there is none: the core idles.
    pub fn next(&mut self, is_runnable: impl Fn(DomainId) -> bool) -> Option<Turn> {
        let (passed, coming) = self.slices.split_at(self.next);
        let order = coming.iter().chain(passed).enumerate();
        let wanted = |slice: &Slice| slice.owner != DomainId::NONE && is_runnable(slice.owner);
        let (distance, slice) = order.into_iter().find(|(_, slice)| wanted(slice))?;
        let index = wrap(self.next + distance, self.slices.len());
        let slice = *slice;
        self.next = wrap(index + 1, self.slices.len());
        Some(Turn { index, slice })
    }

    /// The slices of `range` go from `from` to `to` ([`DomainId::NONE`]: nobody).
    ///
    /// # Errors
    /// See [`SliceError`]; nothing has changed then.
    pub fn assign(
        &mut self,
        range: Extent,
        from: DomainId,
        to: DomainId,
    ) -> Result<(), SliceError> {
        let base = usize::try_from(range.base()).map_err(|_| SliceError::Outside)?;
        let end = usize::try_from(range.end()).map_err(|_| SliceError::Outside)?;
        let slices = self.slices.get_mut(base..end).ok_or(SliceError::Outside)?;
        if slices.is_empty() {
            return Err(SliceError::Outside);
        }
        if slices.iter().any(|slice| slice.owner != from) {
            return Err(SliceError::NotOwner);
        }
        slices.iter_mut().for_each(|slice| slice.owner = to);
        Ok(())
    }

    /// All slices of a domain that ended become `heir`'s. Says how many.
    pub fn reassign_all(&mut self, from: DomainId, heir: DomainId) -> usize {
        let owned = self.slices.iter_mut().filter(|slice| slice.owner == from);
        owned.map(|slice| slice.owner = heir).count()
    }
}

/// `index`, which is less than two rounds, as a place in a vector of `len`.
fn wrap(index: usize, len: usize) -> usize {
    if index < len { index } else { index - len }
}
