//! Inode numbers: promised, taken, given back.
use super::{add, bitmap, take};
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::group::{INODE_UNINIT, INODE_ZEROED};
use crate::layout::inode::ROOT;
use core::sync::atomic::Ordering;
use serix_block::BlockDevice;

/// An inode, promised; dropping it unused gives it back.
pub(crate) struct InodePromise<'f, D: BlockDevice> {
    fs: &'f Ext4<D>,
    used: bool,
}

impl<D: BlockDevice> Drop for InodePromise<'_, D> {
    fn drop(&mut self) {
        if !self.used {
            add(&self.fs.counts.available_inodes, 1);
        }
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// Promises one inode.
    pub(crate) fn promise_inode(&self) -> Result<InodePromise<'_, D>> {
        if !take(&self.counts.available_inodes, 1) {
            return Err(Error::NoSpace);
        }
        Ok(InodePromise { fs: self, used: false })
    }

    /// The group where a new inode belongs: beside its directory; directories at the top are
    /// spread, those below stay near theirs while there is room.
    fn inode_goal(&self, parent: u32, is_directory: bool) -> u32 {
        let count = self.groups.len() as u32;
        let own = self.group_of_inode(parent);
        if !is_directory {
            return own;
        }
        let average = self.counts.free_inodes.load(Ordering::Relaxed).max(0) as u32 / count;
        let first = if parent == ROOT {
            self.counts.next_group.fetch_add(1, Ordering::Relaxed).wrapping_mul(7) % count
        } else {
            own
        };
        let roomy = |group: &u32| {
            let descriptor = self.groups[*group as usize].lock().descriptor;
            descriptor.free_inodes >= average.max(1) && descriptor.free_blocks > 0
        };
        (0..count).map(|step| (first + step) % count).find(roomy).unwrap_or(own)
    }

    /// Takes a free inode number near `parent`.
    pub(crate) async fn allocate_inode(
        &self,
        handle: &Handle<'_, D>,
        mut promise: InodePromise<'_, D>,
        parent: u32,
        is_directory: bool,
    ) -> Result<u32> {
        let count = self.groups.len() as u32;
        let first = self.inode_goal(parent, is_directory);
        for step in 0..count {
            let group = (first + step) % count;
            if let Some(index) = self.take_inode(handle, group, is_directory).await? {
                promise.used = true;
                return Ok(group * self.rules.superblock.inodes_per_group + index + 1);
            }
        }
        Err(Error::corrupt_block("free inode count", 0))
    }

    async fn take_inode(
        &self,
        handle: &Handle<'_, D>,
        group: u32,
        is_directory: bool,
    ) -> Result<Option<u32>> {
        let known = {
            let group = self.groups[group as usize].lock();
            if group.descriptor.free_inodes == 0 {
                return Ok(None);
            }
            group.first_inode
        };
        let count = self.rules.superblock.inodes_per_group;
        let reserved = self.rules.superblock.first_inode - 1;
        let start = if group == 0 { reserved.min(count) } else { 0 };
        let from = start.max(known).min(count);
        let buffer = self.inode_bitmap(group).await?;
        // Its buffer is at hand, so that bit and descriptor change without a wait between.
        self.edit_group(handle, group, |_| ()).await?;
        let kind = Kind::InodeBitmap(group);
        let index = handle.edit(&buffer, kind, |bits| {
            let index = bitmap::next_clear(bits, from, count)?;
            bitmap::set(bits, index, 1);
            Some(index)
        });
        let Some(index) = index else { return Ok(None) };
        add(&self.counts.free_inodes, -1);
        self.edit_group(handle, group, |group| {
            let descriptor = &mut group.descriptor;
            descriptor.free_inodes = descriptor.free_inodes.saturating_sub(1);
            descriptor.directories += u32::from(is_directory);
            descriptor.flags &= !INODE_UNINIT;
            // All between were found taken. One that was freed meanwhile has lowered it.
            if group.first_inode == known {
                group.first_inode = index + 1;
            }
        })
        .await?;
        self.use_table(handle, group, index).await?;
        Ok(Some(index))
    }

    /// Extends the used part of a group's inode table over `index`, zeroing what lies between.
    async fn use_table(&self, handle: &Handle<'_, D>, group: u32, index: u32) -> Result<()> {
        let descriptor = self.groups[group as usize].lock().descriptor;
        let count = self.rules.superblock.inodes_per_group;
        let used = count - descriptor.unused_inodes;
        if !self.has_uninit() || index < used {
            return Ok(());
        }
        let per_block = (self.disk.block_size() / self.rules.superblock.inode_size) as u32;
        if !descriptor.has(INODE_ZEROED) {
            for block in used.div_ceil(per_block)..=index / per_block {
                let first = group * count + block * per_block + 1;
                let place = descriptor.inode_table + u64::from(block);
                let kind = Kind::Inodes(first);
                let buffer = self.cache.fresh(place, kind);
                handle.edit(&buffer, kind, |_| ());
            }
        }
        self.edit_group(handle, group, |group| {
            group.descriptor.unused_inodes = count - (index + 1);
        })
        .await
    }

    /// Gives an inode number back.
    pub(crate) async fn free_inode(
        &self,
        handle: &Handle<'_, D>,
        number: u32,
        is_directory: bool,
    ) -> Result<()> {
        let group = self.group_of_inode(number);
        let index = (number - 1) % self.rules.superblock.inodes_per_group;
        let buffer = self.inode_bitmap(group).await?;
        if !buffer.read(|bits| bitmap::all_set(bits, index, 1)) {
            return Err(Error::corrupt_inode("inode freed twice", number));
        }
        self.edit_group(handle, group, |group| {
            let descriptor = &mut group.descriptor;
            descriptor.free_inodes += 1;
            descriptor.directories = descriptor.directories.saturating_sub(u32::from(is_directory));
        })
        .await?;
        handle.edit(&buffer, Kind::InodeBitmap(group), |bits| bitmap::clear(bits, index, 1));
        // After the bit: who searches meanwhile does not raise it again.
        let mut found = self.groups[group as usize].lock();
        found.first_inode = found.first_inode.min(index);
        drop(found);
        add(&self.counts.free_inodes, 1);
        add(&self.counts.available_inodes, 1);
        Ok(())
    }
}
