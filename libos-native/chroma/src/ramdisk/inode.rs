//! Inodes in memory.
use super::directory::Directory;
use super::{Mapping, Shared};
use crate::cache::Quota;
use crate::sync::Lock;
use crate::{
    DeviceNumber, DirectorySink, FileKind, Inode, Metadata, MetadataChange, NewInode, Owner, Page,
    RenameFlags, Reply, Timestamp, VfsError, VfsResult, XattrMode,
};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use serix_block::PAGE_SIZE;

struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    created: Timestamp,
}

/// A share of a quota, given back when it is dropped.
struct Charge {
    quota: Arc<Quota>,
    count: u64,
}

impl Charge {
    fn take(quota: &Arc<Quota>, count: u64) -> VfsResult<Self> {
        quota.take(count)?;
        Ok(Self { quota: quota.clone(), count })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.give_back(self.count);
    }
}

struct Xattr {
    value: Vec<u8>,
    _charge: Charge,
}

enum Body<P: Page> {
    Directory(Lock<Directory<P>>),
    File(Arc<Mapping<P>>),
    Symlink(Box<[u8]>),
    Special,
}

pub(super) struct RamInode<P: Page> {
    pub(super) ino: u64,
    pub(super) kind: FileKind,
    device: DeviceNumber,
    shared: Arc<Shared>,
    this: Weak<Self>,
    attributes: Lock<Attributes>,
    xattrs: Lock<BTreeMap<Box<[u8]>, Xattr>>,
    body: Body<P>,
    _charge: Charge,
}

impl<P: Page> RamInode<P> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        new: NewInode,
        target: Option<&[u8]>,
    ) -> VfsResult<Arc<Self>> {
        let charge = Charge::take(&shared.inodes, 1)?;
        let now = shared.clock.now();
        let body = match (target, new.kind) {
            (Some(target), _) => Body::Symlink(target.into()),
            (None, FileKind::Directory) => Body::Directory(Lock::new(Directory::new(shared.seed))),
            (None, FileKind::Regular) => Body::File(Mapping::resident(shared.pages.clone())),
            _ => Body::Special,
        };
        let attributes = Attributes {
            mode: new.mode,
            uid: new.owner.uid,
            gid: new.owner.gid,
            links: 1 + u32::from(new.kind == FileKind::Directory),
            accessed: now,
            modified: now,
            changed: now,
            created: now,
        };
        Ok(Arc::new_cyclic(|this| Self {
            ino: shared.next_ino(),
            kind: new.kind,
            device: new.device,
            shared: shared.clone(),
            this: this.clone(),
            attributes: Lock::new(attributes),
            xattrs: Lock::new(BTreeMap::new()),
            body,
            _charge: charge,
        }))
    }

    #[inline]
    fn all_metadata(&self) -> Metadata {
        let (size, blocks) = match &self.body {
            Body::File(mapping) => (mapping.size(), mapping.page_count() * 8),
            Body::Symlink(target) => (target.len() as u64, 0),
            _ => (0, 0),
        };
        let attributes = self.attributes.lock();
        Metadata {
            ino: self.ino,
            kind: self.kind,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            links: attributes.links,
            size,
            blocks,
            block_size: PAGE_SIZE as u32,
            device: self.device,
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            created: Some(attributes.created),
        }
    }

    fn directory(&self) -> VfsResult<&Lock<Directory<P>>> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(VfsError::NotDirectory),
        }
    }

    fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// After the entries changed: times, and the links that subdirectories' `..` are.
    fn entries_changed(&self, links: i32) {
        let now = self.shared.clock.now();
        let mut attributes = self.attributes.lock();
        attributes.modified = now;
        attributes.changed = now;
        attributes.links = attributes.links.saturating_add_signed(links);
    }

    /// After names of this inode were made or removed.
    fn links_changed(&self, links: i32) {
        let now = self.shared.clock.now();
        let mut attributes = self.attributes.lock();
        attributes.changed = now;
        attributes.links = attributes.links.saturating_add_signed(links);
    }

    fn add(&self, name: &[u8], inode: &Arc<Self>) -> VfsResult<()> {
        self.directory()?.lock().set(name, inode.clone());
        self.entries_changed(i32::from(inode.is_directory()));
        Ok(())
    }

    fn make(
        &self,
        name: &[u8],
        new: NewInode,
        target: Option<&[u8]>,
    ) -> VfsResult<Arc<dyn Inode<P>>> {
        self.directory()?;
        let inode = Self::new(&self.shared, new, target)?;
        self.add(name, &inode)?;
        Ok(inode)
    }

    fn found(&self, name: &[u8]) -> VfsResult<Arc<Self>> {
        let found = self.directory()?.lock().get(name).cloned();
        found.ok_or(VfsError::NotFound)
    }

    fn of(inode: &Arc<dyn Inode<P>>) -> VfsResult<Arc<Self>> {
        let own = inode.as_any().downcast_ref::<Self>();
        own.and_then(|own| own.this.upgrade()).ok_or(VfsError::CrossDevice)
    }

    fn link_here(&self, name: &[u8], inode: &Arc<dyn Inode<P>>) -> VfsResult<()> {
        let inode = Self::of(inode)?;
        // A further name counts as an inode, or names would be free.
        self.shared.inodes.take(1)?;
        self.add(name, &inode)?;
        inode.links_changed(1);
        Ok(())
    }

    fn unlink_here(&self, name: &[u8]) -> VfsResult<()> {
        let inode = self.directory()?.lock().remove_if(name, |inode| {
            if inode.is_directory() { Err(VfsError::IsDirectory) } else { Ok(()) }
        })?;
        self.entries_changed(0);
        inode.name_removed();
        Ok(())
    }

    /// A name of something that is no directory is gone.
    fn name_removed(&self) {
        self.links_changed(-1);
        if self.attributes.lock().links > 0 {
            self.shared.inodes.give_back(1);
        }
    }

    fn rmdir_here(&self, name: &[u8]) -> VfsResult<()> {
        let inode = self.directory()?.lock().remove_if(name, |inode| {
            match inode.directory()?.lock().is_empty() {
                true => Ok(()),
                false => Err(VfsError::NotEmpty),
            }
        })?;
        self.entries_changed(-1);
        inode.links_changed(-2);
        Ok(())
    }

    fn exchange(&self, name: &[u8], to: &Self, to_name: &[u8]) -> VfsResult<()> {
        let (ours, theirs) = (self.found(name)?, to.found(to_name)?);
        to.directory()?.lock().set(to_name, ours.clone());
        self.directory()?.lock().set(name, theirs.clone());
        let moved = i32::from(ours.is_directory()) - i32::from(theirs.is_directory());
        let is_move = self.ino != to.ino;
        self.entries_changed(if is_move { -moved } else { 0 });
        to.entries_changed(if is_move { moved } else { 0 });
        ours.links_changed(0);
        theirs.links_changed(0);
        Ok(())
    }

    /// The new name is there before the old one goes, so a lookup finds one of them.
    fn rename_here(&self, name: &[u8], to: &Self, to_name: &[u8]) -> VfsResult<()> {
        let inode = self.found(name)?;
        if let Ok(replaced) = to.found(to_name)
            && let Ok(entries) = replaced.directory()
            && !entries.lock().is_empty()
        {
            return Err(VfsError::NotEmpty);
        }
        let replaced = to.directory()?.lock().set(to_name, inode.clone());
        self.directory()?.lock().remove(name);
        let weight = i32::from(inode.is_directory());
        self.entries_changed(-weight);
        to.entries_changed(weight);
        inode.links_changed(0);
        match replaced {
            Some(replaced) if replaced.is_directory() => {
                replaced.links_changed(-2);
                to.entries_changed(-1);
            }
            Some(replaced) => replaced.name_removed(),
            None => {}
        }
        Ok(())
    }

    fn change(&self, change: MetadataChange) {
        let now = self.shared.clock.now();
        let mut attributes = self.attributes.lock();
        if change.size.is_some() {
            attributes.modified = now;
        }
        attributes.mode = change.mode.unwrap_or(attributes.mode);
        attributes.uid = change.uid.unwrap_or(attributes.uid);
        attributes.gid = change.gid.unwrap_or(attributes.gid);
        attributes.accessed = change.accessed.unwrap_or(attributes.accessed);
        attributes.modified = change.modified.unwrap_or(attributes.modified);
        attributes.changed = change.changed.unwrap_or(now);
    }

    fn set_xattr_here(&self, name: &[u8], value: &[u8], mode: XattrMode) -> VfsResult<()> {
        let pages = (name.len() + value.len()).div_ceil(PAGE_SIZE) as u64;
        let mut xattrs = self.xattrs.lock();
        match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => return Err(VfsError::Exists),
            (XattrMode::Replace, false) => return Err(VfsError::NoData),
            _ => {}
        }
        let xattr =
            Xattr { value: value.into(), _charge: Charge::take(&self.shared.pages, pages)? };
        xattrs.insert(name.into(), xattr);
        drop(xattrs);
        self.links_changed(0);
        Ok(())
    }
}

impl<P: Page> Inode<P> for RamInode<P> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        Reply::done(self.all_metadata())
    }

    fn look(&self, look: &mut dyn FnMut(&mut Metadata)) -> Option<VfsResult<()>> {
        look(&mut self.all_metadata());
        Some(Ok(()))
    }

    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        self.change(change);
        Reply::done(())
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Arc<dyn Inode<P>>> {
        Reply::Ready(self.found(name).map(|inode| inode as _))
    }

    fn create<'a>(&'a self, name: &'a [u8], new: NewInode) -> Reply<'a, Arc<dyn Inode<P>>> {
        Reply::Ready(self.make(name, new, None))
    }

    fn symlink<'a>(
        &'a self,
        name: &'a [u8],
        target: &'a [u8],
        owner: Owner,
    ) -> Reply<'a, Arc<dyn Inode<P>>> {
        let new = NewInode {
            kind: FileKind::Symlink,
            mode: 0o777,
            owner,
            device: DeviceNumber::default(),
        };
        Reply::Ready(self.make(name, new, Some(target)))
    }

    fn link<'a>(&'a self, name: &'a [u8], inode: &'a Arc<dyn Inode<P>>) -> Reply<'a, ()> {
        Reply::Ready(self.link_here(name, inode))
    }

    fn unlink<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        Reply::Ready(self.unlink_here(name))
    }

    fn rmdir<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        Reply::Ready(self.rmdir_here(name))
    }

    fn rename<'a>(
        &'a self,
        name: &'a [u8],
        to: &'a Arc<dyn Inode<P>>,
        to_name: &'a [u8],
        flags: RenameFlags,
    ) -> Reply<'a, ()> {
        let renamed = Self::of(to).and_then(|to| match flags.contains(RenameFlags::EXCHANGE) {
            true => self.exchange(name, &to, to_name),
            false => self.rename_here(name, &to, to_name),
        });
        Reply::Ready(renamed)
    }

    fn read_directory<'a>(&'a self, cookie: u64, sink: &'a mut dyn DirectorySink) -> Reply<'a, ()> {
        Reply::Ready(self.directory().map(|entries| entries.lock().list(cookie, sink)))
    }

    fn read_link(&self) -> Reply<'_, Vec<u8>> {
        match &self.body {
            Body::Symlink(target) => Reply::done(target.to_vec()),
            _ => Reply::fail(VfsError::Invalid),
        }
    }

    fn resident(&self) -> Option<&Arc<Mapping<P>>> {
        match &self.body {
            Body::File(mapping) => Some(mapping),
            _ => None,
        }
    }

    fn xattr<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Vec<u8>> {
        let xattrs = self.xattrs.lock();
        let value = xattrs.get(name).map(|xattr| xattr.value.clone());
        Reply::Ready(value.ok_or(VfsError::NoData))
    }

    fn set_xattr<'a>(&'a self, name: &'a [u8], value: &'a [u8], mode: XattrMode) -> Reply<'a, ()> {
        Reply::Ready(self.set_xattr_here(name, value, mode))
    }

    fn remove_xattr<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        let removed = self.xattrs.lock().remove(name);
        Reply::Ready(removed.map(drop).ok_or(VfsError::NoData))
    }

    fn xattr_names(&self) -> Reply<'_, Vec<u8>> {
        let mut names = Vec::new();
        for name in self.xattrs.lock().keys() {
            names.extend_from_slice(name);
            names.push(0);
        }
        Reply::done(names)
    }
}

impl<P: Page> Drop for RamInode<P> {
    // Trees end one inode at a time, so that deep ones need no deep stack.
    fn drop(&mut self) {
        let Body::Directory(entries) = &mut self.body else {
            return;
        };
        let mut below: Vec<Arc<Self>> = entries.get_mut().drain().collect();
        while let Some(inode) = below.pop() {
            if let Some(mut inode) = Arc::into_inner(inode)
                && let Body::Directory(entries) = &mut inode.body
            {
                below.extend(entries.get_mut().drain());
            }
        }
    }
}
