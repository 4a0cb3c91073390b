//! Contents of regular files: pages in and out, size, holes, space.
//!
//! Data never pass through a buffer here: pages go between device and caller. A write chooses
//! blocks, sends the data there, and only then enters the blocks in bitmap and map, in one
//! transaction. So what a crash leaves behind never shows what a block held before.
mod allocate;
mod read;
mod reservation;
mod truncate;
mod write;

pub use allocate::AllocateMode;
pub use read::SeekTarget;
pub(crate) use reservation::Reservation;
pub(crate) use truncate::is_fast_link;

use crate::disk::Transfer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::layout::inode::{FileKind, Inode};
use crate::map::Run;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::{BlockDevice, PAGE_SIZE};

/// Pages in one request, at most.
const REQUEST_PAGES: u64 = 256;

/// Logical blocks of a range of bytes: those that are touched.
fn touched(offset: u64, len: u64, block: u64) -> (u64, u64) {
    (offset / block, (offset + len).div_ceil(block))
}

impl<D: BlockDevice> Ext4<D> {
    /// The node of a regular file.
    async fn file(&self, number: u32) -> Result<Arc<Node>> {
        let node = self.node(number).await?;
        let kind = node.body.read().await.kind();
        match kind {
            Some(FileKind::Regular) => Ok(node),
            Some(FileKind::Directory) => Err(Error::IsDirectory),
            _ => Err(Error::Invalid),
        }
    }

    fn blocks_per_page(&self) -> u64 {
        (PAGE_SIZE / self.disk.block_size()) as u64
    }

    /// Fails if a file may not become `size` bytes long.
    fn check_size(&self, inode: &Inode, size: u64) -> Result<()> {
        let extents = inode.has(crate::layout::inode::flags::EXTENTS);
        if size > self.rules.superblock.max_file_size(extents) {
            return Err(Error::FileTooLarge);
        }
        Ok(())
    }

    /// The transfers that move a run between its blocks and the pages that begin with page `first`.
    fn transfers(
        &self,
        first: u64,
        pages: &[D::Page],
        run: Run,
        physical: u64,
        into: &mut Vec<Transfer<D::Page>>,
    ) {
        let per_page = self.blocks_per_page();
        let mut done = 0;
        while done < run.len {
            let block = u64::from(run.logical) + done - first * per_page;
            let within = block % per_page;
            let count = (run.len - done).min(REQUEST_PAGES * per_page - within);
            let from = (block / per_page) as usize;
            let until = (block + count).div_ceil(per_page) as usize;
            into.push(Transfer {
                block: physical + done,
                count: count as u32,
                offset: within as usize * self.disk.block_size(),
                pages: pages[from..until].to_vec(),
            });
            done += count;
        }
    }
}
