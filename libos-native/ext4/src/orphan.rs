//! Inodes that a crash must not leak: without a name but open, or in the midst of a truncation.
//!
//! They are in the orphan file if there is one with room, else in a list that begins in the
//! superblock and goes on through the inodes. Mounting finishes what they were waiting for.
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::bytes::{put_u32, u32_at};
use crate::layout::features::compatible;
use crate::layout::inode;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serix_block::BlockDevice;
use spin::Mutex;

/// Orphans that are believed of one list: a loop of a corrupt image ends here at the latest.
const LIST_LIMIT: usize = 1 << 20;
/// Bytes at the end of a block of the orphan file that hold no numbers.
const TAIL: usize = 8;

#[derive(Default)]
struct State {
    /// The list, first the one that the superblock names.
    listed: Vec<u32>,
    /// Block index and slot in the orphan file.
    filed: BTreeMap<u32, (usize, usize)>,
}

/// The orphan file's blocks.
#[derive(Default)]
struct OrphanFile {
    blocks: Vec<u64>,
    seed: u32,
}

#[derive(Default)]
pub(crate) struct Orphans {
    state: Mutex<State>,
    file: OrphanFile,
}

impl Orphans {
    /// What the superblock says: the list's first inode, and whether the file has any.
    pub(crate) fn stored(&self) -> (u32, bool) {
        let state = self.state.lock();
        (state.listed.first().copied().unwrap_or(0), !state.filed.is_empty())
    }

    fn contains(&self, number: u32) -> bool {
        let state = self.state.lock();
        state.filed.contains_key(&number) || state.listed.contains(&number)
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// Notes an orphan. It is one until [`Self::remove_orphan`].
    pub(crate) async fn add_orphan(&self, handle: &Handle<'_, D>, number: u32) -> Result<()> {
        if self.orphans.contains(number) {
            return Ok(());
        }
        for index in 0..self.orphans.file.blocks.len() {
            if self.file_orphan(handle, number, index).await? {
                return Ok(());
            }
        }
        let next = {
            let mut state = self.orphans.state.lock();
            state.listed.insert(0, number);
            state.listed.get(1).copied().unwrap_or(0)
        };
        self.link_orphan(handle, number, next).await
    }

    /// Enters an orphan in a block of the orphan file, if it has a free slot.
    async fn file_orphan(&self, handle: &Handle<'_, D>, number: u32, index: usize) -> Result<bool> {
        let kind = Kind::Orphans(self.orphans.file.seed);
        let buffer = self.buffer(self.orphans.file.blocks[index], kind).await?;
        let slots = (self.disk.block_size() - TAIL) / 4;
        let free = buffer.read(|bytes| (0..slots).find(|slot| u32_at(bytes, slot * 4) == 0));
        let Some(slot) = free else { return Ok(false) };
        handle.edit(&buffer, kind, |bytes| put_u32(bytes, slot * 4, number));
        self.orphans.state.lock().filed.insert(number, (index, slot));
        Ok(true)
    }

    async fn link_orphan(&self, handle: &Handle<'_, D>, number: u32, next: u32) -> Result<()> {
        self.change_raw(handle, number, |raw| inode::set_deleted(raw, next)).await
    }

    /// The inode is no orphan any more.
    pub(crate) async fn remove_orphan(&self, handle: &Handle<'_, D>, number: u32) -> Result<()> {
        let filed = self.orphans.state.lock().filed.remove(&number);
        if let Some((index, slot)) = filed {
            let kind = Kind::Orphans(self.orphans.file.seed);
            let buffer = self.buffer(self.orphans.file.blocks[index], kind).await?;
            handle.edit(&buffer, kind, |bytes| put_u32(bytes, slot * 4, 0));
            return Ok(());
        }
        let (before, next) = {
            let mut state = self.orphans.state.lock();
            let Some(at) = state.listed.iter().position(|listed| *listed == number) else {
                return Ok(());
            };
            state.listed.remove(at);
            let before = at.checked_sub(1).map(|before| state.listed[before]);
            (before, state.listed.get(at).copied().unwrap_or(0))
        };
        self.link_orphan(handle, number, 0).await?;
        match before {
            Some(before) => self.link_orphan(handle, before, next).await,
            None => Ok(()),
        }
    }

    /// Finds the orphan file's blocks and all orphans, at mount.
    pub(crate) async fn load_orphans(&mut self, first: u32) -> Result<()> {
        self.load_orphan_file().await?;
        let mut next = first;
        let mut listed = Vec::new();
        while next != 0 {
            if listed.len() > LIST_LIMIT || listed.contains(&next) {
                return Err(Error::corrupt_inode("loop in the orphan list", next));
            }
            listed.push(next);
            next = self.any_node(next).await?.body.read().await.deleted;
            if next > self.rules.superblock.inodes {
                return Err(Error::corrupt_inode("orphan list", next));
            }
        }
        self.orphans.state.lock().listed = listed;
        Ok(())
    }

    async fn load_orphan_file(&mut self) -> Result<()> {
        let number = self.rules.superblock.orphan_file;
        if number == 0 || !self.rules.superblock.features.compatible(compatible::ORPHAN_FILE) {
            return Ok(());
        }
        let node = self.any_node(number).await?;
        let file = node.body.read().await;
        let mut blocks = Vec::new();
        for logical in 0..(file.size / self.disk.block_size() as u64).min(1 << 16) {
            blocks.push(self.map_block(&file, logical as u32).await?);
        }
        let kind = Kind::Orphans(file.seed);
        let mut filed = BTreeMap::new();
        for (index, block) in blocks.iter().enumerate() {
            let buffer = self.buffer(*block, kind).await?;
            buffer.read(|bytes| {
                for slot in 0..(bytes.len() - TAIL) / 4 {
                    let number = u32_at(bytes, slot * 4);
                    if number != 0 && number <= self.rules.superblock.inodes {
                        filed.insert(number, (index, slot));
                    }
                }
            });
        }
        let seed = file.seed;
        drop(file);
        self.orphans.file = OrphanFile { blocks, seed };
        self.orphans.state.lock().filed = filed;
        Ok(())
    }

    /// Deletes what has no name, and cuts what was being truncated.
    pub(crate) async fn finish_orphans(&self) -> Result<()> {
        let numbers: Vec<u32> = {
            let state = self.orphans.state.lock();
            state.listed.iter().copied().chain(state.filed.keys().copied()).collect()
        };
        for number in numbers {
            self.finish_orphan(number).await?;
        }
        Ok(())
    }

    async fn finish_orphan(&self, number: u32) -> Result<()> {
        let node = self.any_node(number).await?;
        let mut body = node.body.write().await;
        if body.links == 0 {
            return self.delete(&node, &mut body).await;
        }
        let block = self.disk.block_size() as u64;
        let from = body.size.div_ceil(block);
        self.cut_tail(&node, &mut body, from, None).await
    }
}
