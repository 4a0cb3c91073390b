//! Inodes in use.
//!
//! A [`Node`] is the one object that stands for an inode while anybody uses or remembers it: it
//! holds the permission bits that path resolution checks, the cached pages, the locks and, for
//! directories, the way up. Invariant: a [`Volume`] has at most one living node per inode number.
use crate::cache::Mapping;
use crate::core::Core;
use crate::sync::{Lock, SleepLock};
use crate::{
    Access, Credentials, DeviceNumber, FileKind, FileSystem, Inode, Metadata, Reply, Timestamp,
    VfsError, VfsResult,
};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hashbrown::HashMap;
use serix_block::Page;
use spin::Once;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number that nothing else got.
pub(crate) fn unique_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A file system in use, whatever number of places it is mounted at.
pub struct Volume<P: Page> {
    pub(crate) file_system: Arc<dyn FileSystem<P>>,
    pub(crate) core: Arc<Core<P>>,
    /// What `stat` tells as the device.
    id: u64,
    nodes: Lock<HashMap<u64, Weak<Node<P>>, crate::hash::FixedState>>,
    /// Held while directories move, so that none moves below itself.
    pub(crate) renaming: SleepLock,
}

impl<P: Page> Volume<P> {
    pub(crate) fn new(file_system: Arc<dyn FileSystem<P>>, core: Arc<Core<P>>) -> Arc<Self> {
        Arc::new(Self {
            file_system,
            core,
            id: unique_id(),
            nodes: Lock::new(HashMap::default()),
            renaming: SleepLock::new(),
        })
    }

    /// The file system itself.
    pub fn file_system(&self) -> &Arc<dyn FileSystem<P>> {
        &self.file_system
    }

    /// A number that tells volumes apart, for `st_dev`.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The node of an inode: the living one, or a new one.
    pub(crate) async fn node(
        self: &Arc<Self>,
        inode: Arc<dyn Inode<P>>,
    ) -> VfsResult<Arc<Node<P>>> {
        let metadata = inode.metadata().await?;
        Ok(self.node_with(inode, &metadata))
    }

    fn node_with(self: &Arc<Self>, inode: Arc<dyn Inode<P>>, metadata: &Metadata) -> Arc<Node<P>> {
        let mut nodes = self.nodes.lock();
        let known = nodes.get(&metadata.ino).and_then(Weak::upgrade);
        // A generated file system may use a number again for something else.
        let is_same = known.as_ref().is_some_and(|node| node.kind == metadata.kind);
        if let Some(node) = known.as_ref().filter(|_| is_same) {
            node.set_permissions(metadata.mode, metadata.uid, metadata.gid);
            let node = node.clone();
            drop(nodes);
            return node;
        }
        let node = Arc::new(Node::new(self.clone(), inode, metadata));
        nodes.insert(metadata.ino, Arc::downgrade(&node));
        // The drop of a node takes the lock, so it comes after it.
        drop(nodes);
        drop(known);
        node
    }

    fn forget(&self, ino: u64) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&ino).is_some_and(|node| node.strong_count() == 0) {
            nodes.remove(&ino);
        }
    }
}

/// Where a node was last seen.
pub(crate) struct Place<P: Page> {
    pub(crate) parent: Arc<Node<P>>,
    pub(crate) name: Arc<[u8]>,
    pub(crate) is_deleted: bool,
}

/// An inode in use.
pub struct Node<P: Page> {
    id: u64,
    ino: u64,
    pub(crate) kind: FileKind,
    device: DeviceNumber,
    inode: Arc<dyn Inode<P>>,
    volume: Arc<Volume<P>>,
    /// Mode in the upper half, user id in the lower.
    mode_uid: AtomicU64,
    gid: AtomicU32,
    mapping: Option<Arc<Mapping<P>>>,
    pub(crate) link_target: Once<Box<[u8]>>,
    pub(crate) place: Lock<Option<Place<P>>>,
    /// Held by whoever changes the entries of a directory, or writes to or resizes a file.
    pub(crate) changing: SleepLock,
    /// Held while pages are handed to the file system, or it changes the file's size. Taken after
    /// `changing`.
    pub(crate) flushing: SleepLock,
    /// Odd while the entries of a directory change; lookups of that time are not remembered.
    pub(crate) generation: AtomicU64,
    pub(crate) mount_count: AtomicU32,
    has_no_name: AtomicBool,
    has_many_names: AtomicBool,
    is_listed: AtomicBool,
    is_mapped: AtomicBool,
    attachment: Once<Arc<dyn Any + Send + Sync>>,
}

impl<P: Page> Node<P> {
    fn new(volume: Arc<Volume<P>>, inode: Arc<dyn Inode<P>>, metadata: &Metadata) -> Self {
        let has_pages = metadata.kind == FileKind::Regular && !inode.is_direct();
        let mapping = has_pages.then(|| match inode.resident() {
            Some(pages) => pages.clone(),
            None => volume.core.cache.mapping(metadata.size),
        });
        let node = Self {
            id: unique_id(),
            ino: metadata.ino,
            kind: metadata.kind,
            device: metadata.device,
            inode,
            volume,
            mode_uid: AtomicU64::new(0),
            gid: AtomicU32::new(0),
            mapping,
            link_target: Once::new(),
            place: Lock::new(None),
            changing: SleepLock::new(),
            flushing: SleepLock::new(),
            generation: AtomicU64::new(0),
            mount_count: AtomicU32::new(0),
            has_no_name: AtomicBool::new(metadata.links == 0),
            has_many_names: AtomicBool::new(metadata.links > 1),
            is_listed: AtomicBool::new(false),
            is_mapped: AtomicBool::new(false),
            attachment: Once::new(),
        };
        node.set_permissions(metadata.mode, metadata.uid, metadata.gid);
        node
    }

    /// A number that no other node ever has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The inode's number.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// For device nodes, which device.
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// The file system's side.
    pub fn inode(&self) -> &Arc<dyn Inode<P>> {
        &self.inode
    }

    /// The file system it is on.
    pub fn volume(&self) -> &Arc<Volume<P>> {
        &self.volume
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// The low 12 mode bits.
    pub fn mode(&self) -> u32 {
        (self.mode_uid.load(Ordering::Relaxed) >> 32) as u32
    }

    /// User and group.
    pub fn owner(&self) -> crate::Owner {
        crate::Owner {
            uid: self.mode_uid.load(Ordering::Relaxed) as u32,
            gid: self.gid.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_permissions(&self, mode: u32, uid: u32, gid: u32) {
        let both = u64::from(mode & 0o7777) << 32 | u64::from(uid);
        self.mode_uid.store(both, Ordering::Relaxed);
        self.gid.store(gid, Ordering::Relaxed);
    }

    /// Checks the mode bits.
    ///
    /// # Errors
    /// `Access`.
    pub fn check(&self, credentials: &Credentials, wanted: Access) -> VfsResult<()> {
        let owner = self.owner();
        credentials.check(wanted, self.mode(), owner.uid, owner.gid, self.is_directory())
    }

    /// All metadata, writes in the cache included.
    pub fn metadata(&self) -> Reply<'_, Metadata> {
        match self.inode.metadata() {
            Reply::Ready(Ok(mut metadata)) => {
                self.overlay(&mut metadata);
                Reply::done(metadata)
            }
            Reply::Ready(Err(error)) => Reply::fail(error),
            later => Reply::later(async move {
                let mut metadata = later.await?;
                self.overlay(&mut metadata);
                Ok(metadata)
            }),
        }
    }

    /// Shows `look` what [`Self::metadata`] answers if that is ready, without moving it about.
    #[inline]
    pub fn look(&self, mut look: impl FnMut(&Metadata)) -> Option<VfsResult<()>> {
        self.inode.look(&mut |metadata| {
            self.overlay(metadata);
            look(metadata);
        })
    }

    #[inline]
    fn overlay(&self, metadata: &mut Metadata) {
        if let Some(mapping) = &self.mapping {
            metadata.size = mapping.size();
            if let Some(ns) = mapping.modified_ns() {
                metadata.modified = Timestamp::from_nanoseconds(ns);
                metadata.changed = metadata.modified.max(metadata.changed);
            }
        }
    }

    /// The cached pages of a regular file.
    ///
    /// # Errors
    /// `IsDirectory` or `Invalid` if this is something else.
    pub fn mapping(&self) -> VfsResult<&Arc<Mapping<P>>> {
        self.mapping.as_ref().ok_or(match self.kind {
            FileKind::Directory => VfsError::IsDirectory,
            _ => VfsError::Invalid,
        })
    }

    /// What a libOS hung on this node, such as the buffer of a named pipe; `make` makes it the
    /// first time.
    pub fn attachment(
        &self,
        make: impl FnOnce() -> Arc<dyn Any + Send + Sync>,
    ) -> &Arc<dyn Any + Send + Sync> {
        self.attachment.call_once(make)
    }

    pub(crate) fn set_listed(&self, listed: bool) -> bool {
        self.is_listed.swap(listed, Ordering::AcqRel)
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed.load(Ordering::Acquire)
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        let mapping = self.mapping.as_ref();
        mapping.is_some_and(|it| it.dirty_count() > 0 || it.modified_ns().is_some())
    }

    /// Whether a program was given pages of it.
    pub(crate) fn is_mapped(&self) -> bool {
        self.is_mapped.load(Ordering::Relaxed)
    }

    pub(crate) fn set_mapped(&self) {
        self.is_mapped.store(true, Ordering::Relaxed);
    }

    /// Drops the data of a file without a name if only the caller has it.
    pub(crate) fn discard_if_unused(self: &Arc<Self>) {
        let others = Arc::strong_count(self) - 1 - usize::from(self.is_listed());
        if self.has_no_name() && others == 0 {
            self.volume.core.cache.discard(self);
        }
    }

    /// Whether its last name is gone.
    pub fn has_no_name(&self) -> bool {
        self.has_no_name.load(Ordering::Acquire)
    }

    /// Whether it is a file that may be found by several names.
    pub(crate) fn has_many_names(&self) -> bool {
        self.has_many_names.load(Ordering::Relaxed) && !self.is_directory()
    }

    /// Whether a walk that finds it has to look at it: a symbolic link, or a file with many names.
    #[inline]
    pub(crate) fn is_out_of_the_ordinary(&self) -> bool {
        self.kind == FileKind::Symlink || self.has_many_names.load(Ordering::Relaxed)
    }

    pub(crate) fn set_many_names(&self) {
        self.has_many_names.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_no_name(&self, gone: bool) {
        self.has_no_name.store(gone, Ordering::Release);
    }
}

impl<P: Page> Drop for Node<P> {
    // A node keeps its ancestors. They go one by one, so that deep trees need no deep stack.
    fn drop(&mut self) {
        self.volume.forget(self.ino);
        let mut above = self.place.get_mut().take();
        while let Some(place) = above {
            let mut parent = Arc::into_inner(place.parent);
            above = parent.as_mut().and_then(|node| node.place.get_mut().take());
        }
    }
}
