//! Inodes in memory.
//!
//! A [`Node`] is the one place where an inode changes. Every change is stored in the inode's block
//! within the same transaction, so a node that nobody holds can be let go at any time. A node is
//! made from its block under the table's lock: never from contents that have changed since.
use crate::cache::{Buffer, NumberMap};
use crate::error::{Error, Result};
use crate::file::Reservation;
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::features::read_only;
use crate::layout::inode::{self, Encoding, FileKind, Inode, flags};
use crate::layout::{extent, journal};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use serix_block::BlockDevice;
use spin::Mutex;

/// Nodes that are kept although nobody holds them, besides half as many as are in use.
const BOUND: usize = 1024;
/// Blocks of an inode table that are read at once.
const READ_AHEAD: u32 = 8;

pub(crate) struct Node {
    pub(crate) number: u32,
    pub(crate) body: async_lock::RwLock<Inode>,
    /// Held by whoever changes which blocks belong to the file, before `body`.
    pub(crate) writer: async_lock::Mutex<()>,
    /// Space promised to dirty pages, and the window where the file grows.
    pub(crate) reservation: Mutex<Reservation>,
    /// How often it is open.
    pub(crate) opens: AtomicU32,
    /// The last transaction that changed it, or what is needed to read its data.
    changed_in: AtomicU32,
    data_changed_in: AtomicU32,
}

/// All nodes, by number.
#[derive(Default)]
pub(crate) struct Nodes(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_number: NumberMap<u32, Arc<Node>>,
    /// Nodes that were in use when idle ones were last let go.
    used: usize,
}

impl Node {
    fn new(inode: Inode, transaction: u32) -> Self {
        Self {
            number: inode.number,
            body: async_lock::RwLock::new(inode),
            writer: async_lock::Mutex::new(()),
            reservation: Mutex::default(),
            opens: AtomicU32::new(0),
            changed_in: AtomicU32::new(transaction),
            data_changed_in: AtomicU32::new(transaction),
        }
    }

    /// Notes that a transaction changed the inode, and with `data` where its data are.
    pub(crate) fn note_change(&self, transaction: u32, data: bool) {
        raise(&self.changed_in, transaction);
        if data {
            raise(&self.data_changed_in, transaction);
        }
    }

    /// The transaction that must be durable for an `fsync`.
    pub(crate) fn last_change(&self, data_only: bool) -> u32 {
        let source = if data_only { &self.data_changed_in } else { &self.changed_in };
        source.load(Ordering::Acquire)
    }

    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
            && self.opens.load(Ordering::Acquire) == 0
            && self.reservation.lock().is_empty()
    }
}

fn raise(number: &AtomicU32, to: u32) {
    let newer = |now: u32| journal::is_before(now, to).then_some(to);
    // Failing means that it is newer already.
    let _ = number.fetch_update(Ordering::AcqRel, Ordering::Acquire, newer);
}

impl Nodes {
    pub(crate) fn find(&self, number: u32) -> Option<Arc<Node>> {
        self.0.lock().by_number.get(&number).cloned()
    }

    pub(crate) fn remove(&self, number: u32) {
        self.0.lock().by_number.remove(&number);
    }

    /// The node, made by `make` if it is not here.
    fn find_or(&self, number: u32, make: impl FnOnce() -> Result<Node>) -> Result<Arc<Node>> {
        let mut nodes = self.0.lock();
        if let Some(node) = nodes.by_number.get(&number) {
            return Ok(node.clone());
        }
        // Looked at all only after so many more that each pays for a few.
        if nodes.by_number.len() >= nodes.used + nodes.used / 2 + BOUND {
            nodes.by_number.retain(|_, node| !node.is_idle());
            nodes.used = nodes.by_number.len();
        }
        let node = Arc::new(make()?);
        nodes.by_number.insert(number, node.clone());
        Ok(node)
    }

    /// Lets `act` see each node.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Arc<Node>)) {
        self.0.lock().by_number.values().for_each(&mut act);
    }
}

/// Where an inode is stored.
struct Place {
    block: u64,
    /// First inode of the block.
    first: u32,
    /// Bytes into the block.
    offset: usize,
}

impl Place {
    fn kind(&self) -> Kind {
        Kind::Inodes(self.first)
    }
}

impl<D: BlockDevice> Ext4<D> {
    pub(crate) fn encoding(&self) -> Encoding {
        Encoding {
            block_size: self.disk.block_size(),
            huge_file: self.rules.superblock.features.read_only(read_only::HUGE_FILE),
            seed: self.rules.seed,
        }
    }

    pub(crate) fn group_of_inode(&self, number: u32) -> u32 {
        (number - 1) / self.rules.superblock.inodes_per_group
    }

    fn place(&self, number: u32) -> Result<Place> {
        if number == 0 || number > self.rules.superblock.inodes {
            return Err(Error::corrupt_inode("inode number", number));
        }
        let size = self.rules.superblock.inode_size;
        let index = (number - 1) % self.rules.superblock.inodes_per_group;
        let byte = index as usize * size;
        let offset = byte % self.disk.block_size();
        let table = self.groups[self.group_of_inode(number) as usize].lock().descriptor.inode_table;
        let block = table + (byte / self.disk.block_size()) as u64;
        Ok(Place { block, first: number - (offset / size) as u32, offset })
    }

    async fn table_buffer(&self, place: &Place) -> Result<Arc<Buffer>> {
        let buffer = match self.cache.find(place.block) {
            Some(buffer) => buffer,
            None => self.load(place.block, READ_AHEAD).await?,
        };
        buffer.check(place.kind(), &self.rules)?;
        Ok(buffer)
    }

    /// The node of an inode that has names.
    pub(crate) async fn node(&self, number: u32) -> Result<Arc<Node>> {
        let node = self.any_node(number).await?;
        if node.opens.load(Ordering::Acquire) == 0 && node.body.read().await.links == 0 {
            return Err(Error::Stale);
        }
        Ok(node)
    }

    /// The node of an inode that may have no names left.
    pub(crate) async fn any_node(&self, number: u32) -> Result<Arc<Node>> {
        if let Some(node) = self.nodes.find(number) {
            return Ok(node);
        }
        let place = self.place(number)?;
        let buffer = self.table_buffer(&place).await?;
        self.nodes.find_or(number, || {
            let inode = buffer.with(|contents| {
                // One that changed since the last commit is sealed at the next.
                let sealed = contents.changed >> (number - place.first) & 1 == 0;
                self.parse_inode(&contents.bytes[place.offset..], number, sealed)
            })?;
            Ok(Node::new(inode, self.journal.current()))
        })
    }

    fn parse_inode(&self, bytes: &[u8], number: u32, sealed: bool) -> Result<Inode> {
        let bytes = &bytes[..self.rules.superblock.inode_size];
        let inode = Inode::parse(bytes, number, self.encoding());
        if inode.mode == 0 && inode.links == 0 {
            return Err(Error::Stale);
        }
        let checked = self.rules.has_checksums && sealed;
        let intact = !checked || inode::is_intact(bytes, self.rules.seed, number);
        if !intact {
            return Err(Error::corrupt_inode("inode checksum", number));
        }
        self.check_inode(&inode)?;
        Ok(inode)
    }

    fn check_inode(&self, inode: &Inode) -> Result<()> {
        let corrupt = |what| Err(Error::corrupt_inode(what, inode.number));
        if inode.has(flags::INLINE_DATA) {
            return Err(Error::Unsupported("inline_data"));
        }
        if inode.kind().is_none() && inode.number >= self.rules.superblock.first_inode {
            return corrupt("inode mode");
        }
        let limit = self.rules.superblock.max_file_size(inode.has(flags::EXTENTS));
        let block = self.disk.block_size() as u64;
        let size_fits = match inode.kind() {
            Some(FileKind::Directory) => inode.size.is_multiple_of(block) && inode.size > 0,
            Some(FileKind::Symlink) => inode.size < block,
            _ => true,
        };
        if inode.size > limit || !size_fits {
            return corrupt("inode size");
        }
        if inode.has(flags::EXTENTS) {
            let contains = |start, len| self.rules.can_be_files(start, len);
            if let Some(what) = extent::defect(&inode.map.0, contains) {
                return corrupt(what);
            }
        }
        Ok(())
    }

    /// Stores a node's inode within a transaction.
    pub(crate) async fn store(&self, handle: &Handle<'_, D>, inode: &Inode) -> Result<()> {
        self.edit_raw(handle, inode, |_| ()).await
    }

    /// Stores an inode and changes the bytes of it that are not fields.
    pub(crate) async fn edit_raw<R>(
        &self,
        handle: &Handle<'_, D>,
        inode: &Inode,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        self.change_raw(handle, inode.number, |raw| {
            inode.store(raw, self.encoding());
            change(raw)
        })
        .await
    }

    /// Changes the bytes of an inode that are not fields, without storing the fields.
    pub(crate) async fn change_raw<R>(
        &self,
        handle: &Handle<'_, D>,
        number: u32,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let place = self.place(number)?;
        let buffer = self.table_buffer(&place).await?;
        let size = self.rules.superblock.inode_size;
        let bit = 1 << (place.offset / size);
        Ok(handle.edit_part(&buffer, place.kind(), bit, |bytes| {
            change(&mut bytes[place.offset..place.offset + size])
        }))
    }

    /// Lets `look` see an inode's bytes.
    pub(crate) async fn read_raw<R>(
        &self,
        number: u32,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        let place = self.place(number)?;
        let buffer = self.table_buffer(&place).await?;
        let end = place.offset + self.rules.superblock.inode_size;
        Ok(buffer.read(|bytes| look(&bytes[place.offset..end])))
    }

    /// Makes the node of an inode that was just allocated; what its place held is gone.
    pub(crate) async fn make_node(
        &self,
        handle: &Handle<'_, D>,
        inode: Inode,
    ) -> Result<Arc<Node>> {
        self.edit_raw(handle, &inode, |raw| {
            raw.fill(0);
            inode.store(raw, self.encoding());
        })
        .await?;
        let number = inode.number;
        self.nodes.remove(number);
        self.nodes.find_or(number, || Ok(Node::new(inode, handle.transaction())))
    }
}
