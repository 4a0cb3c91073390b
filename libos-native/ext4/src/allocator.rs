//! Free space: which blocks and inodes are in use, and who gets the next.
//!
//! Owns the groups and the counts. A block is *free* if its bit is clear and no held range covers
//! it. Held are blocks that a write has chosen but not yet entered (its data go to disk first), and
//! blocks whose release is not yet durable: a crash could bring back the file that had them.
//! `available` counts what neither is in use, nor held, nor promised by a [`Budget`]; space is
//! promised before a transaction begins, so none runs out of it half-way.
mod bitmap;
mod blocks;
mod group;
mod held;
mod inodes;

pub(crate) use blocks::{Budget, Claim};
pub(crate) use group::{Group, check as check_group, protection};

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// Counts over all groups.
#[derive(Default)]
pub(crate) struct Counts {
    /// Blocks whose bit is clear.
    pub(crate) free_blocks: AtomicI64,
    /// Blocks that may be promised.
    pub(crate) available: AtomicI64,
    /// Inodes whose bit is clear.
    pub(crate) free_inodes: AtomicI64,
    /// Inodes that may be promised.
    pub(crate) available_inodes: AtomicI64,
    /// Spreads new top-level directories.
    pub(crate) next_group: AtomicU32,
    /// A file over 2 GiB was made.
    pub(crate) large_file: AtomicBool,
}

/// Takes `amount` from a count that must not become negative.
pub(crate) fn take(count: &AtomicI64, amount: u64) -> bool {
    let amount = amount as i64;
    let taken = |now: i64| (now >= amount).then(|| now - amount);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
}

pub(crate) fn add(count: &AtomicI64, amount: i64) {
    count.fetch_add(amount, Ordering::AcqRel);
}
