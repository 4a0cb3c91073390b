//! Changing a file's size, and deleting files.
use crate::disk::{Direction, Transfer};
use crate::error::Result;
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::layout::inode::{FileKind, Inode, Time, set_deleted};
use crate::map::{END, STEP_CREDITS, State};
use alloc::vec;
use serix_block::{BlockDevice, Page};

/// Blocks that one transaction of a long removal may change.
const REMOVE_CREDITS: usize = 3 * STEP_CREDITS;

/// A change of size, as it is stored with the first part of the removal.
#[derive(Clone, Copy)]
pub(crate) struct NewSize {
    pub(crate) size: u64,
    pub(crate) now: Time,
}

impl<D: BlockDevice> Ext4<D> {
    /// Makes a file `size` bytes long: what is behind is freed, what is new reads as zeroes.
    ///
    /// # Errors
    /// `FileTooLarge`, `ReadOnly`, `Io`, `Stale`, `IsDirectory`.
    pub async fn truncate(&self, number: u32, size: u64) -> Result<()> {
        self.check_writable()?;
        let node = self.file(number).await?;
        let _writer = node.writer.lock().await;
        let mut body = node.body.write().await;
        self.check_size(&body, size)?;
        let block = self.disk.block_size() as u64;
        self.release_reservation(&node, size.div_ceil(block));
        if size < body.size {
            // Bytes behind the end in its block would show if the file grew again.
            self.zero_bytes(&body, size, size.next_multiple_of(block)).await?;
        }
        let new = NewSize { size, now: self.now() };
        if size > body.size && size > 1 << 31 {
            self.counts.large_file.store(true, core::sync::atomic::Ordering::Release);
        }
        self.cut_tail(&node, &mut body, size.div_ceil(block), Some(new)).await
    }

    /// Zeroes the stored bytes `from..to` of a file, which lie in one block.
    pub(super) async fn zero_bytes(&self, body: &Inode, from: u64, to: u64) -> Result<()> {
        let size = self.disk.block_size() as u64;
        if from >= to {
            return Ok(());
        }
        let run = self.map(body, (from / size) as u32).await?;
        let State::Written(block) = run.state else { return Ok(()) };
        let page = self.disk.spare()?;
        let transfer = Transfer { block, count: 1, offset: 0, pages: vec![page] };
        self.disk.transfer(&transfer, Direction::Read).await?;
        transfer.pages[0].zero((from % size) as usize, (to - from) as usize);
        self.disk.transfer(&transfer, Direction::Write).await?;
        transfer.pages.into_iter().for_each(|page| self.disk.put_spare(page));
        Ok(())
    }

    /// Frees the blocks of a file from `from` on, in as many transactions as it takes. If it takes
    /// more than one, the inode is an orphan meanwhile: a mount after a crash goes on.
    pub(crate) async fn cut_tail(
        &self,
        node: &Node,
        body: &mut Inode,
        from: u64,
        new: Option<NewSize>,
    ) -> Result<()> {
        let mut next = Some(from);
        while let Some(from) = next {
            let handle = self.begin(REMOVE_CREDITS).await?;
            if let Some(new) = new {
                body.size = new.size;
                (body.modified, body.changed) = (new.now, new.now);
            }
            let outcome = self.cut_step(&handle, body, from).await;
            node.note_change(handle.transaction(), true);
            next = handle.finish(outcome)?;
        }
        Ok(())
    }

    async fn cut_step(
        &self,
        handle: &Handle<'_, D>,
        body: &mut Inode,
        from: u64,
    ) -> Result<Option<u64>> {
        let next = self.remove_all(handle, body, from).await?;
        match next {
            Some(_) => self.add_orphan(handle, body.number).await?,
            None => self.remove_orphan(handle, body.number).await?,
        }
        self.store(handle, body).await?;
        Ok(next)
    }

    /// Frees blocks from `from` on, as far as the handle's credits go.
    async fn remove_all(
        &self,
        handle: &Handle<'_, D>,
        body: &mut Inode,
        from: u64,
    ) -> Result<Option<u64>> {
        if !has_blocks(body) {
            return Ok(None);
        }
        self.remove(handle, &self.empty_budget(), body, from, END).await
    }

    /// Deletes an inode without names that nobody has open.
    pub(crate) async fn delete(&self, node: &Node, body: &mut Inode) -> Result<()> {
        self.release_reservation(node, 0);
        loop {
            let handle = self.begin(REMOVE_CREDITS).await?;
            let outcome = self.delete_step(&handle, body).await;
            if handle.finish(outcome)? {
                return Ok(());
            }
        }
    }

    /// Frees what an inode has, and then the inode; answers whether it is gone. If it is not, it
    /// is an orphan.
    pub(crate) async fn delete_step(
        &self,
        handle: &Handle<'_, D>,
        body: &mut Inode,
    ) -> Result<bool> {
        if self.remove_all(handle, body, 0).await?.is_some() {
            self.add_orphan(handle, body.number).await?;
            self.store(handle, body).await?;
            return Ok(false);
        }
        self.free_attributes(handle, body).await?;
        self.remove_orphan(handle, body.number).await?;
        let is_directory = body.is(FileKind::Directory);
        self.free_inode(handle, body.number, is_directory).await?;
        body.size = 0;
        let now = self.now().seconds.max(1) as u32;
        self.edit_raw(handle, body, |raw| set_deleted(raw, now)).await?;
        self.nodes.remove(body.number);
        Ok(true)
    }
}

/// Whether an inode's map leads to blocks: that of a device or a short link does not.
pub(crate) fn has_blocks(inode: &Inode) -> bool {
    match inode.kind() {
        Some(FileKind::Regular | FileKind::Directory) => true,
        Some(FileKind::Symlink) => !is_fast_link(inode),
        _ => false,
    }
}

/// Whether a symbolic link's target is in the inode.
pub(crate) fn is_fast_link(inode: &Inode) -> bool {
    use crate::layout::inode::{MAP_SIZE, flags};
    inode.size < MAP_SIZE as u64 && !inode.has(flags::EXTENTS)
}
