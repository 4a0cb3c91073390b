//! Mounts: which file system is seen at which directory.
use crate::node::{Node, Volume, unique_id};
use crate::{Page, VfsError, VfsResult};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

bitflags::bitflags! {
    /// What a mount does not allow.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing changes through this mount.
        const READ_ONLY = 1;
        /// Set-user-id and set-group-id bits mean nothing.
        const NO_SUID = 2;
        /// Device nodes do not open.
        const NO_DEVICES = 4;
        /// Nothing is executed.
        const NO_EXECUTE = 8;
    }
}

/// A volume seen at a place.
pub struct Mount<P: Page> {
    id: u64,
    volume: Arc<Volume<P>>,
    root: Arc<Node<P>>,
    flags: AtomicU32,
    /// The directory it covers; none for the first mount.
    covers: Option<Location<P>>,
    source: Box<[u8]>,
}

impl<P: Page> Mount<P> {
    pub(crate) fn new(
        root: Arc<Node<P>>,
        flags: MountFlags,
        covers: Option<Location<P>>,
        source: &[u8],
    ) -> Arc<Self> {
        Arc::new(Self {
            id: unique_id(),
            volume: root.volume().clone(),
            root,
            flags: AtomicU32::new(flags.bits()),
            covers,
            source: source.into(),
        })
    }

    /// A number that no other mount ever has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is mounted.
    pub fn volume(&self) -> &Arc<Volume<P>> {
        &self.volume
    }

    /// Its root directory here.
    pub fn root(&self) -> &Arc<Node<P>> {
        &self.root
    }

    /// The directory it covers; none for the first mount.
    pub fn covers(&self) -> Option<&Location<P>> {
        self.covers.as_ref()
    }

    /// What the mounter called the device.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// What it does not allow.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Changes what it does not allow.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Checks that changes are allowed.
    ///
    /// # Errors
    /// `ReadOnly`.
    pub fn check_writable(&self) -> VfsResult<()> {
        let is_read_only =
            self.flags().contains(MountFlags::READ_ONLY) || self.volume.file_system.is_read_only();
        if is_read_only { Err(VfsError::ReadOnly) } else { Ok(()) }
    }
}

/// A place in the tree: a node, and the mount through which it is seen.
pub struct Location<P: Page> {
    /// The mount.
    pub mount: Arc<Mount<P>>,
    /// The node.
    pub node: Arc<Node<P>>,
}

impl<P: Page> Clone for Location<P> {
    fn clone(&self) -> Self {
        Self { mount: self.mount.clone(), node: self.node.clone() }
    }
}

impl<P: Page> Location<P> {
    /// Whether both are the same place.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.node, &other.node)
    }

    pub(crate) fn with_node(&self, node: Arc<Node<P>>) -> Self {
        Self { mount: self.mount.clone(), node }
    }

    /// The directory above, mounts crossed; the same at the top of everything and at `root`.
    pub(crate) fn above(&self, root: &Self) -> Self {
        if self.is_same(root) {
            return self.clone();
        }
        let mut at = self;
        while Arc::ptr_eq(&at.node, &at.mount.root) {
            match &at.mount.covers {
                Some(covered) => at = covered,
                None => return at.clone(),
            }
            if at.is_same(root) {
                return at.clone();
            }
        }
        let place = at.node.place.lock();
        match &*place {
            Some(place) => at.with_node(place.parent.clone()),
            None => at.clone(),
        }
    }
}

/// All mounts.
pub(crate) struct MountTable<P: Page> {
    mounts: Vec<Arc<Mount<P>>>,
}

impl<P: Page> MountTable<P> {
    pub(crate) const fn new() -> Self {
        Self { mounts: Vec::new() }
    }

    pub(crate) fn all(&self) -> &[Arc<Mount<P>>] {
        &self.mounts
    }

    pub(crate) fn add(&mut self, mount: Arc<Mount<P>>) {
        if let Some(covered) = mount.covers() {
            covered.node.mount_count.fetch_add(1, Ordering::Relaxed);
        }
        self.mounts.push(mount);
    }

    pub(crate) fn remove(&mut self, mount: &Arc<Mount<P>>) {
        if let Some(covered) = mount.covers() {
            covered.node.mount_count.fetch_sub(1, Ordering::Relaxed);
        }
        self.mounts.retain(|other| !Arc::ptr_eq(other, mount));
    }

    /// The mount that covers this place, if one does. Few nodes are covered, and those say so.
    pub(crate) fn covering(
        &self,
        mount: &Arc<Mount<P>>,
        node: &Arc<Node<P>>,
    ) -> Option<&Arc<Mount<P>>> {
        let mut mounts = self.mounts.iter().rev();
        mounts.find(|candidate| {
            candidate.covers().is_some_and(|covered| {
                Arc::ptr_eq(&covered.node, node) && Arc::ptr_eq(&covered.mount, mount)
            })
        })
    }

    /// Goes from a covered place to what is seen there.
    pub(crate) fn enter(&self, at: &mut Location<P>) {
        while at.node.mount_count.load(Ordering::Relaxed) > 0 {
            let Some(mount) = self.covering(&at.mount, &at.node).cloned() else {
                return;
            };
            *at = Location { node: mount.root.clone(), mount };
        }
    }
}
