//! The tree of names and the operations on it.
//!
//! [`Vfs`] owns the mounts and the name cache under one shared spin lock, which is held for a whole
//! cached walk and never across a wait. Operations that change entries hold the directory's
//! `changing` lock; those on two directories take it in the order of node ids, after the volume's
//! `renaming` lock.
mod attributes;
mod cached;
mod entries;
mod lookup;
mod mounts;
mod open;
mod rename;
mod walk;

pub use attributes::SetTime;
pub(crate) use attributes::{loses_set_ids, without_set_ids};
pub use open::OpenFlags;
pub use walk::ResolveFlags;

use crate::cache::{CacheLimits, PageCache};
use crate::core::{Core, MappingObserver};
use crate::mount::{Location, Mount, MountFlags, MountTable};
use crate::names::NameCache;
use crate::node::{Node, Volume};
use crate::sync::{Lock, SharedLock};
use crate::{Clock, Credentials, DeviceNumber, FileKind, FileSystem, Inode, PageSource, VfsResult};
use alloc::sync::Arc;
use hashbrown::HashMap;
use serix_block::Page;

/// What a libOS brings for its tree of names.
pub struct Setup<P: Page> {
    /// Where pages come from.
    pub source: Arc<dyn PageSource<P>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Bounds of the page cache.
    pub limits: CacheLimits,
    /// Most names to remember.
    pub names: usize,
    /// A random number, so that programs cannot make names collide.
    pub seed: u64,
}

/// On whose behalf, and from where, a path is used.
pub struct Context<'a, P: Page> {
    /// The directory that `/` means.
    pub root: &'a Location<P>,
    /// The directory that relative paths start from.
    pub base: &'a Location<P>,
    /// Who asks.
    pub credentials: &'a Credentials,
}

impl<P: Page> Clone for Context<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Page> Copy for Context<'_, P> {}

struct Tables<P: Page> {
    names: NameCache<P>,
    mounts: MountTable<P>,
}

type Devices<P> = HashMap<(bool, u32, u32), Arc<dyn Inode<P>>, crate::hash::FixedState>;

/// A tree of names: mounts, the name cache, the page cache.
pub struct Vfs<P: Page> {
    core: Arc<Core<P>>,
    root: Location<P>,
    tables: SharedLock<Tables<P>>,
    devices: Lock<Devices<P>>,
}

impl<P: Page> Vfs<P> {
    /// A tree whose root is that of `file_system`.
    ///
    /// # Errors
    /// Those of reading the root directory.
    pub async fn new(
        file_system: Arc<dyn FileSystem<P>>,
        flags: MountFlags,
        source_name: &[u8],
        setup: Setup<P>,
    ) -> VfsResult<Arc<Self>> {
        let core = Arc::new(Core {
            cache: PageCache::new(setup.source, setup.limits),
            clock: setup.clock,
            observer: spin::Once::new(),
        });
        let volume = Volume::new(file_system, core.clone());
        let root = volume.node(volume.file_system.root().await?).await?;
        let mount = Mount::new(root.clone(), flags, None, source_name);
        let mut mounts = MountTable::new();
        mounts.add(mount.clone());
        Ok(Arc::new(Self {
            core,
            root: Location { mount, node: root },
            tables: SharedLock::new(Tables {
                names: NameCache::new(setup.seed, setup.names.max(16)),
                mounts,
            }),
            devices: Lock::new(HashMap::default()),
        }))
    }

    /// The root of the tree.
    pub fn root(&self) -> &Location<P> {
        &self.root
    }

    /// The page cache.
    pub fn cache(&self) -> &PageCache<P> {
        &self.core.cache
    }

    /// Sets who learns that pages left a file. The first call counts.
    pub fn set_observer(&self, observer: Arc<dyn MappingObserver<P>>) {
        self.core.observer.call_once(|| observer);
    }

    /// Says what opening nodes of this device number leads to.
    pub fn register_device(&self, kind: FileKind, device: DeviceNumber, inode: Arc<dyn Inode<P>>) {
        let key = (kind == FileKind::BlockDevice, device.major, device.minor);
        self.devices.lock().insert(key, inode);
    }

    pub(crate) fn device(&self, node: &Node<P>) -> Option<Arc<dyn Inode<P>>> {
        let device = node.device();
        let key = (node.kind() == FileKind::BlockDevice, device.major, device.minor);
        self.devices.lock().get(&key).cloned()
    }

    /// Frees memory: about `pages` clean pages, and as many names that were not used lately.
    /// Answers how many pages went.
    pub fn shrink(&self, pages: u64) -> u64 {
        self.tables.write().names.shrink(pages as usize);
        self.core.cache.shrink(pages)
    }

    /// Whether a [`Self::sync`] would have something to do. Cheap, for a libOS that syncs by time.
    pub fn has_unsynced(&self) -> bool {
        let tables = self.tables.read();
        let has_unsynced = |mount: &Arc<Mount<P>>| mount.volume().file_system().has_unsynced();
        self.core.cache.dirty_count() > 0 || tables.mounts.all().iter().any(has_unsynced)
    }

    /// Makes everything durable that was changed before this call.
    ///
    /// # Errors
    /// The first error; the other file systems are synced all the same.
    pub async fn sync(&self) -> VfsResult<()> {
        let mut result = self.core.cache.write_back_all().await;
        for volume in self.volumes() {
            result = result.and(volume.sync().await);
        }
        result
    }
}
