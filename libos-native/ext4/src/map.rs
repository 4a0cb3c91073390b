//! Where the blocks of a file lie.
//!
//! A file is mapped by an extent tree, or (ext2, ext3) by indirect blocks. Both answer the same
//! questions. The caller holds the inode's lock, and has promised the blocks that a change may add.
mod extent;
mod indirect;

use crate::allocator::Budget;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::layout::extent::{self as extent_layout, Extent};
use crate::layout::inode::{FileKind, Inode, flags};
use serix_block::BlockDevice;

/// Logical blocks are below this; also the end of the last hole.
pub(crate) const END: u64 = 1 << 32;
/// Blocks that one step of a change of the map may change, at most.
pub(crate) const STEP_CREDITS: usize = 40;
/// Metadata blocks that one change of the map may add, at most.
pub(crate) const STEP_BLOCKS: u64 = 8;

/// A run of logical blocks that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) logical: u32,
    pub(crate) len: u64,
    pub(crate) state: State,
}

/// Where a run's blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Hole,
    /// Reserved for the run, but reads as zeroes.
    Unwritten(u64),
    Written(u64),
}

impl Run {
    /// The logical block after the last one.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.logical) + self.len
    }

    /// The run up to `end`, which is in it or behind it.
    pub(crate) fn up_to(self, end: u64) -> Self {
        Self { len: self.len.min(end - u64::from(self.logical)), ..self }
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// The run that begins at `logical`.
    pub(crate) async fn map(&self, inode: &Inode, logical: u32) -> Result<Run> {
        if inode.has(flags::EXTENTS) {
            return match self.map_in_root(inode, logical) {
                Some(run) => Ok(run),
                None => self.map_extent(inode, logical).await,
            };
        }
        self.map_indirect(inode, logical).await
    }

    /// The physical block of one that must be mapped: directories have no holes.
    pub(crate) async fn map_block(&self, inode: &Inode, logical: u32) -> Result<u64> {
        match self.map(inode, logical).await?.state {
            State::Written(block) => Ok(block),
            _ => Err(Error::corrupt_inode("hole in metadata", inode.number)),
        }
    }

    /// Maps a hole to blocks.
    pub(crate) async fn insert(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        extent: Extent,
    ) -> Result<()> {
        if inode.has(flags::EXTENTS) {
            self.insert_extent(handle, budget, inode, extent).await
        } else {
            self.insert_indirect(handle, budget, inode, extent).await
        }
    }

    /// Unmaps and frees `from..to`. Answers where to go on with another handle, if this one's
    /// credits did not suffice.
    pub(crate) async fn remove(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        from: u64,
        to: u64,
    ) -> Result<Option<u64>> {
        let has_extents = inode.has(flags::EXTENTS);
        let mut at = from;
        while at < to {
            if handle.credits() < STEP_CREDITS {
                return Ok(Some(at));
            }
            let run = self.map(inode, at as u32).await?.up_to(to);
            at = run.end();
            let (State::Written(physical) | State::Unwritten(physical)) = run.state else {
                continue;
            };
            if has_extents {
                self.cut(handle, budget, inode, run).await?;
            } else {
                self.clear_run(handle, inode, run).await?;
            }
            self.forget_contents(handle, inode, physical, run.len);
            self.free_blocks(handle, physical, run.len as u32).await?;
            inode.sectors = inode.sectors.saturating_sub(run.len * self.sectors_per_block());
        }
        if has_extents {
            self.collapse(handle, inode).await?;
        }
        Ok(None)
    }

    /// Blocks that the map may grow by when up to eight runs, one behind the other and of so many
    /// blocks together, are entered.
    pub(crate) fn map_growth(&self, inode: &Inode, runs: u64, blocks: u64) -> u64 {
        if runs == 0 {
            return 0;
        }
        if !inode.has(flags::EXTENTS) {
            // A pointer block per so many blocks, one more at either end, and two levels above.
            return blocks / (self.disk.block_size() as u64 / 4) + 6;
        }
        let root = extent_layout::Header::parse(&inode.map.0);
        // Cutting an unwritten extent leaves up to two more.
        if root.depth == 0 && u64::from(root.entries) + 3 * runs <= root.max.into() {
            return 0;
        }
        2 * (u64::from(root.depth) + 1) + 1
    }

    /// Whether the inode itself has room for so many extents more.
    pub(crate) fn fits_root(&self, inode: &Inode, extents: u64) -> bool {
        let root = extent_layout::Header::parse(&inode.map.0);
        inode.has(flags::EXTENTS)
            && root.depth == 0
            && u64::from(root.entries) + extents <= root.max.into()
    }

    /// Blocks that entering so many runs far from one another may take or ask for, beyond
    /// [`Self::map_growth`] of one step: later steps find less left, and perhaps a deeper tree.
    pub(crate) fn scattered_growth(&self, inode: &Inode, runs: u64) -> u64 {
        // Half a leaf of the smallest blocks has 42 extents; a pointer block is for one run at worst.
        if inode.has(flags::EXTENTS) { 4 + runs / 32 } else { 2 + 2 * runs }
    }

    /// Whether freeing a file's blocks may need more than one handle, or blocks of its own.
    pub(crate) fn is_simply_mapped(&self, inode: &Inode) -> bool {
        inode.has(flags::EXTENTS) && extent_layout::Header::parse(&inode.map.0).depth == 0
    }

    /// The contents of directories and symbolic links are metadata: the cache and the log let go
    /// of blocks that were theirs.
    fn forget_contents(&self, handle: &Handle<'_, D>, inode: &Inode, physical: u64, len: u64) {
        if !inode.is(FileKind::Regular) {
            (physical..physical + len).for_each(|block| handle.forget(block));
        }
    }

    pub(crate) fn sectors_per_block(&self) -> u64 {
        (self.disk.block_size() / 512) as u64
    }

    /// Where a file's blocks best go if nothing of it is mapped yet.
    pub(crate) fn inode_goal_block(&self, inode: &Inode) -> u64 {
        let group = self.group_of_inode(inode.number);
        let flex = 1 << self.rules.superblock.flex_shift;
        // With flex_bg the first group of a flex group is full of metadata.
        let count = self.groups.len() as u32;
        let target = if flex > 1 && group.is_multiple_of(flex) && group + 1 < count {
            group + 1
        } else {
            group
        };
        let group = if flex > 1 && count <= flex { group } else { target };
        self.rules.superblock.group_start(group)
    }
}
