//! Extent trees: finding, adding, cutting.
//!
//! The root is in the inode, other nodes are blocks. The key of an index entry is the first key
//! below it. No node but the root is empty; a root with one small child takes its entries up.
mod insert;
mod remove;

use super::{END, Run, State};
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::extent::{self as node, Extent, Header};
use crate::layout::inode::Inode;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::BlockDevice;

/// A node on the way from the root to a leaf.
struct Level {
    /// `None` for the root.
    buffer: Option<Arc<Buffer>>,
    /// The entry that leads on, or in a leaf the last one that begins before what is looked for.
    index: u16,
    header: Header,
}

/// From the root to a leaf.
struct Path(Vec<Level>);

impl Path {
    fn leaf(&self) -> &Level {
        &self.0[self.0.len() - 1]
    }
}

impl Level {
    fn read<R>(&self, inode: &Inode, look: impl FnOnce(&[u8]) -> R) -> R {
        match &self.buffer {
            Some(buffer) => buffer.read(look),
            None => look(&inode.map.0),
        }
    }
}

fn run_of(extent: Extent, logical: u32) -> Run {
    let skipped = logical - extent.logical;
    let physical = extent.physical + u64::from(skipped);
    let state =
        if extent.unwritten { State::Unwritten(physical) } else { State::Written(physical) };
    Run { logical, len: u64::from(extent.len - skipped), state }
}

/// What a leaf says about a block; holes end at the latest at `limit`.
fn run_in_leaf(leaf: &[u8], index: u16, logical: u32, limit: u64) -> Run {
    let entries = Header::parse(leaf).entries;
    let hole = |end: u64| Run { logical, len: end - u64::from(logical), state: State::Hole };
    if entries == 0 {
        return hole(limit);
    }
    let extent = node::extent(leaf, index);
    if logical < extent.logical {
        return hole(extent.logical.into());
    }
    if u64::from(logical) < extent.end() {
        return run_of(extent, logical);
    }
    hole(if index + 1 < entries { node::key(leaf, index + 1).into() } else { limit })
}

impl<D: BlockDevice> Ext4<D> {
    /// The run at `logical` if the root is the only node.
    pub(super) fn map_in_root(&self, inode: &Inode, logical: u32) -> Option<Run> {
        let root = &inode.map.0;
        (Header::parse(root).depth == 0)
            .then(|| run_in_leaf(root, node::search(root, logical), logical, END))
    }

    pub(super) async fn map_extent(&self, inode: &Inode, logical: u32) -> Result<Run> {
        let path = self.extent_path(inode, logical).await?;
        let mut limit = END;
        for level in &path.0[..path.0.len() - 1] {
            if level.index + 1 < level.header.entries {
                limit = level.read(inode, |bytes| node::key(bytes, level.index + 1)).into();
            }
        }
        if limit <= u64::from(logical) {
            return Err(Error::corrupt_inode("extent order", inode.number));
        }
        let leaf = path.leaf();
        Ok(leaf.read(inode, |bytes| run_in_leaf(bytes, leaf.index, logical, limit)))
    }

    /// The nodes from the root to the leaf where `logical` is or would be.
    async fn extent_path(&self, inode: &Inode, logical: u32) -> Result<Path> {
        let root = &inode.map.0;
        let header = Header::parse(root);
        let mut path = Path(Vec::with_capacity(usize::from(header.depth) + 1));
        path.0.push(Level { buffer: None, index: node::search(root, logical), header });
        for depth in (0..header.depth).rev() {
            let above = path.leaf();
            if above.header.entries == 0 {
                return Err(Error::corrupt_inode("empty extent index", inode.number));
            }
            let block = above.read(inode, |bytes| node::child(bytes, above.index));
            let buffer = self.buffer(block, Kind::Extents(inode.seed)).await?;
            let (header, index) =
                buffer.read(|bytes| (Header::parse(bytes), node::search(bytes, logical)));
            if header.depth != depth || header.entries == 0 {
                return Err(Error::Corrupt { what: "extent depth", block, inode: inode.number });
            }
            path.0.push(Level { buffer: Some(buffer), index, header });
        }
        Ok(path)
    }

    fn edit_level<R>(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
        level: &Level,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        match &level.buffer {
            Some(buffer) => handle.edit(buffer, Kind::Extents(inode.seed), change),
            None => change(&mut inode.map.0),
        }
    }

    /// The first key below `depth` changed: the entries above that lead there follow.
    fn fix_keys(&self, handle: &Handle<'_, D>, inode: &mut Inode, path: &Path, mut depth: usize) {
        while depth > 0 {
            let key = path.0[depth].read(inode, |bytes| node::key(bytes, 0));
            let above = &path.0[depth - 1];
            self.edit_level(handle, inode, above, |bytes| node::set_key(bytes, above.index, key));
            if above.index > 0 {
                return;
            }
            depth -= 1;
        }
    }
}
