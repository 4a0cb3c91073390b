//! Adding entries: in a block with room, in a new block, or in a leaf that is split.
use super::index::{Level, Path};
use crate::allocator::Budget;
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::directory::{self as block, Encoding, Entry};
use crate::layout::extent::Extent;
use crate::layout::htree::{self as node, Role};
use crate::layout::inode::{Inode, flags};
use crate::map::State;
use crate::name_hash::Hasher;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::BlockDevice;

/// Blocks that adding an entry may add to a directory, at most: a leaf, a split index node on each
/// level, a new level, and the map's own.
pub(crate) const INSERT_BLOCKS: u64 = 14;
/// Blocks that adding an entry may change, at most.
pub(crate) const INSERT_CREDITS: usize = 36;

impl<D: BlockDevice> Ext4<D> {
    /// Adds an entry; the name is not in the directory.
    pub(crate) async fn add_entry(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        name: &[u8],
        target: (u32, u8),
    ) -> Result<()> {
        if self.is_indexed(directory) {
            return self.add_indexed(handle, budget, directory, name, target).await;
        }
        // Without checking the index, a changed directory must not claim to have one.
        directory.flags &= !flags::INDEX;
        let blocks = self.directory_blocks(directory);
        for logical in 0..blocks {
            let kind = Kind::Entries(directory.seed);
            let buffer = self.directory_buffer(directory, logical, kind).await?;
            if self.put_entry(handle, directory, &buffer, name, target) {
                return Ok(());
            }
        }
        if blocks == 1 && self.has_index() {
            self.make_index(handle, budget, directory).await?;
            return self.add_indexed(handle, budget, directory, name, target).await;
        }
        let (_, buffer) = self.append_leaf(handle, budget, directory).await?;
        self.put_entry(handle, directory, &buffer, name, target);
        Ok(())
    }

    /// Puts an entry into a block, if it has room.
    fn put_entry(
        &self,
        handle: &Handle<'_, D>,
        directory: &Inode,
        buffer: &Arc<Buffer>,
        name: &[u8],
        target: (u32, u8),
    ) -> bool {
        let encoding = self.rules.directory;
        let Some(offset) = buffer.read(|bytes| block::room(bytes, name.len(), encoding)) else {
            return false;
        };
        handle.edit(buffer, Kind::Entries(directory.seed), |bytes| {
            block::insert(bytes, offset, name, target, encoding);
        });
        true
    }

    /// Adds a block of zeroes at a directory's end.
    pub(super) async fn append_block(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        kind: Kind,
    ) -> Result<(u32, Arc<Buffer>)> {
        let logical = self.directory_blocks(directory);
        let last = logical.checked_sub(1);
        let goal = match last {
            Some(last) => match self.map(directory, last).await?.state {
                State::Written(block) => block + 1,
                _ => self.inode_goal_block(directory),
            },
            None => self.inode_goal_block(directory),
        };
        let physical = self.allocate_block(handle, budget, goal).await?;
        directory.sectors += self.sectors_per_block();
        let extent = Extent { logical, len: 1, physical, unwritten: false };
        self.insert(handle, budget, directory, extent).await?;
        directory.size += self.disk.block_size() as u64;
        Ok((logical, self.cache.fresh(physical, kind)))
    }

    async fn append_leaf(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
    ) -> Result<(u32, Arc<Buffer>)> {
        let kind = Kind::Entries(directory.seed);
        let (logical, buffer) = self.append_block(handle, budget, directory, kind).await?;
        handle.edit(&buffer, kind, |bytes| block::initialise(bytes, self.rules.directory));
        Ok((logical, buffer))
    }

    /// Gives a directory of one block an index: its entries move to a leaf, the block is the root.
    async fn make_index(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
    ) -> Result<()> {
        self.parent_of(directory).await?;
        let kind = Kind::Entries(directory.seed);
        let first = self.directory_buffer(directory, 0, kind).await?;
        let (leaf, buffer) = self.append_leaf(handle, budget, directory).await?;
        let encoding = self.rules.directory;
        let old = first.read(<[u8]>::to_vec);
        let moved = block::entries(&old, encoding)
            .filter(|entry| entry.inode != 0 && entry.name != b"." && entry.name != b"..");
        handle.edit(&buffer, kind, |bytes| block::pack(bytes, moved, encoding));
        let version = self.rules.superblock.hash_version;
        handle.edit(&first, Kind::IndexRoot(directory.seed), |bytes| {
            node::initialise_root(bytes, version, leaf, encoding.has_tail);
        });
        directory.flags |= flags::INDEX;
        Ok(())
    }

    async fn add_indexed(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        name: &[u8],
        target: (u32, u8),
    ) -> Result<()> {
        // Splits of index nodes and leaves; entries of very different length may need two.
        for _ in 0..12 {
            let path = self.index_path(directory, |hasher| hasher.hash(name).major).await?;
            let leaf = self.leaf_buffer(directory, &path).await?;
            if self.put_entry(handle, directory, &leaf, name, target) {
                return Ok(());
            }
            let roomy = path.levels.iter().rposition(|level| !level.is_full());
            match roomy {
                Some(depth) if depth + 1 == path.levels.len() => {
                    self.split_leaf(handle, budget, directory, &path, &leaf).await?;
                }
                Some(depth) => {
                    let (above, full) = (&path.levels[depth], &path.levels[depth + 1]);
                    self.split_index(handle, budget, directory, above, full).await?;
                }
                None => self.grow_index(handle, budget, directory, &path).await?,
            }
        }
        Err(Error::corrupt_inode("directory index does not grow", directory.number))
    }

    /// Moves the upper half of a leaf, by hash, to a new one.
    async fn split_leaf(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        path: &Path,
        leaf: &Arc<Buffer>,
    ) -> Result<()> {
        let encoding = self.rules.directory;
        let old = leaf.read(<[u8]>::to_vec);
        let entries = by_hash(&old, &path.hasher, encoding);
        let Some(from) = split_point(&entries) else {
            return Err(Error::corrupt_inode("leaf cannot be split", directory.number));
        };
        let (logical, upper) = self.append_leaf(handle, budget, directory).await?;
        let (low, high) = entries.split_at(from);
        let (last, first) = (low[low.len() - 1].0, high[0].0);
        let kind = Kind::Entries(directory.seed);
        let plain = |list: &[(u32, Entry<'_>)], bytes: &mut [u8]| {
            block::pack(bytes, list.iter().map(|(_, entry)| *entry), encoding);
        };
        handle.edit(&upper, kind, |bytes| plain(high, bytes));
        handle.edit(leaf, kind, |bytes| plain(low, bytes));
        let bottom = path.bottom();
        let key = first | u32::from(first == last);
        handle.edit(&bottom.buffer, bottom.kind(directory.seed), |bytes| {
            node::insert(bytes, bottom.role, bottom.index + 1, key, logical);
        });
        Ok(())
    }

    /// Adds an index node, into which `fill` moves entries of a full one.
    async fn append_node<R: Send>(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        full: &Level,
        fill: impl FnOnce(&mut [u8], &mut [u8], u32) -> R + Send,
    ) -> Result<(u32, R)> {
        let kind = Kind::IndexNode(directory.seed);
        let (logical, fresh) = self.append_block(handle, budget, directory, kind).await?;
        let has_tail = self.rules.directory.has_tail;
        let moved = handle.edit(&fresh, kind, |to| {
            node::initialise(to, Role::Inner, has_tail);
            handle.edit(&full.buffer, full.kind(directory.seed), |from| fill(from, to, logical))
        });
        Ok((logical, moved))
    }

    /// Moves the upper half of a full index node to a new one.
    async fn split_index(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        above: &Level,
        full: &Level,
    ) -> Result<()> {
        let half = |from: &mut [u8], to: &mut [u8], _| {
            let middle = node::count(from, Role::Inner) / 2;
            node::move_tail(from, Role::Inner, middle, to)
        };
        let (logical, key) = self.append_node(handle, budget, directory, full, half).await?;
        handle.edit(&above.buffer, above.kind(directory.seed), |bytes| {
            node::insert(bytes, above.role, above.index + 1, key, logical);
        });
        Ok(())
    }

    /// Puts a new level under a full root.
    async fn grow_index(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        path: &Path,
    ) -> Result<()> {
        let levels = path.levels.len() as u8;
        if levels > self.max_index_levels() {
            return Err(Error::NoSpace);
        }
        let all = |root: &mut [u8], to: &mut [u8], logical| {
            node::move_tail(root, Role::Root, 0, to);
            node::collapse_root(root, logical);
            node::set_levels(root, levels);
        };
        self.append_node(handle, budget, directory, &path.levels[0], all).await.map(drop)
    }

    /// Makes the first block of a new directory.
    pub(crate) async fn make_first_block(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        directory: &mut Inode,
        parent: u32,
    ) -> Result<()> {
        let kind = Kind::Entries(directory.seed);
        let (_, buffer) = self.append_block(handle, budget, directory, kind).await?;
        handle.edit(&buffer, kind, |bytes| {
            block::initialise_first(bytes, directory.number, parent, self.rules.directory);
        });
        Ok(())
    }
}

/// The entries of a leaf in the order of their hashes.
fn by_hash<'b>(leaf: &'b [u8], hasher: &Hasher, encoding: Encoding) -> Vec<(u32, Entry<'b>)> {
    let used = block::entries(leaf, encoding).filter(|entry| entry.inode != 0);
    let mut entries: Vec<_> = used.map(|entry| (hasher.hash(entry.name).major, entry)).collect();
    entries.sort_by_key(|(hash, _)| *hash);
    entries
}

/// Where half of the space is used; neither side is empty.
fn split_point(entries: &[(u32, Entry<'_>)]) -> Option<usize> {
    let space = |entry: &Entry<'_>| block::record_len(entry.name.len());
    let total: usize = entries.iter().map(|(_, entry)| space(entry)).sum();
    let mut used = 0;
    let half = entries.iter().position(|(_, entry)| {
        used += space(entry);
        used > total / 2
    });
    (entries.len() > 1).then(|| half.unwrap_or(1).clamp(1, entries.len() - 1))
}
