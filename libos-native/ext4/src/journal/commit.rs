//! Commits: the running transaction becomes durable.
use super::{Changes, Log};
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::kind::Kind;
use crate::layout::journal::{Format, MAGIC, Tag, is_before};
use crate::layout::superblock;
use alloc::vec;
use alloc::vec::Vec;
use serix_block::{BlockDevice, Page};

/// A block of a transaction, copied.
struct Copied<P> {
    block: u64,
    page: P,
    escaped: bool,
    checksum: u32,
}

/// A transaction on its way to the disk.
struct Batch<P> {
    transaction: u32,
    blocks: Vec<Copied<P>>,
    revoked: Vec<u64>,
    freed: Vec<(u64, u32)>,
}

impl<D: BlockDevice> Ext4<D> {
    /// Makes everything durable up to transaction `through`. Callers that come while a commit is
    /// under way share the next one.
    pub(crate) async fn commit(&self, through: u32) -> Result<()> {
        let mut log = self.journal.log.lock().await;
        if !is_before(self.journal.running.lock().committed, through) {
            return Ok(());
        }
        self.check_alive()?;
        let outcome = self.commit_running(&mut log).await;
        if let Err(error) = &outcome {
            self.fail(*error);
        }
        self.cache.shrink();
        outcome
    }

    async fn commit_running(&self, log: &mut Option<Log>) -> Result<()> {
        self.close().await;
        let batch = self.take_batch(log.as_ref());
        self.journal.turned.notify();
        let Some(mut batch) = batch? else {
            // Nothing changed, but data may be on its way.
            return self.disk.flush().await;
        };
        batch.blocks.sort_unstable_by_key(|copied| copied.block);
        match log {
            Some(log) => self.write_log(log, &batch).await?,
            None => self.write_in_place(&batch).await?,
        }
        self.settle(batch, log.is_some());
        if log.is_some() && self.journal.pending.lock().committed.len() > self.journal.limit {
            self.checkpoint(log).await?;
        }
        Ok(())
    }

    /// Keeps new handles out and waits for those that are open.
    async fn close(&self) {
        self.journal.running.lock().closing = true;
        let drained = || (self.journal.running.lock().handles == 0).then_some(());
        self.journal.turned.until(drained).await;
    }

    /// Copies what changed and opens the next transaction. Nothing here waits. Without a change
    /// the transaction stays open: the log knows no gaps.
    fn take_batch(&self, log: Option<&Log>) -> Result<Option<Batch<D::Page>>> {
        let (transaction, mut changes) = {
            let mut running = self.journal.running.lock();
            (running.transaction, core::mem::take(&mut running.changes))
        };
        // A handle that failed half-way while we waited left this transaction unfit.
        let sealed = self.check_alive().and_then(|()| {
            self.seal(transaction, &mut changes);
            self.copy(transaction, &changes, log)
        });
        let is_empty = changes.buffers.is_empty();
        let mut running = self.journal.running.lock();
        running.transaction = transaction.wrapping_add(u32::from(!is_empty));
        running.closing = false;
        drop(running);
        let blocks = sealed?;
        let revoked = changes.revoked.into_iter().collect();
        let batch = Batch { transaction, blocks, revoked, freed: changes.freed };
        Ok((!is_empty).then_some(batch))
    }

    /// Brings checksums and counts up to date: bitmaps before the descriptors that hold their
    /// checksums, the superblock last.
    fn seal(&self, transaction: u32, changes: &mut Changes) {
        if changes.buffers.is_empty() {
            return;
        }
        let order = |kind: Option<Kind>| matches!(kind, Some(Kind::Descriptors(_)));
        changes.buffers.sort_by_cached_key(|buffer| buffer.with(|now| order(now.kind)));
        for buffer in &changes.buffers {
            buffer.with(|contents| {
                let (Some(kind), true) = (contents.kind, contents.transaction == Some(transaction))
                else {
                    return;
                };
                self.seal_group_block(kind, &mut contents.bytes);
                self.rules.seal(kind, buffer.block(), &mut contents.bytes, contents.changed);
                contents.changed = 0;
            });
        }
        self.seal_superblock(transaction, changes);
    }

    fn seal_superblock(&self, transaction: u32, changes: &mut Changes) {
        let buffer = &self.superblock_buffer;
        buffer.with(|contents| {
            self.store_counts(&mut contents.bytes);
            self.rules.seal(Kind::Superblock, buffer.block(), &mut contents.bytes, 0);
            if contents.transaction != Some(transaction) {
                contents.transaction = Some(transaction);
                changes.buffers.push(buffer.clone());
            }
        });
    }

    fn copy(
        &self,
        transaction: u32,
        changes: &Changes,
        log: Option<&Log>,
    ) -> Result<Vec<Copied<D::Page>>> {
        let mut blocks = Vec::with_capacity(changes.buffers.len());
        let format = log.map(|log| log.superblock.format);
        for buffer in &changes.buffers {
            let page = self.disk.take_reserve().ok_or(Error::NoMemory)?;
            let copied = buffer.with(|contents| {
                // One that was freed after it changed is not written.
                let held = contents.transaction.take() == Some(transaction);
                held.then(|| copy_buffer(&page, &mut contents.bytes, transaction, format))
            });
            match copied {
                Some((escaped, checksum)) => {
                    blocks.push(Copied { block: buffer.block(), page, escaped, checksum });
                }
                None => self.disk.put_reserve(page, self.journal.limit),
            }
        }
        let mut pending = self.journal.pending.lock();
        pending.committing = blocks.iter().map(|copy| (copy.block, copy.page.clone())).collect();
        Ok(blocks)
    }

    async fn write_in_place(&self, batch: &Batch<D::Page>) -> Result<()> {
        if !self.is_marked_dirty() {
            self.mark_superblock(true).await?;
        }
        let list: Vec<_> =
            batch.blocks.iter().map(|copy| (copy.block, copy.page.clone())).collect();
        self.disk.write_pages(&list).await?;
        self.disk.flush().await
    }

    /// Writes a transaction to the log: its blocks, a barrier, the commit block, a barrier.
    async fn write_log(&self, log: &mut Log, batch: &Batch<D::Page>) -> Result<()> {
        let size = self.disk.block_size();
        let format = log.superblock.format;
        let descriptors = batch.blocks.len().div_ceil(format.tags_per_block(size));
        let revokes = batch.revoked.len().div_ceil(format.revokes_per_block(size));
        let needed = batch.blocks.len() + descriptors + revokes + 1;
        if !log.fits(needed) {
            self.checkpoint_log(log, batch.transaction).await?;
        }
        if !log.fits(needed) {
            return Err(Error::corrupt_block("transaction larger than the journal", 0));
        }
        self.make_live(log, batch.transaction).await?;
        let list = self.log_blocks(log, batch)?;
        self.disk.write_pages(&list).await?;
        self.disk.flush().await?;
        let place = log.take()?;
        let mut bytes = vec![0; size];
        let now = (self.options.clock)();
        let time = (now.seconds.max(0) as u64, now.nanoseconds);
        format.commit(&mut bytes, batch.transaction, time);
        self.disk.write_block(place, &bytes).await?;
        self.disk.flush().await
    }

    /// Says on disk that the log must be replayed, before the first commit.
    async fn make_live(&self, log: &mut Log, transaction: u32) -> Result<()> {
        if log.live {
            return Ok(());
        }
        self.mark_superblock(true).await?;
        log.write_superblock(&self.disk, log.head, transaction).await?;
        self.disk.flush().await?;
        log.live = true;
        Ok(())
    }

    /// Lays revoke blocks, descriptors and copies out in the ring.
    fn log_blocks(&self, log: &mut Log, batch: &Batch<D::Page>) -> Result<Vec<(u64, D::Page)>> {
        let size = self.disk.block_size();
        let format = log.superblock.format;
        let mut bytes = vec![0; size];
        let mut list = Vec::with_capacity(batch.blocks.len() + 8);
        for revoked in batch.revoked.chunks(format.revokes_per_block(size)) {
            format.revoke(&mut bytes, batch.transaction, revoked);
            list.push((log.take()?, self.page_of(&bytes)?));
        }
        for blocks in batch.blocks.chunks(format.tags_per_block(size)) {
            let tags: Vec<_> = blocks.iter().map(Copied::tag).collect();
            format.descriptor(&mut bytes, batch.transaction, &tags);
            list.push((log.take()?, self.page_of(&bytes)?));
            for copied in blocks {
                list.push((log.take()?, self.logged_page(copied)?));
            }
        }
        Ok(list)
    }

    fn page_of(&self, bytes: &[u8]) -> Result<D::Page> {
        let page = self.disk.take_reserve().ok_or(Error::NoMemory)?;
        page.write(0, bytes);
        Ok(page)
    }

    /// The page as it goes to the log: a block that looks like the journal's own is disguised.
    fn logged_page(&self, copied: &Copied<D::Page>) -> Result<D::Page> {
        if !copied.escaped {
            return Ok(copied.page.clone());
        }
        let mut bytes = vec![0; self.disk.block_size()];
        copied.page.read(0, &mut bytes);
        bytes[..4].fill(0);
        self.page_of(&bytes)
    }

    /// The transaction is durable: what it freed can be used, what it revoked is forgotten.
    fn settle(&self, batch: Batch<D::Page>, has_log: bool) {
        let mut unused = Vec::new();
        {
            let mut pending = self.journal.pending.lock();
            let committing = core::mem::take(&mut pending.committing);
            for block in &batch.revoked {
                unused.extend(pending.committed.remove(block));
            }
            for (block, page) in committing {
                let old = if has_log { pending.committed.insert(block, page) } else { Some(page) };
                unused.extend(old);
            }
        }
        drop(batch.blocks);
        unused.into_iter().for_each(|page| self.disk.put_reserve(page, self.journal.limit));
        for (start, len) in batch.freed {
            self.release_blocks(start, len);
        }
        self.journal.running.lock().committed = batch.transaction;
    }

    /// Changes the superblock in place: whether the file system is in use and, with a journal,
    /// whether that must be replayed. What running transactions change of it stays out.
    pub(crate) async fn mark_superblock(&self, in_use: bool) -> Result<()> {
        let buffer = &self.superblock_buffer;
        let mut bytes = self.disk.read_block(buffer.block()).await?;
        self.mark_bytes(&mut bytes, in_use);
        if !in_use {
            // All is durable and in place: these are the counts of what is on disk.
            self.store_counts(&mut bytes);
        }
        self.rules.seal(Kind::Superblock, buffer.block(), &mut bytes, 0);
        buffer.with(|contents| self.mark_bytes(&mut contents.bytes, in_use));
        self.disk.write_block(buffer.block(), &bytes).await?;
        self.set_marked_dirty(in_use);
        self.disk.flush().await
    }

    fn mark_bytes(&self, block: &mut [u8], in_use: bool) {
        let at = superblock::OFFSET % block.len();
        let bytes = &mut block[at..at + superblock::SIZE];
        if self.rules.superblock.has_journal() {
            superblock::set_needs_recovery(bytes, in_use);
        } else {
            let state = self.rules.superblock.state;
            let state = if in_use { state & !superblock::STATE_VALID } else { state };
            superblock::set_state(bytes, state);
        }
        superblock::set_write_time(bytes, self.now().seconds);
    }
}

/// Copies a block to its page; answers whether it is disguised in the log, and its checksum there.
fn copy_buffer<P: Page>(
    page: &P,
    bytes: &mut [u8],
    transaction: u32,
    format: Option<Format>,
) -> (bool, u32) {
    page.write(0, bytes);
    let Some(format) = format else { return (false, 0) };
    if bytes[..4] != MAGIC.to_be_bytes() {
        return (false, format.data_checksum(transaction, bytes));
    }
    bytes[..4].fill(0);
    let checksum = format.data_checksum(transaction, bytes);
    bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
    (true, checksum)
}

impl<P> Copied<P> {
    fn tag(&self) -> Tag {
        Tag { block: self.block, escaped: self.escaped, checksum: self.checksum }
    }
}
