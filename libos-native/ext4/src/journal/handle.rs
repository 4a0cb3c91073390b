//! An operation's part in the running transaction.
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::kind::Kind;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use serix_block::BlockDevice;

/// The right to change blocks in one transaction. All changes of one handle are durable together
/// or not at all.
///
/// If an operation fails after its first change, the transaction can never be committed:
/// [`Self::finish`] then makes the file system read-only. So does dropping a handle that has
/// changed something without `finish`: a future that changes the file system must be driven to
/// its end.
pub(crate) struct Handle<'f, D: BlockDevice> {
    fs: &'f Ext4<D>,
    transaction: u32,
    credits: AtomicUsize,
    modified: AtomicBool,
}

enum Entry {
    Joined(u32),
    Full(u32),
    Closing,
}

impl<D: BlockDevice> Ext4<D> {
    /// Joins the running transaction for an operation that changes at most `credits` blocks.
    pub(crate) async fn begin(&self, credits: usize) -> Result<Handle<'_, D>> {
        let mut relieved = false;
        loop {
            self.check_writable()?;
            let entry = match self.try_begin(credits) {
                // Copies that await a checkpoint may hold the pages that are wanted.
                Err(Error::NoMemory) if !relieved => {
                    relieved = true;
                    self.relieve().await?;
                    continue;
                }
                other => other?,
            };
            match entry {
                Entry::Joined(transaction) => {
                    let (credits, modified) = (AtomicUsize::new(credits), AtomicBool::new(false));
                    return Ok(Handle { fs: self, transaction, credits, modified });
                }
                Entry::Full(transaction) => self.commit(transaction).await?,
                Entry::Closing => {
                    let open = || (!self.journal.running.lock().closing).then_some(());
                    self.journal.turned.until(open).await;
                }
            }
        }
    }

    fn try_begin(&self, credits: usize) -> Result<Entry> {
        let mut running = self.journal.running.lock();
        if running.closing {
            return Ok(Entry::Closing);
        }
        let needed = running.changes.buffers.len() + running.credits + credits;
        if needed > self.journal.limit && running.credits + running.changes.buffers.len() > 0 {
            return Ok(Entry::Full(running.transaction));
        }
        // The commit adds the superblock and builds descriptors and revokes.
        self.disk.fill_reserve(needed + 8)?;
        running.handles += 1;
        running.credits += credits;
        Ok(Entry::Joined(running.transaction))
    }

    fn end(&self, unused: usize) {
        let mut running = self.journal.running.lock();
        running.handles -= 1;
        running.credits -= unused;
        let drained = running.handles == 0 && running.closing;
        drop(running);
        if drained {
            self.journal.turned.notify();
        }
    }
}

impl<D: BlockDevice> Handle<'_, D> {
    /// The transaction's number.
    pub(crate) fn transaction(&self) -> u32 {
        self.transaction
    }

    /// Blocks that may still be added.
    pub(crate) fn credits(&self) -> usize {
        self.credits.load(Ordering::Relaxed)
    }

    /// Changes a buffer, which is sealed as `kind` at commit.
    pub(crate) fn edit<R>(
        &self,
        buffer: &Arc<Buffer>,
        kind: Kind,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.edit_part(buffer, kind, 0, change)
    }

    /// Changes a buffer of inodes: `changed` has a bit for each.
    pub(crate) fn edit_part<R>(
        &self,
        buffer: &Arc<Buffer>,
        kind: Kind,
        changed: u64,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.modified.store(true, Ordering::Relaxed);
        buffer.with(|contents| {
            if contents.transaction != Some(self.transaction) {
                contents.transaction = Some(self.transaction);
                self.add(buffer.clone());
            }
            contents.kind = Some(kind);
            contents.changed |= changed;
            change(&mut contents.bytes)
        })
    }

    fn add(&self, buffer: Arc<Buffer>) {
        let spend = |left: usize| left.checked_sub(1);
        let paid = self.credits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        let mut running = self.fs.journal.running.lock();
        running.credits -= usize::from(paid);
        running.changes.buffers.push(buffer);
    }

    /// A block that held metadata is free from this transaction on.
    pub(crate) fn forget(&self, block: u64) {
        self.modified.store(true, Ordering::Relaxed);
        if let Some(buffer) = self.fs.cache.remove(block) {
            buffer.with(|contents| contents.transaction = None);
        }
        // A copy in the log would be replayed over what the block holds next.
        if self.fs.journal.is_pending(block) {
            self.fs.journal.running.lock().changes.revoked.insert(block);
        }
    }

    /// Blocks that are free again once the transaction is durable.
    pub(crate) fn release(&self, start: u64, len: u32) {
        self.modified.store(true, Ordering::Relaxed);
        self.fs.journal.running.lock().changes.freed.push((start, len));
    }

    /// Ends the operation.
    pub(crate) fn finish<T>(self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && self.modified.load(Ordering::Relaxed)
        {
            self.fs.fail(*error);
        }
        self.modified.store(false, Ordering::Relaxed);
        outcome
    }
}

impl<D: BlockDevice> Drop for Handle<'_, D> {
    fn drop(&mut self) {
        if *self.modified.get_mut() {
            self.fs.fail(Error::corrupt_block("operation dropped half-way", 0));
        }
        self.fs.end(*self.credits.get_mut());
    }
}
