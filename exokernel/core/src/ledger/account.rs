//! Accounts: the frames that a domain handed over for the kernel to use on its behalf.

use super::{FrameKind, Ledger, LedgerError};
use crate::ids::{DomainId, Frame};

/// The account of one domain. There is one per domain, in its kernel object.
#[derive(Debug)]
pub struct Account {
    pub(super) domain: DomainId,
    pub(super) head: Frame,
    pub(super) available: u32,
    pub(super) taken: u32,
}

impl Account {
    /// The empty account of `domain`, which is not [`DomainId::NONE`].
    #[must_use]
    pub const fn new(domain: DomainId) -> Self {
        Self { domain, head: Frame::NONE, available: 0, taken: 0 }
    }

    /// Whose it is.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// Frames that can be taken.
    #[inline]
    #[must_use]
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Frames that the kernel uses.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken
    }
}

impl Ledger<'_> {
    /// A frame of the account's domain, mapped nowhere, goes into its account.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing has changed then.
    pub fn give(&mut self, account: &mut Account, frame: Frame) -> Result<(), LedgerError> {
        self.at_hand(frame, account.domain)?;
        self.push(account, frame)
    }

    /// Takes a frame out of the account, to be used for `kind`: `PageTable` or `Object`. `None` if the account is
    /// empty or the kind another.
    pub fn take(&mut self, account: &mut Account, kind: FrameKind) -> Option<Frame> {
        if !kind.is_taken() {
            return None;
        }
        let frame = self.pop(account, kind)?;
        account.taken += 1;
        Some(frame)
    }

    /// A frame that was taken is not needed any more.
    ///
    /// # Errors
    /// `NotOwner` or `WrongKind` if it was not taken from this account.
    pub fn put_back(&mut self, account: &mut Account, frame: Frame) -> Result<(), LedgerError> {
        let word = self.word_mut(frame)?;
        if word.owner != account.domain {
            return Err(LedgerError::NotOwner);
        }
        if !word.kind.is_taken() {
            return Err(LedgerError::WrongKind);
        }
        account.taken -= 1;
        self.push(account, frame)
    }

    /// Gives a frame of the account back to its domain; it may hold what kernel objects left in it.
    pub fn withdraw(&mut self, account: &mut Account) -> Option<Frame> {
        self.pop(account, FrameKind::User)
    }

    fn push(&mut self, account: &mut Account, frame: Frame) -> Result<(), LedgerError> {
        let word = self.word_mut(frame)?;
        (word.kind, word.next) = (FrameKind::Funded, account.head);
        account.head = frame;
        account.available += 1;
        Ok(())
    }

    fn pop(&mut self, account: &mut Account, kind: FrameKind) -> Option<Frame> {
        let frame = account.head.some()?;
        let word = self.word_mut(frame).ok()?;
        account.head = core::mem::replace(&mut word.next, Frame::NONE);
        word.kind = kind;
        account.available -= 1;
        Some(frame)
    }
}
