//! Making inodes and names.
use super::{LINK_MAX, check_directory, check_name};
use crate::allocator::Budget;
use crate::directory::{INSERT_BLOCKS, INSERT_CREDITS};
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::extent as extent_layout;
use crate::layout::features::{incompatible, read_only};
use crate::layout::inode::{self, BASE_SIZE, FileKind, Inode, MAP_SIZE, Map, flags};
use crate::map::STEP_BLOCKS;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use serix_block::BlockDevice;

/// What an inode is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewInode {
    /// Anything but a symbolic link.
    pub kind: FileKind,
    /// The low 12 bits of the mode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
}

/// Blocks that making an inode changes besides its entry: bitmap, descriptor and table of the
/// inode, zeroed table blocks, and of a first block bitmap, descriptor and the block.
const CREATE_CREDITS: usize = INSERT_CREDITS + 20;

/// Makes generation numbers differ within one tick of the clock.
static GENERATION: AtomicU32 = AtomicU32::new(1);

impl<D: BlockDevice> Ext4<D> {
    /// Makes an inode and its first name; answers its number.
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `TooManyLinks`, `NameTooLong`, `ReadOnly`, `NotDirectory`, `Io`.
    pub async fn create(&self, directory: u32, name: &[u8], new: NewInode) -> Result<u32> {
        if new.kind == FileKind::Symlink {
            return Err(Error::Invalid);
        }
        self.make(directory, name, new, None).await
    }

    /// Makes a symbolic link, mode 0o777; answers its number.
    ///
    /// # Errors
    /// As [`Self::create`], and `NameTooLong` for a target that does not fit a block.
    pub async fn symlink(
        &self,
        directory: u32,
        name: &[u8],
        target: &[u8],
        uid: u32,
        gid: u32,
    ) -> Result<u32> {
        if target.len() >= self.disk.block_size() {
            return Err(Error::NameTooLong);
        }
        if target.is_empty() {
            return Err(Error::NotFound);
        }
        let new = NewInode { kind: FileKind::Symlink, mode: 0o777, uid, gid, device: (0, 0) };
        self.make(directory, name, new, Some(target)).await
    }

    async fn make(
        &self,
        directory: u32,
        name: &[u8],
        new: NewInode,
        target: Option<&[u8]>,
    ) -> Result<u32> {
        check_name(name)?;
        self.check_writable()?;
        let node = self.node(directory).await?;
        let mut body = node.body.write().await;
        self.check_new_name(&body, name).await?;
        if new.kind == FileKind::Directory {
            self.check_links(&body)?;
        }
        let promise = self.promise_inode()?;
        let budget = self.promise(INSERT_BLOCKS + 1 + STEP_BLOCKS).await?;
        let handle = self.begin(CREATE_CREDITS).await?;
        let is_directory = new.kind == FileKind::Directory;
        let outcome = async {
            let number = self.allocate_inode(&handle, promise, directory, is_directory).await?;
            let mut inode = self.new_inode(number, new);
            self.fill_inode(&handle, &budget, &mut inode, directory, target).await?;
            self.make_node(&handle, inode).await?;
            let entry = (number, self.kind_byte(new.kind));
            self.add_entry(&handle, &budget, &mut body, name, entry).await?;
            if is_directory {
                self.count_link(&mut body);
            }
            self.stamp_directory(&handle, &node, &mut body).await?;
            Ok(number)
        }
        .await;
        handle.finish(outcome)
    }

    /// Fails unless a directory can take a name.
    pub(super) async fn check_new_name(&self, directory: &Inode, name: &[u8]) -> Result<()> {
        check_directory(directory)?;
        match self.find_entry(directory, name).await? {
            Some(_) => Err(Error::Exists),
            None => Ok(()),
        }
    }

    /// Fails if a directory cannot count another one in it.
    pub(super) fn check_links(&self, directory: &Inode) -> Result<()> {
        let uncounted = self.rules.superblock.features.read_only(read_only::DIR_NLINK);
        if directory.links >= LINK_MAX && !uncounted {
            return Err(Error::TooManyLinks);
        }
        Ok(())
    }

    /// Counts a directory's `..` in the directory above. Past the limit, which [`Self::check_links`] lets nobody pass
    /// who has no other way, 1 stands for "many".
    pub(super) fn count_link(&self, directory: &mut Inode) {
        let many = directory.links == 1 || directory.links >= LINK_MAX;
        directory.links = if many { 1 } else { directory.links + 1 };
    }

    /// A directory's entries changed now.
    pub(super) async fn stamp_directory(
        &self,
        handle: &Handle<'_, D>,
        node: &Arc<Node>,
        body: &mut Inode,
    ) -> Result<()> {
        let now = self.now();
        (body.modified, body.changed) = (now, now);
        node.note_change(handle.transaction(), true);
        self.store(handle, body).await
    }

    fn new_inode(&self, number: u32, new: NewInode) -> Inode {
        let now = self.now();
        let salt = GENERATION.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9);
        let generation = salt ^ now.nanoseconds ^ now.seconds as u32;
        let size = self.rules.superblock.inode_size;
        let wanted = self.rules.superblock.want_extra_size;
        let wanted = if wanted == 0 { 28 } else { wanted & !3 };
        let mut inode = Inode {
            number,
            seed: inode::seed(self.rules.seed, number, generation),
            mode: new.kind.mode_bits() | new.mode & 0xfff,
            uid: new.uid,
            gid: new.gid,
            links: if new.kind == FileKind::Directory { 2 } else { 1 },
            generation,
            accessed: now,
            changed: now,
            modified: now,
            created: now,
            extra_size: (size - BASE_SIZE).min(wanted.into()) as u16,
            ..Inode::default()
        };
        if matches!(new.kind, FileKind::Regular | FileKind::Directory) {
            self.initialise_map(&mut inode);
        } else {
            inode.set_device(new.device.0, new.device.1);
        }
        inode
    }

    /// An empty map: an extent tree where the file system has them.
    fn initialise_map(&self, inode: &mut Inode) {
        inode.map = Map::default();
        if self.rules.superblock.features.incompatible(incompatible::EXTENTS) {
            inode.flags |= flags::EXTENTS;
            let capacity = extent_layout::capacity(MAP_SIZE);
            extent_layout::initialise(&mut inode.map.0, capacity, 0);
        }
    }

    /// Gives a new inode its first contents.
    async fn fill_inode(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        inode: &mut Inode,
        parent: u32,
        target: Option<&[u8]>,
    ) -> Result<()> {
        if inode.is(FileKind::Directory) {
            return self.make_first_block(handle, budget, inode, parent).await;
        }
        let Some(target) = target else { return Ok(()) };
        inode.size = target.len() as u64;
        if target.len() < MAP_SIZE {
            inode.map = Map::default();
            inode.map.0[..target.len()].copy_from_slice(target);
            return Ok(());
        }
        self.initialise_map(inode);
        let goal = self.inode_goal_block(inode);
        let physical = self.allocate_block(handle, budget, goal).await?;
        inode.sectors += self.sectors_per_block();
        let extent = extent_layout::Extent { logical: 0, len: 1, physical, unwritten: false };
        self.insert(handle, budget, inode, extent).await?;
        // In the journal as if it were metadata: a link is whole or not there after a crash.
        let buffer = self.cache.fresh(physical, Kind::Plain);
        handle.edit(&buffer, Kind::Plain, |bytes| bytes[..target.len()].copy_from_slice(target));
        Ok(())
    }

    /// Gives an inode, not a directory, a further name.
    ///
    /// # Errors
    /// `Exists`, `IsDirectory`, `TooManyLinks`, `NoSpace`, `Stale` for an inode without names.
    pub async fn link(&self, number: u32, directory: u32, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.check_writable()?;
        let node = self.node(number).await?;
        // Before the directory is locked: this one might lie above it.
        if node.body.read().await.is(FileKind::Directory) {
            return Err(Error::IsDirectory);
        }
        let parent = self.node(directory).await?;
        let mut parent_body = parent.body.write().await;
        self.check_new_name(&parent_body, name).await?;
        let mut body = node.body.write().await;
        if body.links == 0 {
            return Err(Error::Stale);
        }
        if body.links >= LINK_MAX {
            return Err(Error::TooManyLinks);
        }
        let kind = body.kind().ok_or(Error::corrupt_inode("inode mode", number))?;
        let budget = self.promise(INSERT_BLOCKS).await?;
        let handle = self.begin(INSERT_CREDITS + 4).await?;
        let outcome = async {
            let entry = (number, self.kind_byte(kind));
            self.add_entry(&handle, &budget, &mut parent_body, name, entry).await?;
            body.links += 1;
            body.changed = self.now();
            node.note_change(handle.transaction(), true);
            self.store(&handle, &body).await?;
            self.stamp_directory(&handle, &parent, &mut parent_body).await
        }
        .await;
        handle.finish(outcome)
    }
}
