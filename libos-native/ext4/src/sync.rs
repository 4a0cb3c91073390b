//! Making things durable, and ending the mount.
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::layout::journal::is_before;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use serix_block::BlockDevice;

impl<D: BlockDevice> Ext4<D> {
    /// Makes a file's stored data and attributes durable, and its name if it is new; with
    /// `data_only` no more than what is needed to read the data back. Others that wait for the same
    /// share one commit.
    ///
    /// # Errors
    /// `Io`; after a failure that made the file system read-only, that failure.
    pub async fn fsync(&self, number: u32, data_only: bool) -> Result<()> {
        self.check_alive()?;
        let written = self.disk.written();
        let node = self.any_node(number).await?;
        let through = node.last_change(data_only);
        if is_before(self.journal.running.lock().committed, through) {
            self.commit(through).await?;
        }
        self.flush_through(written).await
    }

    async fn flush_through(&self, written: u64) -> Result<()> {
        let outcome = self.disk.flush_through(written).await;
        if let Err(error) = &outcome {
            // What the device lost is not known: nothing may be built on it.
            self.fail(*error);
        }
        // Nor on what somebody else's flush lost meanwhile.
        outcome.and_then(|()| self.check_alive())
    }

    /// Makes everything durable that was changed before this call.
    ///
    /// # Errors
    /// As [`Self::fsync`].
    pub async fn sync(&self) -> Result<()> {
        self.check_alive()?;
        let written = self.disk.written();
        if !self.journal.is_idle() {
            self.commit(self.journal.current()).await?;
        }
        self.flush_through(written).await
    }

    /// Whether something was changed or written that is not known to be durable.
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        !self.journal.is_idle() || self.disk.has_unflushed()
    }

    /// Ends the mount: everything durable, the log empty, the disk marked clean.
    ///
    /// # Errors
    /// `Busy` while an inode is open; otherwise as [`Self::sync`].
    pub async fn unmount(&self) -> Result<()> {
        let mut open = false;
        self.nodes.for_each(|node| open |= node.opens.load(Ordering::Acquire) > 0);
        if open { Err(Error::Busy) } else { self.shut_down().await }
    }

    /// Leaves a note for checkers in the journal, if the disk contradicts itself.
    async fn note_failure(&self, failure: Error) -> Result<()> {
        let mut log = self.journal.log.lock().await;
        if let (Some(log), Error::Corrupt { .. }) = (log.as_mut(), failure) {
            log.note_error(&self.disk).await?;
        }
        Err(failure)
    }

    /// Unmounts whatever is open; what has no name stays an orphan for the next mount.
    pub(crate) async fn shut_down(&self) -> Result<()> {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        self.nodes.for_each(|node| nodes.push(node.clone()));
        for node in nodes {
            self.release_reservation(&node, 0);
        }
        if self.read_only {
            return Ok(());
        }
        if let Some(failure) = self.failure() {
            return self.note_failure(failure).await;
        }
        self.sync().await?;
        let outcome = self.close_log().await;
        if let Err(error) = &outcome {
            self.fail(*error);
        }
        outcome
    }
}
