//! Reading pages, and finding data and holes.
use crate::disk::Direction;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::layout::inode::Inode;
use crate::map::{END, Run, State};
use alloc::vec::Vec;
use serix_block::{BlockDevice, PAGE_SIZE, Page};

/// What to look for in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTarget {
    /// Stored bytes.
    Data,
    /// Bytes that are not stored; there is one at the end of every file.
    Hole,
}

impl<D: BlockDevice> Ext4<D> {
    /// Fills `pages` from page `first` of a file on. Holes, unwritten blocks and bytes past the end
    /// are zeroes.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Stale`, and `IsDirectory` or `Invalid` for what is no regular file.
    pub async fn read_pages(&self, number: u32, first: u64, pages: &[D::Page]) -> Result<()> {
        let node = self.file(number).await?;
        let body = node.body.read().await;
        let per_page = self.blocks_per_page();
        let start = first.saturating_mul(per_page);
        let end = start.saturating_add(pages.len() as u64 * per_page).min(END);
        let stored = end.min(body.size.div_ceil(self.disk.block_size() as u64));
        let mut transfers = Vec::new();
        let mut at = start;
        while at < stored {
            let run = self.map(&body, at as u32).await?.up_to(stored);
            match run.state {
                State::Written(physical) => {
                    self.transfers(first, pages, run, physical, &mut transfers);
                }
                State::Hole | State::Unwritten(_) => self.zero_run(first, pages, run),
            }
            at = run.end();
        }
        self.disk.transfer_all(&transfers, Direction::Read).await?;
        zero_behind(first, pages, body.size);
        Ok(())
    }

    fn zero_run(&self, first: u64, pages: &[D::Page], run: Run) {
        let per_page = self.blocks_per_page();
        for block in u64::from(run.logical)..run.end() {
            let index = block - first * per_page;
            let offset = (index % per_page) as usize * self.disk.block_size();
            pages[(index / per_page) as usize].zero(offset, self.disk.block_size());
        }
    }

    /// The first offset not below `offset` of this kind, in a file that is `size` bytes long.
    ///
    /// # Errors
    /// `NoSuchOffset` if there is none.
    pub async fn seek(
        &self,
        number: u32,
        offset: u64,
        target: SeekTarget,
        size: u64,
    ) -> Result<u64> {
        let node = self.file(number).await?;
        let body = node.body.read().await;
        if offset >= size {
            return Err(Error::NoSuchOffset);
        }
        let block = self.disk.block_size() as u64;
        let found = self.seek_block(&body, offset / block, size.div_ceil(block), target).await?;
        match (found, target) {
            (Some(found), _) => Ok((found * block).max(offset)),
            (None, SeekTarget::Hole) => Ok(size),
            (None, SeekTarget::Data) => Err(Error::NoSuchOffset),
        }
    }

    async fn seek_block(
        &self,
        body: &Inode,
        from: u64,
        end: u64,
        target: SeekTarget,
    ) -> Result<Option<u64>> {
        let mut at = from;
        while at < end.min(END) {
            let run = self.map(body, at as u32).await?;
            let is_data = matches!(run.state, State::Written(_));
            if is_data == (target == SeekTarget::Data) {
                return Ok(Some(at));
            }
            at = run.end();
        }
        Ok(None)
    }
}

/// Zeroes the bytes of pages that lie past the end of a file.
fn zero_behind<P: Page>(first: u64, pages: &[P], size: u64) {
    for (page, index) in pages.iter().zip(first..) {
        let start = index.saturating_mul(PAGE_SIZE as u64);
        let kept = size.saturating_sub(start).min(PAGE_SIZE as u64) as usize;
        if kept < PAGE_SIZE {
            page.zero(kept, PAGE_SIZE - kept);
        }
    }
}
