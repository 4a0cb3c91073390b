//! Entries of directories: finding, adding, removing, listing.
//!
//! A directory of more than one block has a hash tree if the file system has `dir_index`; without
//! one its blocks are searched in order. The caller holds the directory's lock.
mod index;
mod insert;
mod list;

pub(crate) use insert::{INSERT_BLOCKS, INSERT_CREDITS};
pub use list::DirectoryEntry;

use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::directory as block;
use crate::layout::inode::{FileKind, Inode, flags};
use crate::map::State;
use alloc::sync::Arc;
use serix_block::BlockDevice;

/// Blocks of a directory that are read at once.
const READ_AHEAD: u64 = 8;
/// Offset of `..` in a directory's first block.
const PARENT_OFFSET: usize = 12;

/// An entry that was found.
pub(crate) struct Located {
    buffer: Arc<Buffer>,
    offset: usize,
    pub(crate) inode: u32,
    pub(crate) kind: u8,
}

impl<D: BlockDevice> Ext4<D> {
    /// Blocks of a directory.
    fn directory_blocks(&self, directory: &Inode) -> u32 {
        (directory.size / self.disk.block_size() as u64) as u32
    }

    fn is_indexed(&self, directory: &Inode) -> bool {
        directory.has(flags::INDEX) && self.has_index()
    }

    /// A block of a directory.
    async fn directory_buffer(
        &self,
        directory: &Inode,
        logical: u32,
        kind: Kind,
    ) -> Result<Arc<Buffer>> {
        if logical >= self.directory_blocks(directory) {
            return Err(Error::corrupt_inode("directory block past the end", directory.number));
        }
        let run = self.map(directory, logical).await?;
        let State::Written(place) = run.state else {
            return Err(Error::corrupt_inode("hole in directory", directory.number));
        };
        let buffer = match self.cache.find(place) {
            Some(buffer) => buffer,
            None => self.load(place, run.len.min(READ_AHEAD) as u32).await?,
        };
        buffer.check(kind, &self.rules)?;
        Ok(buffer)
    }

    fn find_in(&self, buffer: Arc<Buffer>, name: &[u8]) -> Option<Located> {
        let found = buffer.read(|bytes| block::find(bytes, name, self.rules.directory));
        found.map(|(offset, inode, kind)| Located { buffer, offset, inode, kind })
    }

    /// Finds a name.
    pub(crate) async fn find_entry(
        &self,
        directory: &Inode,
        name: &[u8],
    ) -> Result<Option<Located>> {
        if self.is_indexed(directory) {
            return self.find_indexed(directory, name).await;
        }
        for logical in 0..self.directory_blocks(directory) {
            let kind = Kind::Entries(directory.seed);
            let buffer = self.directory_buffer(directory, logical, kind).await?;
            if let Some(found) = self.find_in(buffer, name) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Removes an entry that was found under the same lock.
    pub(crate) fn remove_entry(&self, handle: &Handle<'_, D>, directory: &Inode, entry: &Located) {
        handle.edit(&entry.buffer, Kind::Entries(directory.seed), |bytes| {
            block::remove(bytes, entry.offset);
        });
    }

    /// Makes an entry that was found under the same lock name another inode.
    pub(crate) fn retarget_entry(
        &self,
        handle: &Handle<'_, D>,
        directory: &Inode,
        entry: &Located,
        target: (u32, u8),
    ) {
        handle.edit(&entry.buffer, Kind::Entries(directory.seed), |bytes| {
            block::retarget(bytes, entry.offset, target);
        });
    }

    /// The block that holds `.` and `..`, and its role.
    async fn first_block(&self, directory: &Inode) -> Result<(Arc<Buffer>, Kind)> {
        let kind = if self.is_indexed(directory) {
            Kind::IndexRoot(directory.seed)
        } else {
            Kind::Entries(directory.seed)
        };
        Ok((self.directory_buffer(directory, 0, kind).await?, kind))
    }

    /// The inode that `..` names.
    pub(crate) async fn parent_of(&self, directory: &Inode) -> Result<u32> {
        let (buffer, _) = self.first_block(directory).await?;
        let first = buffer.read(|bytes| {
            let dots = block::find(bytes, b"..", self.rules.directory);
            dots.filter(|(offset, ..)| *offset == PARENT_OFFSET)
        });
        match first {
            Some((_, parent, _)) => Ok(parent),
            None => Err(Error::corrupt_inode("directory without a parent", directory.number)),
        }
    }

    /// Makes `..` name another directory.
    pub(crate) async fn set_parent(
        &self,
        handle: &Handle<'_, D>,
        directory: &Inode,
        parent: u32,
    ) -> Result<()> {
        self.parent_of(directory).await?;
        let (buffer, kind) = self.first_block(directory).await?;
        let target = (parent, self.kind_byte(FileKind::Directory));
        handle.edit(&buffer, kind, |bytes| block::retarget(bytes, PARENT_OFFSET, target));
        Ok(())
    }

    /// The type byte of an entry, 0 where the file system stores none.
    pub(crate) fn kind_byte(&self, kind: FileKind) -> u8 {
        if self.rules.directory.has_kind { block::kind_byte(kind) } else { 0 }
    }

    /// Whether a directory has no entries but `.` and `..`.
    pub(crate) async fn is_empty(&self, directory: &Inode) -> Result<bool> {
        let mut cookie = 0;
        loop {
            let Some(batch) = self.list(directory, cookie).await? else { return Ok(true) };
            if !batch.entries.is_empty() {
                return Ok(false);
            }
            cookie = batch.next;
        }
    }
}
