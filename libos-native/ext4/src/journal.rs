//! Transactions: which buffers change together, and how they reach the disk.
//!
//! One transaction is *running*. An operation joins it with a [`Handle`] for the number of blocks
//! it may change; its commit waits until all handles are gone, copies the changed buffers into
//! pages, opens the next transaction, and only then writes. Copies stay in `pending` until a
//! checkpoint wrote them in place; whoever reads such a block from disk gets the copy instead. So
//! no buffer is ever held back for a commit, and the cache may evict what it likes.
//!
//! Order of waits: inode locks, then a handle, then buffers. Who holds a handle never waits for an
//! inode lock or a commit.
mod checkpoint;
mod commit;
mod handle;
mod log;
mod recovery;

pub(crate) use handle::Handle;
pub(crate) use log::{Log, Part};

use crate::cache::{Buffer, NumberMap};
use crate::error::Error;
use crate::wait::WaitList;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::Page;
use spin::Mutex;

/// What the running transaction holds.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) buffers: Vec<Arc<Buffer>>,
    /// Blocks whose copies in the log must not be replayed any more.
    pub(crate) revoked: BTreeSet<u64>,
    /// Blocks that can be used again after the commit.
    pub(crate) freed: Vec<(u64, u32)>,
}

pub(crate) struct Running {
    pub(crate) transaction: u32,
    /// The last transaction that is durable.
    pub(crate) committed: u32,
    handles: usize,
    /// Blocks that open handles may still add.
    credits: usize,
    /// A commit waits for the handles to end; no new one may begin.
    closing: bool,
    pub(crate) changes: Changes,
}

/// Copies of blocks whose place on disk is older.
pub(crate) struct Pending<P> {
    /// Committed, not yet in place.
    committed: NumberMap<u64, P>,
    /// Of the transaction that is being committed.
    committing: NumberMap<u64, P>,
}

pub(crate) struct Journal<P: Page> {
    pub(crate) running: Mutex<Running>,
    pub(crate) turned: WaitList,
    pub(crate) pending: Mutex<Pending<P>>,
    /// The log's position; held by whoever commits. `None` without a journal.
    pub(crate) log: async_lock::Mutex<Option<Log>>,
    pub(crate) failure: Mutex<Option<Error>>,
    /// Blocks in one transaction, at most.
    pub(crate) limit: usize,
}

impl<P: Page> Journal<P> {
    /// A journal whose first transaction is `first`.
    pub(crate) fn new(log: Option<Log>, first: u32, limit: usize) -> Self {
        let running = Running {
            transaction: first,
            committed: first.wrapping_sub(1),
            handles: 0,
            credits: 0,
            closing: false,
            changes: Changes::default(),
        };
        let pending = Pending { committed: NumberMap::default(), committing: NumberMap::default() };
        Self {
            running: Mutex::new(running),
            turned: WaitList::default(),
            pending: Mutex::new(pending),
            log: async_lock::Mutex::new(log),
            failure: Mutex::new(None),
            limit,
        }
    }

    /// Copies the newest committed contents of a block, if its place on disk is older.
    pub(crate) fn read_pending(&self, block: u64, into: &mut [u8]) -> bool {
        let pending = self.pending.lock();
        let copy = pending.committing.get(&block).or_else(|| pending.committed.get(&block));
        copy.inspect(|page| page.read(0, into)).is_some()
    }

    fn is_pending(&self, block: u64) -> bool {
        let pending = self.pending.lock();
        pending.committing.contains_key(&block) || pending.committed.contains_key(&block)
    }

    /// The running transaction's number.
    pub(crate) fn current(&self) -> u32 {
        self.running.lock().transaction
    }

    /// Whether nothing waits for a commit, or for the end of one.
    pub(crate) fn is_idle(&self) -> bool {
        let running = self.running.lock();
        let is_committed = running.committed.wrapping_add(1) == running.transaction;
        is_committed && running.changes.buffers.is_empty() && running.changes.freed.is_empty()
    }
}
