//! Checkpoints: what the log holds goes to its place, and the log is empty again.
use super::Log;
use crate::error::Result;
use crate::file_system::Ext4;
use alloc::vec::Vec;
use serix_block::BlockDevice;

impl<D: BlockDevice> Ext4<D> {
    /// Writes all committed copies in place; the next transaction begins the log anew.
    pub(crate) async fn checkpoint(&self, log: &mut Option<Log>) -> Result<()> {
        let next = self.journal.running.lock().committed.wrapping_add(1);
        match log {
            Some(log) => self.checkpoint_log(log, next).await,
            None => Ok(()),
        }
    }

    /// Commits and checkpoints, so that the pages that both hold are in the reserve again.
    pub(super) async fn relieve(&self) -> Result<()> {
        if !self.journal.is_idle() {
            self.commit(self.journal.current()).await?;
        }
        let mut log = self.journal.log.lock().await;
        let outcome = self.checkpoint(&mut log).await;
        if let Err(error) = &outcome {
            self.fail(*error);
        }
        outcome
    }

    /// As [`Self::checkpoint`]; `next` is the first transaction that the log will hold.
    pub(super) async fn checkpoint_log(&self, log: &mut Log, next: u32) -> Result<()> {
        let mut list: Vec<(u64, D::Page)> = {
            let pending = self.journal.pending.lock();
            pending.committed.iter().map(|(block, page)| (*block, page.clone())).collect()
        };
        list.sort_unstable_by_key(|(block, _)| *block);
        self.disk.write_pages(&list).await?;
        self.disk.flush().await?;
        if log.live {
            // Durable before the ring's old blocks are overwritten: a replay that began among
            // them would put old copies over newer blocks.
            let head = log.head;
            log.write_superblock(&self.disk, head, next).await?;
            self.disk.flush().await?;
        }
        log.used = 0;
        let mut pending = self.journal.pending.lock();
        for (block, page) in list {
            pending.committed.remove(&block);
            self.disk.put_reserve(page, self.journal.limit);
        }
        Ok(())
    }

    /// Empties the log and says so on disk: a clean unmount.
    pub(crate) async fn close_log(&self) -> Result<()> {
        let mut log = self.journal.log.lock().await;
        self.checkpoint(&mut log).await?;
        if let Some(log) = log.as_mut()
            && log.live
        {
            let next = self.journal.running.lock().committed.wrapping_add(1);
            log.write_superblock(&self.disk, 0, next).await?;
            self.disk.flush().await?;
            log.live = false;
        }
        if self.is_marked_dirty() {
            self.mark_superblock(false).await?;
        }
        Ok(())
    }
}
