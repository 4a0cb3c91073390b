//! Indirect blocks (ext2, ext3): twelve direct pointers, then trees of one, two and three levels.
use super::{Run, State};
use crate::allocator::Budget;
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::bytes::{put_u32, u32_at};
use crate::layout::extent::Extent;
use crate::layout::inode::Inode;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::BlockDevice;

const DIRECT: u64 = 12;

/// Which pointer of each node leads to a block, from the inode's own on.
struct Route {
    indices: [usize; 4],
    /// Pointer blocks on the way.
    levels: usize,
}

/// The way to a logical block where a pointer block holds `1 << bits` pointers.
fn route(logical: u32, bits: u32) -> Option<Route> {
    let mut left = u64::from(logical);
    if left < DIRECT {
        return Some(Route { indices: [left as usize, 0, 0, 0], levels: 0 });
    }
    left -= DIRECT;
    let mask = (1 << bits) - 1;
    for levels in 1..=3_u32 {
        if left < 1 << (bits * levels) {
            let mut indices = [DIRECT as usize + levels as usize - 1, 0, 0, 0];
            for level in 1..=levels {
                indices[level as usize] = (left >> (bits * (levels - level)) & mask) as usize;
            }
            return Some(Route { indices, levels: levels as usize });
        }
        left -= 1 << (bits * levels);
    }
    None
}

/// A pointer block on the way, or `None` for the inode.
type Node = Option<Arc<Buffer>>;

impl<D: BlockDevice> Ext4<D> {
    fn pointer_bits(&self) -> u32 {
        (self.disk.block_size() / 4).trailing_zeros()
    }

    fn route(&self, logical: u32) -> Result<Route> {
        route(logical, self.pointer_bits()).ok_or(Error::FileTooLarge)
    }

    fn pointer(&self, inode: &Inode, node: &Node, index: usize) -> Result<u64> {
        let look = |bytes: &[u8]| u64::from(u32_at(bytes, index * 4));
        let block = match node {
            Some(buffer) => buffer.read(look),
            None => look(&inode.map.0),
        };
        if block != 0 && !self.rules.can_be_files(block, 1) {
            return Err(Error::Corrupt { what: "block pointer", block, inode: inode.number });
        }
        Ok(block)
    }

    fn set_pointer(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
        node: &Node,
        index: usize,
        block: u64,
    ) {
        let change = |bytes: &mut [u8]| put_u32(bytes, index * 4, block as u32);
        match node {
            Some(buffer) => handle.edit(buffer, Kind::Plain, change),
            None => change(&mut inode.map.0),
        }
    }

    /// The pointer blocks on the way, as far as they exist.
    async fn nodes_on(&self, inode: &Inode, route: &Route) -> Result<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::with_capacity(4);
        nodes.push(None);
        for level in 0..route.levels {
            let block = self.pointer(inode, &nodes[level], route.indices[level])?;
            if block == 0 {
                break;
            }
            nodes.push(Some(self.buffer(block, Kind::Plain).await?));
        }
        Ok(nodes)
    }

    pub(super) async fn map_indirect(&self, inode: &Inode, logical: u32) -> Result<Run> {
        let Some(route) = route(logical, self.pointer_bits()) else {
            return Ok(Run { logical, len: super::END - u64::from(logical), state: State::Hole });
        };
        let nodes = self.nodes_on(inode, &route).await?;
        let missing = route.levels + 1 - nodes.len();
        let bits = self.pointer_bits();
        if missing > 0 {
            // Nothing is mapped below the pointer that is missing.
            let span = 1_u64 << (bits * missing as u32);
            let index: u64 = (1..=missing).rev().fold(0, |index, level| {
                index << bits | route.indices[route.levels + 1 - level] as u64
            });
            return Ok(Run { logical, len: span - index, state: State::Hole });
        }
        self.run_of_pointers(inode, &nodes[route.levels], route.indices[route.levels], logical)
    }

    /// How many pointers from `index` on continue the first one.
    fn run_of_pointers(
        &self,
        inode: &Inode,
        node: &Node,
        index: usize,
        logical: u32,
    ) -> Result<Run> {
        let end = if node.is_some() { self.disk.block_size() / 4 } else { DIRECT as usize };
        let first = self.pointer(inode, node, index)?;
        let mut len = 1;
        while index + len < end {
            let next = self.pointer(inode, node, index + len)?;
            if next != if first == 0 { 0 } else { first + len as u64 } {
                break;
            }
            len += 1;
        }
        let state = if first == 0 { State::Hole } else { State::Written(first) };
        Ok(Run { logical, len: len as u64, state })
    }

    pub(super) async fn insert_indirect(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        extent: Extent,
    ) -> Result<()> {
        if extent.unwritten {
            return Err(Error::NotSupported);
        }
        for offset in 0..extent.len {
            let route = self.route(extent.logical + offset)?;
            let mut nodes = self.nodes_on(inode, &route).await?;
            while nodes.len() <= route.levels {
                let level = nodes.len() - 1;
                let block = self.allocate_block(handle, budget, extent.physical).await?;
                inode.sectors += self.sectors_per_block();
                let buffer = self.cache.fresh(block, Kind::Plain);
                handle.edit(&buffer, Kind::Plain, |_| ());
                self.set_pointer(handle, inode, &nodes[level], route.indices[level], block);
                nodes.push(Some(buffer));
            }
            let block = extent.physical + u64::from(offset);
            let last = route.levels;
            self.set_pointer(handle, inode, &nodes[last], route.indices[last], block);
        }
        Ok(())
    }

    /// Clears the pointers of a run, which are in one node, and frees nodes that this empties.
    pub(super) async fn clear_run(
        &self,
        handle: &Handle<'_, D>,
        inode: &mut Inode,
        run: Run,
    ) -> Result<()> {
        let route = self.route(run.logical)?;
        let mut nodes = self.nodes_on(inode, &route).await?;
        for index in route.indices[route.levels]..route.indices[route.levels] + run.len as usize {
            self.set_pointer(handle, inode, &nodes[route.levels], index, 0);
        }
        for level in (1..=route.levels).rev() {
            let Some(Some(buffer)) = nodes.pop() else { break };
            if buffer.read(|bytes| bytes.iter().any(|byte| *byte != 0)) {
                break;
            }
            self.set_pointer(handle, inode, &nodes[level - 1], route.indices[level - 1], 0);
            handle.forget(buffer.block());
            inode.sectors = inode.sectors.saturating_sub(self.sectors_per_block());
            self.free_blocks(handle, buffer.block(), 1).await?;
        }
        Ok(())
    }
}
