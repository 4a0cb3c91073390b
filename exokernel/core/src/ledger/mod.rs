//! The frame ledger: whose each frame of RAM is, and what it is used for.
//!
//! Owns one word per frame below the end of RAM. Accounts lie in the kernel's domain objects and reach their frames by a list through the words. Invariant: a frame has one
//! owner, because it has one word; an account's list has exactly the funded frames of its domain.

mod account;
mod check;
mod frame;

pub use account::Account;
pub use check::{AccountWalk, Tally};
pub use frame::{FrameKind, FrameWord};

use crate::ids::{DomainId, Frame};
use crate::nospec::mask_index;

/// Why the ledger refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// Past the end of RAM.
    Absent,
    /// Another domain's, or nobody's.
    NotOwner,
    /// In use for something else.
    WrongKind,
}

/// A run of frames in the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First frame.
    pub base: Frame,
    /// How many.
    pub count: u32,
    /// `Free` for usable RAM, `Kernel` for what is in use already, `Device`, or `Absent`.
    pub kind: FrameKind,
}

/// The ledger.
pub struct Ledger<'a> {
    words: &'a mut [FrameWord],
}

impl<'a> Ledger<'a> {
    /// A ledger over `words.len()` frames from frame 0 on. `map` may overlap: what is not usable wins over what is
    /// free, as boot loaders' maps are read. Frames past the end are left out.
    #[must_use]
    pub fn new(map: impl Iterator<Item = MemoryRange> + Clone, words: &'a mut [FrameWord]) -> Self {
        words.fill(FrameWord::ABSENT);
        let mut ledger = Self { words };
        let is_free = |range: &MemoryRange| range.kind == FrameKind::Free;
        map.clone().filter(is_free).for_each(|range| ledger.describe(range));
        map.filter(|range| !is_free(range)).for_each(|range| ledger.describe(range));
        ledger
    }

    fn describe(&mut self, range: MemoryRange) {
        debug_assert!(!range.kind.is_owned(), "nobody owns anything yet");
        let end = range.base.0.saturating_add(range.count);
        let frames = self.indices(range.base.0..end);
        self.words[frames].iter_mut().for_each(|word| word.kind = range.kind);
    }

    /// How many frames it covers.
    #[must_use]
    pub fn frame_count(&self) -> usize {
        self.words.len()
    }

    /// The entry of a frame; speculation-safe.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, frame: Frame) -> Option<&FrameWord> {
        let index = frame.0 as usize;
        if index >= self.words.len() {
            return None;
        }
        self.words.get(mask_index(index, self.words.len()))
    }

    fn word_mut(&mut self, frame: Frame) -> Result<&mut FrameWord, LedgerError> {
        self.words.get_mut(frame.0 as usize).ok_or(LedgerError::Absent)
    }

    /// The entry of a frame that `owner` may dispose of: its own, used for nothing else.
    fn at_hand(&mut self, frame: Frame, owner: DomainId) -> Result<&mut FrameWord, LedgerError> {
        let word = self.word_mut(frame)?;
        if word.owner != owner || owner == DomainId::NONE {
            Err(LedgerError::NotOwner)
        } else if word.kind != FrameKind::User {
            Err(LedgerError::WrongKind)
        } else {
            Ok(word)
        }
    }

    /// Whether `domain` may map the frame.
    #[inline(always)]
    #[must_use]
    pub fn is_mappable_by(&self, frame: Frame, domain: DomainId) -> bool {
        self.word(frame).is_some_and(|word| word.kind == FrameKind::User && word.owner == domain)
    }

    /// A free frame becomes `owner`'s.
    ///
    /// # Errors
    /// `WrongKind` if it is not free, `NotOwner` if `owner` is nobody.
    pub fn assign(&mut self, frame: Frame, owner: DomainId) -> Result<(), LedgerError> {
        let word = self.word_mut(frame)?;
        if owner == DomainId::NONE {
            return Err(LedgerError::NotOwner);
        }
        if word.kind != FrameKind::Free {
            return Err(LedgerError::WrongKind);
        }
        (word.kind, word.owner) = (FrameKind::User, owner);
        Ok(())
    }

    /// A frame of `from` becomes `to`'s. The caller has unmapped it and, if the domains differ, zeroed it.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing has changed then.
    pub fn transfer(
        &mut self,
        frame: Frame,
        from: DomainId,
        to: DomainId,
    ) -> Result<(), LedgerError> {
        if to == DomainId::NONE {
            return Err(LedgerError::NotOwner);
        }
        self.at_hand(frame, from)?.owner = to;
        Ok(())
    }
}
