//! The hash tree of a directory: finding the leaf of a name.
use super::Located;
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::kind::Kind;
use crate::layout::features::{compatible, incompatible};
use crate::layout::htree::{self as node, Role};
use crate::layout::inode::Inode;
use crate::name_hash::Hasher;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::BlockDevice;

/// An index node on the way to a leaf.
pub(super) struct Level {
    pub(super) buffer: Arc<Buffer>,
    pub(super) role: Role,
    pub(super) index: usize,
}

/// From the root to the index node above a leaf.
pub(super) struct Path {
    pub(super) levels: Vec<Level>,
    pub(super) hasher: Hasher,
}

impl Level {
    pub(super) fn kind(&self, seed: u32) -> Kind {
        match self.role {
            Role::Root => Kind::IndexRoot(seed),
            Role::Inner => Kind::IndexNode(seed),
        }
    }

    fn child(&self) -> u32 {
        self.buffer.read(|bytes| node::child(bytes, self.role, self.index))
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.read(|bytes| node::is_full(bytes, self.role))
    }

    /// Goes to the next entry and answers its hash.
    fn advance(&mut self) -> Option<u32> {
        let next = self.index + 1;
        let hash = self.buffer.read(|bytes| {
            (next < node::count(bytes, self.role)).then(|| node::hash(bytes, self.role, next))
        })?;
        self.index = next;
        Some(hash)
    }
}

impl Path {
    /// The leaf's logical block.
    pub(super) fn leaf(&self) -> u32 {
        self.levels[self.levels.len() - 1].child()
    }

    pub(super) fn bottom(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }
}

impl<D: BlockDevice> Ext4<D> {
    pub(super) fn has_index(&self) -> bool {
        self.rules.superblock.features.compatible(compatible::DIR_INDEX)
    }

    /// Index levels below the root, at most.
    pub(super) fn max_index_levels(&self) -> u8 {
        if self.rules.superblock.features.incompatible(incompatible::LARGEDIR) { 2 } else { 1 }
    }

    /// The index nodes on the way to the leaf of a hash.
    pub(super) async fn index_path(
        &self,
        directory: &Inode,
        hash_of: impl FnOnce(&Hasher) -> u32,
    ) -> Result<Path> {
        let buffer = self.directory_buffer(directory, 0, Kind::IndexRoot(directory.seed)).await?;
        let root = buffer.read(node::root);
        let superblock = &self.rules.superblock;
        let hasher = Hasher::new(root.hash_version, superblock.hash_unsigned, superblock.hash_seed);
        let (Some(hasher), true) = (hasher, root.levels <= self.max_index_levels()) else {
            return Err(Error::corrupt_inode("directory index root", directory.number));
        };
        let hash = hash_of(&hasher);
        let index = buffer.read(|bytes| node::search(bytes, Role::Root, hash));
        let mut levels = Vec::with_capacity(usize::from(root.levels) + 1);
        levels.push(Level { buffer, role: Role::Root, index });
        let mut path = Path { levels, hasher };
        for _ in 0..root.levels {
            let level = self.index_node(directory, path.leaf(), hash).await?;
            path.levels.push(level);
        }
        Ok(path)
    }

    async fn index_node(&self, directory: &Inode, logical: u32, hash: u32) -> Result<Level> {
        let kind = Kind::IndexNode(directory.seed);
        let buffer = self.directory_buffer(directory, logical, kind).await?;
        let index = buffer.read(|bytes| node::search(bytes, Role::Inner, hash));
        Ok(Level { buffer, role: Role::Inner, index })
    }

    pub(super) async fn leaf_buffer(&self, directory: &Inode, path: &Path) -> Result<Arc<Buffer>> {
        self.directory_buffer(directory, path.leaf(), Kind::Entries(directory.seed)).await
    }

    pub(super) async fn find_indexed(
        &self,
        directory: &Inode,
        name: &[u8],
    ) -> Result<Option<Located>> {
        if name == b"." || name == b".." {
            let (buffer, _) = self.first_block(directory).await?;
            return Ok(self.find_in(buffer, name));
        }
        let mut hash = 0;
        let mut path = self
            .index_path(directory, |hasher| {
                hash = hasher.hash(name).major;
                hash
            })
            .await?;
        loop {
            let buffer = self.leaf_buffer(directory, &path).await?;
            if let Some(found) = self.find_in(buffer, name) {
                return Ok(Some(found));
            }
            // Names of one hash may go on in the next leaf; the low bit of its key says so.
            if self.next_leaf(directory, &mut path).await? != Some(hash | 1) {
                return Ok(None);
            }
        }
    }

    /// Moves a path to the next leaf and answers its key.
    pub(super) async fn next_leaf(
        &self,
        directory: &Inode,
        path: &mut Path,
    ) -> Result<Option<u32>> {
        let depth = path.levels.len();
        for level in (0..depth).rev() {
            let Some(hash) = path.levels[level].advance() else { continue };
            path.levels.truncate(level + 1);
            while path.levels.len() < depth {
                // Key 0 leads to the first entry of each node below.
                let below = self.index_node(directory, path.leaf(), 0).await?;
                path.levels.push(below);
            }
            return Ok(Some(hash));
        }
        Ok(None)
    }
}
