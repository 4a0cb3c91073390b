//! Directories and links that are made up.
use super::document::refuse_change;
use crate::{
    DirectoryEntry, DirectorySink, FileKind, Inode, Location, Metadata, MetadataChange, Page,
    Reply, VfsError, VfsResult,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

/// Cookies of the fixed entries; those of the dynamic part are above them.
const FIXED: u64 = 3;
const DYNAMIC: u64 = 1 << 32;

/// The part of a directory that changes by itself.
pub trait Dynamic<P: Page>: Send + Sync + 'static {
    /// The inode with this name.
    ///
    /// # Errors
    /// `NotFound`.
    fn lookup(&self, name: &[u8]) -> VfsResult<Arc<dyn Inode<P>>>;

    /// The first entry whose key is at least `key`: its key, name, number and kind. Keys order the
    /// entries and stay what they are, such as process ids.
    fn next(&self, key: u64) -> Option<(u64, Vec<u8>, u64, FileKind)>;
}

/// A fixed entry.
struct Fixed<P: Page> {
    name: &'static [u8],
    ino: u64,
    kind: FileKind,
    inode: Arc<dyn Inode<P>>,
}

/// A directory of fixed entries, and perhaps a dynamic part.
pub struct Folder<P: Page> {
    metadata: Metadata,
    entries: Vec<Fixed<P>>,
    dynamic: Option<Arc<dyn Dynamic<P>>>,
}

impl<P: Page> Folder<P> {
    /// An empty directory with this metadata.
    #[must_use]
    pub fn with(metadata: Metadata) -> Self {
        Self { metadata, entries: Vec::new(), dynamic: None }
    }

    /// An empty directory with this number, for all to read, owned by user and group 0.
    #[must_use]
    pub fn new(ino: u64) -> Self {
        Self::with(Metadata::unstored(ino, FileKind::Directory, 0o555))
    }

    /// With this fixed entry, whose inode has this number and kind.
    #[must_use]
    pub fn entry(
        mut self,
        name: &'static [u8],
        ino: u64,
        kind: FileKind,
        inode: Arc<dyn Inode<P>>,
    ) -> Self {
        self.entries.push(Fixed { name, ino, kind, inode });
        self
    }

    /// With this dynamic part, which is asked for the names that are not fixed.
    #[must_use]
    pub fn dynamic(mut self, part: Arc<dyn Dynamic<P>>) -> Self {
        self.dynamic = Some(part);
        self
    }

    fn find(&self, name: &[u8]) -> VfsResult<Arc<dyn Inode<P>>> {
        if let Some(fixed) = self.entries.iter().find(|fixed| fixed.name == name) {
            return Ok(fixed.inode.clone());
        }
        match &self.dynamic {
            Some(part) => part.lookup(name),
            None => Err(VfsError::NotFound),
        }
    }

    fn list(&self, cookie: u64, sink: &mut dyn DirectorySink) {
        if cookie < DYNAMIC && !self.list_fixed(cookie, sink) {
            return;
        }
        let Some(part) = &self.dynamic else { return };
        let mut key = cookie.saturating_sub(DYNAMIC);
        while let Some((found, name, ino, kind)) = part.next(key) {
            key = found + 1;
            let entry = DirectoryEntry { name: &name, ino, kind, next: DYNAMIC + key };
            if !sink.entry(&entry) {
                return;
            }
        }
    }

    fn list_fixed(&self, cookie: u64, sink: &mut dyn DirectorySink) -> bool {
        let from = cookie.saturating_sub(FIXED - 1) as usize;
        let mut entries = self.entries.iter().enumerate().skip(from);
        entries.all(|(at, fixed)| {
            sink.entry(&DirectoryEntry {
                name: fixed.name,
                ino: fixed.ino,
                kind: fixed.kind,
                next: at as u64 + FIXED,
            })
        })
    }
}

impl<P: Page> Inode<P> for Folder<P> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        Reply::done(self.metadata)
    }

    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        refuse_change(change)
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Arc<dyn Inode<P>>> {
        Reply::Ready(self.find(name))
    }

    fn is_cacheable(&self) -> bool {
        self.dynamic.is_none()
    }

    fn read_directory<'a>(&'a self, cookie: u64, sink: &'a mut dyn DirectorySink) -> Reply<'a, ()> {
        self.list(cookie, sink);
        Reply::done(())
    }
}

/// Makes where a link leads.
pub trait Target<P: Page>: Send + Sync + 'static {
    /// The text of the link.
    ///
    /// # Errors
    /// `NotFound` if what it tells of is gone, and so on.
    fn text(&self) -> VfsResult<Vec<u8>>;

    /// Where it leads, whatever the text says.
    fn place(&self) -> Option<Location<P>> {
        None
    }
}

impl<P: Page, F: Fn() -> VfsResult<Vec<u8>> + Send + Sync + 'static> Target<P> for F {
    fn text(&self) -> VfsResult<Vec<u8>> {
        self()
    }
}

/// A symbolic link whose target is made up each time.
pub struct Link<P: Page> {
    metadata: Metadata,
    target: Arc<dyn Target<P>>,
}

impl<P: Page> Link<P> {
    /// A link with this number.
    #[must_use]
    pub fn new(ino: u64, target: impl Target<P>) -> Arc<Self> {
        Arc::new(Self {
            metadata: Metadata::unstored(ino, FileKind::Symlink, 0o777),
            target: Arc::new(target),
        })
    }
}

impl<P: Page> Inode<P> for Link<P> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        Reply::done(self.metadata)
    }

    fn set_metadata(&self, _: MetadataChange) -> Reply<'_, ()> {
        Reply::fail(VfsError::Permission)
    }

    fn read_link(&self) -> Reply<'_, Vec<u8>> {
        Reply::Ready(self.target.text())
    }

    /// Its target is not remembered.
    fn is_cacheable(&self) -> bool {
        false
    }

    fn jump(&self) -> Option<Location<P>> {
        self.target.place()
    }
}
