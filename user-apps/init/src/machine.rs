//! What init itself works with: its own frames, account, window and events.

use alloc::format;
use alloc::vec::Vec;
use serix_sys::{Error, Result, Slot, call};

use crate::frames::Piece;
use crate::inventory::Inventory;
use crate::raw;
use crate::report;

/// Frames handed to init's account at a time.
const ACCOUNT_STEP: u64 = 16;

/// Frames that init keeps to pay for what the kernel makes for it.
pub struct Account {
    left: Piece,
}

impl Account {
    /// An account that can grow by these frames.
    #[must_use]
    pub const fn new(left: Piece) -> Self {
        Self { left }
    }

    /// Makes a call that init pays for, again with more frames while the account is empty.
    ///
    /// # Errors
    /// As the call; `NoFrames` when nothing is left to pay with.
    pub fn paying<T>(&mut self, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match call() {
                Err(Error::NoFrames) if self.left.count > 0 => self.grow()?,
                other => return other,
            }
        }
    }

    fn grow(&mut self) -> Result<()> {
        let count = self.left.count.min(ACCOUNT_STEP);
        raw::fund(Slot::NONE, Piece { count, ..self.left })?;
        self.left.first += count;
        self.left.count -= count;
        Ok(())
    }
}

/// Bits of init's event.
pub mod bits {
    /// Session `index` ended; there are at most 16.
    #[must_use]
    pub const fn ended(index: usize) -> u64 {
        1 << index
    }
    /// Any session ended.
    pub const ANY_ENDED: u64 = 0xFFFF;
    /// A transfer of init's own completed.
    pub const TRANSFER: u64 = 1 << 32;
}

/// Init's own means.
pub struct Machine {
    /// What the kernel handed over.
    pub inventory: Inventory,
    /// Pays for kernel objects.
    pub account: Account,
    /// Where frames are filled.
    pub window: raw::Window,
    /// What init waits for.
    pub event: Slot,
}

impl Machine {
    /// Ends a domain and takes back all that it had; afterwards the same resources can be given again.
    pub fn take_back(&mut self, domain: crate::start::Domain) {
        let mut failures = Vec::new();
        let mut note = |what: &'static str, result: Result<u64>| {
            // A slot that the kernel has emptied already is as good as one emptied here.
            if let Err(error) = result
                && error != Error::BadSlot
            {
                failures.push((what, error));
            }
        };
        note("destroy the domain", call::domain_destroy(domain.slot));
        for &delegation in domain.delegations.iter().rev() {
            note("revoke", call::revoke(delegation));
            note("empty a delegation's slot", call::unbind(delegation));
        }
        for &object in domain.objects.iter().chain([&domain.slot]) {
            note("empty an object's slot", call::unbind(object));
        }
        for (what, error) in failures {
            report::log(format_args!("cannot {what} of an ended session: {error:?}"));
        }
    }

    /// Compares the kernel's tables with its ledger; violations found, if the kernel could be asked.
    #[must_use]
    pub fn audit(&self) -> Option<u64> {
        let violations = call::ledger_check(self.inventory.log?);
        let text = violations.map_or_else(
            |error| format!("ledger check failed: {error:?}"),
            |count| format!("ledger check: {count} violations"),
        );
        report::log(format_args!("{text}"));
        violations.ok()
    }
}
