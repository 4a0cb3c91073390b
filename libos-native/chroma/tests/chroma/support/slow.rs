//! A disk that makes everybody wait: names are those of a RAM disk, data is on "disk", every
//! request for pages is pending at first, and faults can be injected.
use super::{TestPage, block_on, ram_disk, yield_once};
use serix_chroma::{
    AllocateMode, DirectorySink, FileSystem, Inode, Metadata, MetadataChange, NewInode, Owner,
    PAGE_SIZE, Page, RenameFlags, Reply, Statistics, VfsError,
};
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

type Names = Arc<dyn Inode<TestPage>>;
type Bytes = Arc<Mutex<Vec<u8>>>;

/// What goes wrong, and what was asked.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) fail_reads: AtomicBool,
    pub(crate) fail_writes: AtomicBool,
    pub(crate) is_full: AtomicBool,
    /// Removes the name and says that it failed.
    pub(crate) lies_on_unlink: AtomicBool,
    pub(crate) page_reads: AtomicU64,
    pub(crate) read_requests: AtomicU64,
    pub(crate) page_writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) lookups: AtomicU64,
}

struct Shared {
    faults: Arc<Faults>,
    data: Mutex<HashMap<u64, Bytes>>,
}

pub(crate) struct SlowDisk {
    names: Arc<serix_chroma::RamDisk<TestPage>>,
    shared: Arc<Shared>,
}

impl SlowDisk {
    pub(crate) fn new(faults: Arc<Faults>) -> Arc<Self> {
        Arc::new(Self {
            names: ram_disk(0, 1 << 20),
            shared: Arc::new(Shared { faults, data: Mutex::default() }),
        })
    }

    /// What is on disk of a file.
    pub(crate) fn stored(&self, ino: u64) -> Vec<u8> {
        let data = self.shared.data.lock().expect("data");
        data.get(&ino).map_or(Vec::new(), |bytes| bytes.lock().expect("bytes").clone())
    }
}

struct SlowInode {
    names: Names,
    shared: Arc<Shared>,
    bytes: Bytes,
}

impl Shared {
    fn wrap(self: &Arc<Self>, names: Names) -> Arc<dyn Inode<TestPage>> {
        let ino = block_on(names.metadata()).expect("metadata").ino;
        let bytes = self.data.lock().expect("data").entry(ino).or_default().clone();
        Arc::new(SlowInode { names, shared: self.clone(), bytes })
    }

    fn check(&self, fault: &AtomicBool, error: VfsError) -> Result<(), VfsError> {
        match fault.load(Ordering::Relaxed) {
            true => Err(error),
            false => Ok(()),
        }
    }
}

impl FileSystem<TestPage> for SlowDisk {
    fn type_name(&self) -> &str {
        "slow"
    }
    fn root(&self) -> Reply<'_, Names> {
        self.names.root().map(|root| root.map(|root| self.shared.wrap(root)))
    }
    fn statistics(&self) -> Reply<'_, Statistics> {
        self.names.statistics()
    }
    fn sync(&self) -> Reply<'_, ()> {
        self.shared.faults.syncs.fetch_add(1, Ordering::Relaxed);
        Reply::done(())
    }
}

impl SlowInode {
    fn copy_out(&self, first: u64, pages: &[TestPage]) {
        let bytes = self.bytes.lock().expect("bytes");
        for (at, page) in pages.iter().enumerate() {
            let start = (first as usize + at) * PAGE_SIZE;
            let part = bytes.get(start.min(bytes.len())..).unwrap_or_default();
            let len = part.len().min(PAGE_SIZE);
            page.write(0, &part[..len]);
            // What lies behind the end on a disk is anything.
            page.write(len, &[0xDD; PAGE_SIZE][len..]);
        }
    }

    fn copy_in(&self, first: u64, pages: &[TestPage], end: u64) {
        let mut bytes = self.bytes.lock().expect("bytes");
        let end = (end as usize).max(bytes.len());
        let behind = (first as usize + pages.len()) * PAGE_SIZE;
        bytes.resize(behind.max(end), 0);
        for (at, page) in pages.iter().enumerate() {
            let start = (first as usize + at) * PAGE_SIZE;
            page.read(0, &mut bytes[start..start + PAGE_SIZE]);
        }
        bytes.truncate(end);
    }
}

impl Inode<TestPage> for SlowInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn metadata(&self) -> Reply<'_, Metadata> {
        let size = self.bytes.lock().expect("bytes").len() as u64;
        self.names.metadata().map(move |found| {
            found.map(|mut metadata| {
                if size > 0 {
                    metadata.size = size;
                }
                metadata
            })
        })
    }
    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        Reply::later(async move {
            yield_once().await;
            if let Some(size) = change.size {
                self.bytes.lock().expect("bytes").resize(size as usize, 0);
            }
            self.names.set_metadata(change).await
        })
    }
    fn lookup<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Names> {
        self.shared.faults.lookups.fetch_add(1, Ordering::Relaxed);
        Reply::later(async move {
            yield_once().await;
            Ok(self.shared.wrap(self.names.lookup(name).await?))
        })
    }
    fn create<'a>(&'a self, name: &'a [u8], new: NewInode) -> Reply<'a, Names> {
        let made = self.names.create(name, new);
        made.map(|made| made.map(|made| self.shared.wrap(made)))
    }
    fn symlink<'a>(&'a self, name: &'a [u8], target: &'a [u8], owner: Owner) -> Reply<'a, Names> {
        let made = self.names.symlink(name, target, owner);
        made.map(|made| made.map(|made| self.shared.wrap(made)))
    }
    fn link<'a>(&'a self, name: &'a [u8], inode: &'a Names) -> Reply<'a, ()> {
        let own = inode.as_any().downcast_ref::<Self>().expect("one of ours");
        self.names.link(name, &own.names)
    }
    fn unlink<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        let removed = self.names.unlink(name);
        match self.shared.check(&self.shared.faults.lies_on_unlink, VfsError::Io) {
            Ok(()) => removed,
            Err(error) => Reply::fail(error),
        }
    }
    fn rmdir<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        self.names.rmdir(name)
    }
    fn rename<'a>(
        &'a self,
        name: &'a [u8],
        to: &'a Names,
        to_name: &'a [u8],
        flags: RenameFlags,
    ) -> Reply<'a, ()> {
        let own = to.as_any().downcast_ref::<Self>().expect("one of ours");
        self.names.rename(name, &own.names, to_name, flags)
    }
    fn read_directory<'a>(&'a self, cookie: u64, sink: &'a mut dyn DirectorySink) -> Reply<'a, ()> {
        self.names.read_directory(cookie, sink)
    }
    fn read_link(&self) -> Reply<'_, Vec<u8>> {
        self.names.read_link()
    }
    fn read_pages<'a>(&'a self, first: u64, pages: &'a [TestPage]) -> Reply<'a, ()> {
        Reply::later(async move {
            let faults = &self.shared.faults;
            faults.read_requests.fetch_add(1, Ordering::Relaxed);
            faults.page_reads.fetch_add(pages.len() as u64, Ordering::Relaxed);
            self.copy_out(first, pages);
            yield_once().await;
            self.shared.check(&faults.fail_reads, VfsError::Io)
        })
    }
    fn write_pages<'a>(&'a self, first: u64, pages: &'a [TestPage], end: u64) -> Reply<'a, ()> {
        Reply::later(async move {
            let faults = &self.shared.faults;
            faults.page_writes.fetch_add(pages.len() as u64, Ordering::Relaxed);
            yield_once().await;
            self.shared.check(&faults.fail_writes, VfsError::Io)?;
            self.copy_in(first, pages, end);
            Ok(())
        })
    }
    fn prepare_write(&self, _first: u64, _count: u64) -> Reply<'_, ()> {
        Reply::Ready(self.shared.check(&self.shared.faults.is_full, VfsError::NoSpace))
    }
    fn allocate(&self, mode: AllocateMode, offset: u64, len: u64) -> Reply<'_, ()> {
        if matches!(mode, AllocateMode::PunchHole | AllocateMode::ZeroRange { .. }) {
            let mut bytes = self.bytes.lock().expect("bytes");
            let end = ((offset + len) as usize).min(bytes.len());
            if let Some(range) = bytes.get_mut(offset as usize..end) {
                range.fill(0);
            }
        }
        Reply::done(())
    }
    fn sync(&self, _data_only: bool) -> Reply<'_, ()> {
        self.shared.faults.syncs.fetch_add(1, Ordering::Relaxed);
        Reply::done(())
    }
}
