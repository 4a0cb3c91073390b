//! Cutting extents out, and turning unwritten ones into written ones.
use super::super::{Run, State};
use super::Path;
use crate::allocator::Budget;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::extent::{self as node, Extent, Header};
use crate::layout::inode::Inode;
use serix_block::BlockDevice;

impl<D: BlockDevice> Ext4<D> {
    /// Takes a mapped run, which lies in one extent, out of the tree.
    pub(in crate::map) async fn cut(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        run: Run,
    ) -> Result<()> {
        let path = self.extent_path(inode, run.logical).await?;
        let (leaf, depth) = (path.leaf(), path.0.len() - 1);
        let index = leaf.index;
        let old = leaf.read(inode, |bytes| node::extent(bytes, index));
        let before = run.logical - old.logical;
        let after = (old.end() - run.end()) as u32;
        let rest = Extent {
            logical: run.end() as u32,
            len: after,
            physical: old.physical + u64::from(old.len - after),
            ..old
        };
        if before == 0 && after == 0 {
            return self.drop_entry(handle, inode, &path).await;
        }
        let kept = if before > 0 { Extent { len: before, ..old } } else { rest };
        self.edit_level(handle, inode, leaf, |bytes| node::set_extent(bytes, index, kept));
        if before == 0 && index == 0 {
            self.fix_keys(handle, inode, &path, depth);
        }
        if before > 0 && after > 0 {
            self.insert_extent(handle, budget, inode, rest).await?;
        }
        Ok(())
    }

    /// Removes the entry that a path ends in, and nodes that this leaves empty.
    async fn drop_entry(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
        path: &Path,
    ) -> Result<()> {
        for (depth, level) in path.0.iter().enumerate().rev() {
            self.edit_level(handle, inode, level, |bytes| node::close_gap(bytes, level.index));
            if level.header.entries > 1 {
                if level.index == 0 {
                    self.fix_keys(handle, inode, path, depth);
                }
                return Ok(());
            }
            match &level.buffer {
                Some(buffer) => self.free_node(handle, inode, buffer.block()).await?,
                None => node::initialise(&mut inode.map.0, level.header.max, 0),
            }
        }
        Ok(())
    }

    async fn free_node(&self, handle: &Handle<'_, D>, inode: &mut Inode, block: u64) -> Result<()> {
        handle.forget(block);
        inode.sectors = inode.sectors.saturating_sub(self.sectors_per_block());
        self.free_blocks(handle, block, 1).await
    }

    /// While the root has one child whose entries fit it, they move up.
    pub(in crate::map) async fn collapse(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
    ) -> Result<()> {
        loop {
            let header = Header::parse(&inode.map.0);
            if header.depth == 0 || header.entries != 1 {
                return Ok(());
            }
            let block = node::child(&inode.map.0, 0);
            let buffer = self.buffer(block, Kind::Extents(inode.seed)).await?;
            let below = buffer.read(Header::parse);
            if below.entries > header.max || below.depth + 1 != header.depth {
                return Ok(());
            }
            buffer.read(|bytes| node::copy_entries(bytes, &mut inode.map.0));
            self.free_node(handle, inode, block).await?;
        }
    }

    /// Marks the unwritten run as written.
    pub(crate) async fn mark_written(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        run: Run,
    ) -> Result<()> {
        let written = marked(inode, run, false)?;
        let path = self.extent_path(inode, run.logical).await?;
        let leaf = path.leaf();
        let old = leaf.read(inode, |bytes| node::extent(bytes, leaf.index));
        if old.logical != run.logical || u64::from(old.len) != run.len {
            self.cut(handle, budget, inode, run).await?;
            return self.insert_extent(handle, budget, inode, written).await;
        }
        self.edit_level(handle, inode, leaf, |bytes| {
            node::set_extent(bytes, leaf.index, written);
            join_left(bytes, leaf.index);
        });
        Ok(())
    }

    /// Marks the written run, of at most [`node::MAX_UNWRITTEN`] blocks, as unwritten.
    pub(crate) async fn mark_unwritten(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        run: Run,
    ) -> Result<()> {
        let unwritten = marked(inode, run, true)?;
        self.cut(handle, budget, inode, run).await?;
        self.insert_extent(handle, budget, inode, unwritten).await
    }
}

/// The extent of a run that is to be marked; it must not be marked so already.
fn marked(inode: &Inode, run: Run, unwritten: bool) -> Result<Extent> {
    let (State::Written(physical) | State::Unwritten(physical)) = run.state else {
        return Err(Error::corrupt_inode("a hole is marked", inode.number));
    };
    if matches!(run.state, State::Unwritten(_)) == unwritten {
        return Err(Error::corrupt_inode("run is marked already", inode.number));
    }
    Ok(Extent { logical: run.logical, len: run.len as u32, physical, unwritten })
}

/// Joins an extent with the one before it, if they continue each other.
fn join_left(leaf: &mut [u8], index: u16) {
    let Some(before) = index.checked_sub(1) else { return };
    let (left, right) = (node::extent(leaf, before), node::extent(leaf, index));
    if left.joins(&right) {
        node::set_extent(leaf, before, Extent { len: left.len + right.len, ..left });
        node::close_gap(leaf, index);
    }
}
