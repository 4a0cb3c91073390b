//! `fallocate`: space ahead of data, holes, zeroes.
use super::touched;
use crate::disk::{Direction, Transfer};
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::layout::extent::{Extent, MAX_UNWRITTEN};
use crate::layout::inode::{Inode, flags};
use crate::map::{STEP_BLOCKS, STEP_CREDITS, State};
use alloc::vec;
use serix_block::{BlockDevice, PAGE_SIZE, Page};

/// What to do with a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateMode {
    /// Reserve space; the file grows to the range's end unless `keep_size`.
    Reserve {
        /// Leave the size alone.
        keep_size: bool,
    },
    /// Free the space: the range reads as zeroes, the size stays.
    PunchHole,
    /// The range reads as zeroes and has its space.
    ZeroRange {
        /// Leave the size alone.
        keep_size: bool,
    },
}

impl<D: BlockDevice> Ext4<D> {
    /// Allocates, frees or zeroes the bytes `offset..offset + len` of a file. The caller has written
    /// its dirty pages of the range and forgets them afterwards.
    ///
    /// # Errors
    /// `NoSpace`, `FileTooLarge`, `Invalid` for an empty range, and `NotSupported` for reserving
    /// space in a file that is mapped by indirect blocks.
    pub async fn fallocate(
        &self,
        number: u32,
        mode: AllocateMode,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        self.check_writable()?;
        let node = self.file(number).await?;
        let _writer = node.writer.lock().await;
        let end = offset.checked_add(len).filter(|_| len > 0).ok_or(Error::Invalid)?;
        self.check_size(&*node.body.read().await, end)?;
        let block = self.disk.block_size() as u64;
        match mode {
            AllocateMode::Reserve { keep_size } => {
                let (from, to) = touched(offset, len, block);
                self.reserve_blocks(&node, from, to).await?;
                self.finish_range(&node, end, keep_size).await
            }
            AllocateMode::PunchHole => {
                self.zero_edges_and_punch(&node, offset, end).await?;
                self.finish_range(&node, end, true).await
            }
            AllocateMode::ZeroRange { keep_size } => {
                if !node.body.read().await.has(flags::EXTENTS) {
                    return Err(Error::NotSupported);
                }
                let (from, to) = touched(offset, len, block);
                // What can fail for lack of space comes before any byte changes.
                self.reserve_blocks(&node, from, to).await?;
                self.zero_range(&node, offset, end).await?;
                self.finish_range(&node, end, keep_size).await
            }
        }
    }

    /// Stamps the file, and lets it grow to `end`.
    async fn finish_range(&self, node: &Node, end: u64, keep_size: bool) -> Result<()> {
        let mut body = node.body.write().await;
        let handle = self.begin(4).await?;
        if !keep_size {
            self.grow_size(&mut body, end);
        }
        let now = self.now();
        (body.modified, body.changed) = (now, now);
        node.note_change(handle.transaction(), true);
        let outcome = self.store(&handle, &body).await;
        handle.finish(outcome)
    }

    /// Zeroes the blocks that a range touches in part, and frees those that it covers.
    async fn zero_edges_and_punch(&self, node: &Node, offset: u64, end: u64) -> Result<()> {
        let mut body = node.body.write().await;
        let (mut from, to) = self.zero_edges(&body, offset, end).await?;
        while from < to {
            // Cutting the middle out of an extent adds one.
            let budget = match self.promise(STEP_BLOCKS).await {
                Err(Error::NoSpace) => return self.zero_blocks(&body, from, to).await,
                other => other?,
            };
            let handle = self.begin(3 * STEP_CREDITS).await?;
            let outcome = async {
                let next = self.remove(&handle, &budget, &mut body, from, to).await?;
                self.store(&handle, &body).await?;
                Ok(next)
            }
            .await;
            node.note_change(handle.transaction(), true);
            let Some(next) = handle.finish(outcome)? else { return Ok(()) };
            from = next;
        }
        Ok(())
    }

    /// Zeroes the blocks that a range touches in part; answers the logical blocks that it covers.
    async fn zero_edges(&self, body: &Inode, offset: u64, end: u64) -> Result<(u64, u64)> {
        let block = self.disk.block_size() as u64;
        let (from, to) = (offset.div_ceil(block), end / block);
        if from > to {
            self.zero_bytes(body, offset, end).await?;
            return Ok((from, from));
        }
        self.zero_bytes(body, offset, from * block).await?;
        self.zero_bytes(body, to * block, end).await?;
        Ok((from, to))
    }

    /// Makes a range, which has its blocks, read as zeroes: they become unwritten.
    async fn zero_range(&self, node: &Node, offset: u64, end: u64) -> Result<()> {
        let mut body = node.body.write().await;
        let (mut at, to) = self.zero_edges(&body, offset, end).await?;
        while at < to {
            let run =
                self.map(&body, at as u32).await?.up_to(to).up_to(at + u64::from(MAX_UNWRITTEN));
            at = run.end();
            if !matches!(run.state, State::Written(_)) {
                continue;
            }
            let budget = match self.promise(STEP_BLOCKS).await {
                Err(Error::NoSpace) => {
                    let run = u64::from(run.logical);
                    return self.zero_blocks(&body, run, to).await;
                }
                other => other?,
            };
            let handle = self.begin(STEP_CREDITS).await?;
            let outcome = async {
                self.mark_unwritten(&handle, &budget, &mut body, run).await?;
                self.store(&handle, &body).await
            }
            .await;
            node.note_change(handle.transaction(), true);
            handle.finish(outcome)?;
        }
        Ok(())
    }

    /// Writes zeroes to the stored blocks among `from..to`: what is left when the disk is so full
    /// that the map cannot change. The range has been zeroed in part, and must be in whole.
    async fn zero_blocks(&self, body: &Inode, from: u64, to: u64) -> Result<()> {
        let page = self.disk.spare()?;
        page.zero(0, PAGE_SIZE);
        let per_page = self.blocks_per_page();
        let mut at = from;
        while at < to {
            let run = self.map(body, at as u32).await?.up_to(to).up_to(at + 64 * per_page);
            at = run.end();
            if let State::Written(block) = run.state {
                let pages = vec![page.clone(); run.len.div_ceil(per_page) as usize];
                let transfer = Transfer { block, count: run.len as u32, offset: 0, pages };
                self.disk.transfer(&transfer, Direction::Write).await?;
            }
        }
        self.disk.put_spare(page);
        Ok(())
    }

    /// Gives the holes among logical blocks `from..to` unwritten blocks.
    async fn reserve_blocks(&self, node: &Node, from: u64, to: u64) -> Result<()> {
        let mut at = from;
        while at < to {
            let mut body = node.body.write().await;
            if !body.has(flags::EXTENTS) {
                return Err(Error::NotSupported);
            }
            let run = self.map(&body, at as u32).await?.up_to(to);
            if run.state != State::Hole {
                at = run.end();
                continue;
            }
            at += self.reserve_run(node, &mut body, at as u32, run.len).await?;
        }
        Ok(())
    }

    /// Gives the beginning of a hole blocks; answers how many.
    async fn reserve_run(
        &self,
        node: &Node,
        body: &mut Inode,
        logical: u32,
        len: u64,
    ) -> Result<u64> {
        let wanted = len.min(MAX_UNWRITTEN.into());
        let budget = self.promise(wanted + STEP_BLOCKS).await?;
        let goal = self.goal_before(body, logical.into()).await?;
        let claim = self.claim(&budget, goal, wanted as u32).await?;
        let (physical, len) = (claim.start, claim.len);
        let handle = self.begin(STEP_CREDITS).await?;
        let outcome = async {
            self.enter(&handle, claim).await?;
            let extent = Extent { logical, len, physical, unwritten: true };
            self.enter_unwritten(&handle, &budget, body, extent).await
        }
        .await;
        node.note_change(handle.transaction(), true);
        handle.finish(outcome)?;
        Ok(len.into())
    }

    async fn enter_unwritten(
        &self,
        handle: &Handle<'_, D>,
        budget: &crate::allocator::Budget<'_, D>,
        body: &mut Inode,
        extent: Extent,
    ) -> Result<()> {
        self.insert(handle, budget, body, extent).await?;
        body.sectors += u64::from(extent.len) * self.sectors_per_block();
        self.store(handle, body).await
    }
}
