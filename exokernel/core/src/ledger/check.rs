//! The invariant walk, in parts that a kernel can do between other work.
//!
//! [`Ledger::check_frames`] and [`AccountWalk`] look at what one frame and one list say. If, over a
//! quiet ledger, each domain's [`Tally`] is what its account counts, then every funded frame is in exactly one list.

use super::{Account, FrameKind, Ledger};
use crate::ids::{DomainId, Frame};
use core::ops::Range;

/// Frames of a domain by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// To be mapped or delegated.
    pub user: u32,
    /// In the account.
    pub available: u32,
    /// Used by the kernel on the domain's behalf.
    pub taken: u32,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            available: self.available + other.available,
            taken: self.taken + other.taken,
        }
    }

    /// Whether the account counts the same.
    #[must_use]
    pub fn agrees_with(self, account: &Account) -> bool {
        (self.available, self.taken) == (account.available, account.taken)
    }
}

/// A walk along an account's list. The account must not change between its steps.
#[derive(Clone, Copy, Debug)]
pub struct AccountWalk {
    at: Frame,
    seen: u32,
}

impl AccountWalk {
    /// A walk from the list's head.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { at: account.head, seen: 0 }
    }

    /// Goes on for `budget` frames: `None` if there are more, else whether the list is right.
    pub fn step(&mut self, ledger: &Ledger<'_>, account: &Account, budget: u32) -> Option<bool> {
        for _ in 0..budget {
            if self.at == Frame::NONE || self.seen >= account.available {
                return Some(self.at == Frame::NONE && self.seen == account.available);
            }
            let word = ledger.word(self.at).filter(|word| word.kind == FrameKind::Funded);
            let Some(word) = word.filter(|word| word.owner == account.domain) else {
                return Some(false);
            };
            (self.at, self.seen) = (word.next, self.seen + 1);
        }
        None
    }
}

impl Ledger<'_> {
    /// How many of the frames with these numbers have entries that contradict themselves.
    #[must_use]
    pub fn check_frames(&self, frames: Range<u32>) -> u32 {
        let words = &self.words[self.indices(frames)];
        words.iter().filter(|word| !word.is_consistent()).count() as u32
    }

    /// The domain's frames among those with these numbers.
    #[must_use]
    pub fn tally(&self, domain: DomainId, frames: Range<u32>) -> Tally {
        let words = self.words[self.indices(frames)].iter();
        words.filter(|word| word.owner == domain).fold(Tally::default(), |sum, word| {
            sum.plus(Tally {
                user: u32::from(word.kind == FrameKind::User),
                available: u32::from(word.kind == FrameKind::Funded),
                taken: u32::from(word.kind.is_taken()),
            })
        })
    }

    /// The frames with these numbers that the ledger covers.
    pub(super) fn indices(&self, frames: Range<u32>) -> Range<usize> {
        let end = (frames.end as usize).min(self.words.len());
        (frames.start as usize).min(end)..end
    }

    /// The whole check at once, for tests and small machines: how many violations.
    #[must_use]
    pub fn check(&self, accounts: &[&Account]) -> u32 {
        let all = 0..self.words.len() as u32;
        let wrong = |account: &&&Account| {
            let list = AccountWalk::new(account).step(self, account, u32::MAX);
            list != Some(true) || !self.tally(account.domain, all.clone()).agrees_with(account)
        };
        self.check_frames(all.clone()) + accounts.iter().filter(wrong).count() as u32
    }
}
