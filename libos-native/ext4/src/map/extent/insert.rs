//! Adding an extent: joined with a neighbour if possible, else in a leaf with room.
use super::{Level, Path};
use crate::allocator::Budget;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::extent::{self as node, Extent, Header, MAX_DEPTH};
use crate::layout::inode::Inode;
use serix_block::BlockDevice;

/// Where a new extent goes in a leaf.
fn position(leaf: &[u8], index: u16, logical: u32) -> u16 {
    let empty = Header::parse(leaf).entries == 0;
    if empty || node::key(leaf, index) > logical { 0 } else { index + 1 }
}

/// Joins an extent with those beside `position`. Answers whether that was possible.
fn join(leaf: &mut [u8], position: u16, extent: Extent) -> bool {
    let entries = Header::parse(leaf).entries;
    let left = (position > 0).then(|| node::extent(leaf, position - 1));
    let right = (position < entries).then(|| node::extent(leaf, position));
    if let Some(left) = left.filter(|left| left.joins(&extent)) {
        let mut joined = Extent { len: left.len + extent.len, ..left };
        if let Some(right) = right.filter(|right| joined.joins(right)) {
            joined.len += right.len;
            node::close_gap(leaf, position);
        }
        node::set_extent(leaf, position - 1, joined);
        return true;
    }
    let Some(right) = right.filter(|right| extent.joins(right)) else { return false };
    node::set_extent(leaf, position, Extent { len: extent.len + right.len, ..extent });
    true
}

/// Joins an extent or puts it between its neighbours; false if there is no room.
fn put(leaf: &mut [u8], position: u16, extent: Extent) -> bool {
    if join(leaf, position, extent) {
        return true;
    }
    if Header::parse(leaf).is_full() {
        return false;
    }
    node::open_gap(leaf, position);
    node::set_extent(leaf, position, extent);
    true
}

impl<D: BlockDevice> Ext4<D> {
    pub(in crate::map) async fn insert_extent(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        extent: Extent,
    ) -> Result<()> {
        // Each round splits one node or adds one level.
        for _ in 0..=2 * MAX_DEPTH + 2 {
            let path = self.extent_path(inode, extent.logical).await?;
            let leaf = path.leaf();
            let position = leaf.read(inode, |bytes| position(bytes, leaf.index, extent.logical));
            if self.edit_level(handle, inode, leaf, |bytes| put(bytes, position, extent)) {
                if position == 0 {
                    self.fix_keys(handle, inode, &path, path.0.len() - 1);
                }
                return Ok(());
            }
            self.make_room(handle, budget, inode, &path, extent).await?;
        }
        Err(Error::corrupt_inode("extent tree does not grow", inode.number))
    }

    /// Splits the lowest node below one with room, or puts a new level under a full root.
    async fn make_room(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        path: &Path,
        extent: Extent,
    ) -> Result<()> {
        let roomy = path.0.iter().rposition(|level| !level.header.is_full());
        let block = self.allocate_block(handle, budget, extent.physical).await?;
        inode.sectors += self.sectors_per_block();
        match roomy {
            Some(above) => self.split(handle, inode, path, above, block, extent.logical),
            None => self.grow(handle, inode, &path.0[0], block),
        }
    }

    /// Moves the end of a full node to `block`.
    fn split(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
        path: &Path,
        above: usize,
        block: u64,
        logical: u32,
    ) -> Result<()> {
        let Some(full) = path.0.get(above + 1) else {
            return Err(Error::corrupt_inode("extent node", inode.number));
        };
        let (entries, depth) = (full.header.entries, full.header.depth);
        let kind = Kind::Extents(inode.seed);
        let buffer = self.cache.fresh(block, kind);
        // A file that grows at its end leaves full nodes behind.
        let appends = full.index + 1 == entries
            && full.read(inode, |bytes| node::key(bytes, entries - 1)) < logical;
        let from = if appends { entries - 1 } else { entries / 2 };
        let key = handle.edit(&buffer, kind, |to| {
            let capacity = node::capacity(to.len());
            node::initialise(to, capacity, depth);
            self.edit_level(handle, inode, full, |bytes| node::move_tail(bytes, from, to));
            node::key(to, 0)
        });
        let level = &path.0[above];
        self.edit_level(handle, inode, level, |bytes| {
            node::open_gap(bytes, level.index + 1);
            node::set_child(bytes, level.index + 1, key, block);
        });
        Ok(())
    }

    /// Moves the root's entries to `block`, which becomes the root's only child.
    fn grow(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
        root: &Level,
        block: u64,
    ) -> Result<()> {
        if root.header.depth >= MAX_DEPTH {
            return Err(Error::FileTooLarge);
        }
        let kind = Kind::Extents(inode.seed);
        let buffer = self.cache.fresh(block, kind);
        handle.edit(&buffer, kind, |to| {
            let capacity = node::capacity(to.len());
            node::initialise(to, capacity, 0);
            node::copy_entries(&inode.map.0, to);
        });
        let bytes = &mut inode.map.0;
        let key = node::key(bytes, 0);
        node::initialise(bytes, root.header.max, root.header.depth + 1);
        node::open_gap(bytes, 0);
        node::set_child(bytes, 0, key, block);
        Ok(())
    }
}
