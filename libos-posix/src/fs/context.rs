//! From where a process sees the tree of names, and on whose behalf it uses it.
use super::{Location, vfs};
use crate::file::Page;
use crate::file::current;
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::AT_FDCWD;
use serix_chroma::{Context as VfsContext, Credentials, FileKind};
use spin::Mutex;

/// The state of a [`Context`].
#[derive(Clone)]
pub struct Places {
    /// What `/` means.
    pub root: Location,
    /// Where relative paths start.
    pub working: Location,
    /// Permission bits that new files do not get.
    pub mask: u32,
}

/// Working directory, root and file mode mask: what `CLONE_FS` shares.
pub struct Context(Mutex<Places>);

impl core::fmt::Debug for Context {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let places = self.0.lock();
        write!(f, "inode {}, mask {:o}", places.working.node.ino(), places.mask)
    }
}

impl Context {
    /// That of the first process.
    #[must_use]
    pub fn initial() -> Arc<Self> {
        let root = vfs().root().clone();
        Arc::new(Self(Mutex::new(Places { working: root.clone(), root, mask: 0o022 })))
    }

    /// One of its own with the same places: what `fork` makes.
    #[must_use]
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.places())))
    }

    /// A copy of the state.
    #[must_use]
    pub fn places(&self) -> Places {
        self.0.lock().clone()
    }

    /// Uses the state. What `work` takes out of it, it answers, so that it is dropped without the lock.
    pub fn with<R>(&self, work: impl FnOnce(&mut Places) -> R) -> R {
        work(&mut self.0.lock())
    }
}

/// Where one path starts and who asks.
pub struct At {
    root: Location,
    base: Location,
    /// Who asks.
    pub credentials: Credentials,
}

impl At {
    /// The start of `path`: the root, the working directory, or the directory of a descriptor.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`.
    pub fn new(descriptor: i32, path: &[u8]) -> Result<Self> {
        let (root, working) = current::with_places(|fs| (fs.root.clone(), fs.working.clone()));
        let credentials = current::credentials();
        if descriptor == AT_FDCWD || path.first() == Some(&b'/') {
            return Ok(Self { root, base: working, credentials });
        }
        let file = current::any_descriptor(descriptor)?;
        let base = file.location().cloned().ok_or(Errno::ENOTDIR)?;
        // The empty path may name anything; all others start from a directory.
        if !path.is_empty() && base.node.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(Self { root, base, credentials })
    }

    /// As chroma wants it.
    #[must_use]
    pub fn context(&self) -> VfsContext<'_, Page> {
        VfsContext { root: &self.root, base: &self.base, credentials: &self.credentials }
    }
}
