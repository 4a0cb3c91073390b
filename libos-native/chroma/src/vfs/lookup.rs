//! One name in one directory: from the name cache, or from the file system.
use super::{Tables, Vfs};
use crate::component::Component;
use crate::node::{Node, Place};
use crate::sync::SleepGuard;
use crate::{Page, VfsError, VfsResult};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

impl<P: Page> Vfs<P> {
    /// The node that a name leads to; `None` if there is none.
    pub(super) async fn child(
        &self,
        directory: &Arc<Node<P>>,
        name: &[u8],
    ) -> VfsResult<Option<Arc<Node<P>>>> {
        let component = Component::of(name);
        if let Some(known) = self.tables.read().names.find(directory.id(), &component) {
            let node = known.target();
            if let Some(node) = node.filter(|node| node.has_many_names()) {
                set_place(node, directory, known.name());
            }
            return Ok(node.cloned());
        }
        if !directory.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        let generation = directory.generation.load(Ordering::Acquire);
        let found = match directory.inode().lookup(name).await {
            Ok(inode) => Some(directory.volume().node(inode).await?),
            Err(VfsError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let is_settled = directory.inode().is_cacheable() && generation.is_multiple_of(2);
        let mut tables = self.tables.write();
        if is_settled && directory.generation.load(Ordering::Acquire) == generation {
            tables.remember(directory, name, found.as_ref());
        } else if let Some(node) = &found {
            set_place(node, directory, &name.into());
        }
        drop(tables);
        Ok(found)
    }
}

pub(super) fn set_place<P: Page>(node: &Arc<Node<P>>, parent: &Arc<Node<P>>, name: &Arc<[u8]>) {
    let place = Place { parent: parent.clone(), name: name.clone(), is_deleted: false };
    let old = node.place.lock().replace(place);
    // Dropped here, after the lock: it may be the last one to hold the old parent.
    drop(old);
}

pub(super) fn mark_deleted<P: Page>(node: &Node<P>, parent: &Node<P>, name: &[u8]) {
    if let Some(place) = &mut *node.place.lock()
        && place.parent.id() == parent.id()
        && *place.name == *name
    {
        place.is_deleted = true;
    }
}

/// A change of one name of a directory under way. Until it is settled, nothing is remembered of
/// the name: not by lookups of that time, and not if the change fails half-way.
pub(super) struct EntryChange<'a, P: Page> {
    vfs: &'a Vfs<P>,
    directory: &'a Arc<Node<P>>,
    name: &'a [u8],
    is_settled: bool,
}

impl<'a, P: Page> EntryChange<'a, P> {
    /// `_proof` shows that the directory's lock is held.
    pub(super) fn begin(
        vfs: &'a Vfs<P>,
        directory: &'a Arc<Node<P>>,
        name: &'a [u8],
        _proof: &SleepGuard<'_>,
    ) -> Self {
        directory.generation.fetch_add(1, Ordering::AcqRel);
        Self { vfs, directory, name, is_settled: false }
    }

    /// Remembers where the name leads now.
    pub(super) fn settle(&mut self, target: Option<&Arc<Node<P>>>) {
        if self.directory.inode().is_cacheable() {
            let mut tables = self.vfs.tables.write();
            tables.remember(self.directory, self.name, target);
            self.is_settled = true;
        } else if let Some(node) = target {
            set_place(node, self.directory, &self.name.into());
        }
    }
}

impl<P: Page> Tables<P> {
    /// Remembers where a name leads, and with the node where it was found.
    fn remember(&mut self, directory: &Arc<Node<P>>, name: &[u8], target: Option<&Arc<Node<P>>>) {
        let name = self.names.set(directory.id(), name, target.cloned());
        if let (Some(name), Some(node)) = (name, target) {
            set_place(node, directory, name);
        }
    }
}

impl<P: Page> Drop for EntryChange<'_, P> {
    fn drop(&mut self) {
        if !self.is_settled {
            let mut tables = self.vfs.tables.write();
            tables.names.remove(self.directory.id(), self.name);
        }
        self.directory.generation.fetch_add(1, Ordering::AcqRel);
    }
}
