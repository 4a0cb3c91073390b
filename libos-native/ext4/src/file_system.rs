//! The mounted file system: what all parts share.
use crate::allocator::{Counts, Group};
use crate::cache::{Buffer, Cache, Found};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::inode::Nodes;
use crate::journal::Journal;
use crate::kind::{Kind, Rules};
use crate::layout::group::Protection;
use crate::layout::inode::Time;
use crate::layout::superblock::{self, Changing};
use crate::name_hash::Hasher;
use crate::orphan::Orphans;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, Ordering};
use serix_block::BlockDevice;
use spin::Mutex;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;
/// Takes a line for the log.
pub type Log = Arc<dyn Fn(Arguments<'_>) + Send + Sync>;

/// How to mount.
#[derive(Clone)]
pub struct Options {
    /// Take no changes. A journal that a crash left behind is replayed all the same.
    pub read_only: bool,
    /// The clock that stamps inodes.
    pub clock: Clock,
    /// Where errors that make the file system read-only are told.
    pub log: Log,
    /// Bound of the metadata cache in bytes. The pages of transactions on their way to their place
    /// take at most three quarters as much again, and at least 3 MiB.
    pub cache_bytes: usize,
}

impl Options {
    /// Read-write, a cache of 4 MiB, no log.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { read_only: false, clock, log: Arc::new(|_| ()), cache_bytes: 4 << 20 }
    }
}

/// A mounted file system.
///
/// Futures of methods that change something must be driven to their end: dropping one half-way
/// makes the file system read-only.
pub struct Ext4<D: BlockDevice> {
    pub(crate) disk: Disk<D>,
    pub(crate) options: Options,
    pub(crate) rules: Rules,
    pub(crate) protection: Protection,
    pub(crate) hasher: Hasher,
    pub(crate) superblock_buffer: Arc<Buffer>,
    pub(crate) groups: Vec<Mutex<Group>>,
    pub(crate) counts: Counts,
    pub(crate) cache: Cache,
    pub(crate) journal: Journal<D::Page>,
    pub(crate) nodes: Nodes,
    pub(crate) orphans: Orphans,
    /// Held while an entry moves from one directory to another.
    pub(crate) rename_lock: async_lock::Mutex<()>,
    pub(crate) read_only: bool,
    pub(crate) marked_dirty: AtomicBool,
}

/// Sizes and free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes per block.
    pub block_size: u32,
    /// Blocks in all, without the file system's own.
    pub blocks: u64,
    /// Unused blocks.
    pub blocks_free: u64,
    /// Unused blocks without those reserved for the superuser.
    pub blocks_available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Unused inodes.
    pub inodes_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
    /// Identifies the file system.
    pub id: u64,
}

impl<D: BlockDevice> Ext4<D> {
    pub(crate) fn now(&self) -> Time {
        (self.options.clock)()
    }

    /// The failure that made the file system read-only, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        *self.journal.failure.lock()
    }

    /// Whether it takes no changes, for good or since an error.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only || self.failure().is_some()
    }

    pub(crate) fn check_alive(&self) -> Result<()> {
        self.failure().map_or(Ok(()), Err)
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.is_read_only() { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// No transaction is committed from now on; what is durable stays.
    pub(crate) fn fail(&self, error: Error) {
        let mut failure = self.journal.failure.lock();
        if failure.is_some() {
            return;
        }
        *failure = Some(error);
        drop(failure);
        (self.options.log)(format_args!("ext4: read-only since an error: {error}"));
    }

    pub(crate) fn is_marked_dirty(&self) -> bool {
        self.marked_dirty.load(Ordering::Acquire)
    }

    pub(crate) fn set_marked_dirty(&self, dirty: bool) {
        self.marked_dirty.store(dirty, Ordering::Release);
    }

    /// A metadata block, checked for its role.
    pub(crate) async fn buffer(&self, block: u64, kind: Kind) -> Result<Arc<Buffer>> {
        let buffer = self.buffer_unchecked(block).await?;
        buffer.check(kind, &self.rules)?;
        Ok(buffer)
    }

    /// A metadata block that the caller checks.
    pub(crate) async fn buffer_unchecked(&self, block: u64) -> Result<Arc<Buffer>> {
        match self.cache.find(block) {
            Some(buffer) => Ok(buffer),
            None => self.load(block, 1).await,
        }
    }

    /// Reads a block, and with it those after it, up to `ahead` in all, that nobody has.
    pub(crate) async fn load(&self, block: u64, ahead: u32) -> Result<Arc<Buffer>> {
        if block >= self.rules.superblock.blocks {
            return Err(Error::corrupt_block("block out of range", block));
        }
        let ticket = match self.cache.claim(block).await {
            Found::Present(buffer) => return Ok(buffer),
            Found::Absent(ticket) => ticket,
        };
        if let Some(bytes) = self.pending_copy(block) {
            return Ok(self.cache.insert(ticket, bytes));
        }
        let mut tickets = vec![ticket];
        for next in (block + 1..self.rules.superblock.blocks).take(ahead as usize - 1) {
            let Some(ticket) = self.cache.claim_now(next) else { break };
            if self.pending_copy(next).is_some() {
                break;
            }
            tickets.push(ticket);
        }
        let blocks = self.disk.read_blocks(block, tickets.len() as u32).await?;
        let mut buffers = tickets.into_iter().zip(blocks);
        let first = buffers.next().map(|(ticket, bytes)| self.cache.insert(ticket, bytes));
        buffers.for_each(|(ticket, bytes)| drop(self.cache.insert(ticket, bytes)));
        first.ok_or(Error::corrupt_block("nothing read", block))
    }

    fn pending_copy(&self, block: u64) -> Option<Box<[u8]>> {
        let mut bytes = vec![0; self.disk.block_size()].into_boxed_slice();
        self.journal.read_pending(block, &mut bytes).then_some(bytes)
    }

    /// Stores counts in the superblock's block before a commit.
    pub(crate) fn store_counts(&self, block: &mut [u8]) {
        let at = superblock::OFFSET % block.len();
        let bytes = &mut block[at..at + superblock::SIZE];
        let (last_orphan, orphan_present) = self.orphans.stored();
        let counts = Changing {
            free_blocks: self.counts.free_blocks.load(Ordering::Acquire).max(0) as u64,
            free_inodes: self.counts.free_inodes.load(Ordering::Acquire).max(0) as u32,
            last_orphan,
            orphan_present,
        };
        counts.store(bytes);
        if self.counts.large_file.load(Ordering::Acquire) {
            superblock::set_large_file(bytes);
        }
    }

    pub(crate) fn statistics_block_size(&self) -> u32 {
        self.disk.block_size() as u32
    }

    /// Sizes and free space.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let superblock = &self.rules.superblock;
        let table = superblock.inodes_per_group as usize * superblock.inode_size;
        let per_group = 2 + (table / superblock.block_size) as u64;
        let backups = |group| u64::from(superblock.backup_blocks(group));
        let overhead: u64 = (0..self.groups.len() as u32).map(|one| per_group + backups(one)).sum();
        let free = self.counts.available.load(Ordering::Acquire).max(0) as u64;
        Statistics {
            block_size: superblock.block_size as u32,
            blocks: superblock.blocks.saturating_sub(overhead),
            blocks_free: free,
            blocks_available: free.saturating_sub(superblock.reserved_blocks),
            inodes: superblock.inodes.into(),
            inodes_free: self.counts.available_inodes.load(Ordering::Acquire).max(0) as u64,
            name_max: 255,
            id: u64::from_le_bytes(superblock.uuid[..8].try_into().unwrap_or_default()),
        }
    }
}
