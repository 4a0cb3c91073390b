//! What a file system implements.
//!
//! Names are bytes, never empty, `.` or `..`, and hold neither `/` nor NUL; chroma has checked
//! permissions, read-only mounts and that both inodes of an operation are of one file system before
//! it calls. It holds its sleeping lock of each directory whose entries change, so that changes
//! of one directory come one at a time; lookups come at any time.
use crate::{
    ArgumentMemory, Credentials, Destination, Events, Metadata, MetadataChange, NewInode, Owner,
    Reply, Source, VfsError, VfsResult,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Waker;
use serix_block::Page;

/// What `statfs` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The type number that Linux programs know the file system by.
    pub magic: u64,
    /// Bytes per block, the unit of the three counts below.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Unused blocks.
    pub blocks_free: u64,
    /// Unused blocks that unprivileged users may take.
    pub blocks_available: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Unused inodes.
    pub inodes_free: u64,
    /// Longest name of an entry, in bytes.
    pub name_max: u32,
    /// Identifies the file system.
    pub id: u64,
}

/// Pages of a file, one behind the other.
#[derive(Clone, Debug)]
pub struct PageRun<P> {
    /// Index of the first one.
    pub first: u64,
    /// The pages.
    pub pages: Vec<P>,
}

impl<P> PageRun<P> {
    /// Where the bytes of the run end in a file that is `size` bytes long.
    pub fn end(&self, size: u64) -> u64 {
        size.min((self.first + self.pages.len() as u64) * crate::PAGE_SIZE as u64)
    }
}

/// A mounted file system.
pub trait FileSystem<P: Page>: Send + Sync + 'static {
    /// The type's name as in `/proc/mounts`.
    fn type_name(&self) -> &str;

    /// The root directory.
    fn root(&self) -> Reply<'_, Arc<dyn Inode<P>>>;

    /// Sizes and free space.
    fn statistics(&self) -> Reply<'_, Statistics>;

    /// Makes all metadata that was changed before this call durable. Chroma has written the
    /// dirty pages before.
    fn sync(&self) -> Reply<'_, ()>;

    /// Whether it takes no changes, for good or since an error.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Whether something that it has been given would be lost if the machine stopped now. Asked often; after
    /// an error that made it read-only it has nothing to lose.
    fn has_unsynced(&self) -> bool {
        false
    }

    /// Frees what inodes without a name left behind when their last `Arc` was dropped. A drop
    /// cannot wait, so it only queues; chroma calls this after it closed an unlinked file. The file
    /// system may do it at any other time too, and does it at mount for those of a crash.
    fn reap(&self) -> Reply<'_, ()> {
        Reply::done(())
    }

    /// Ends the mount: everything durable, the disk marked clean. No inode is used afterwards.
    fn unmount(&self) -> Reply<'_, ()> {
        self.sync()
    }
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The inode's number.
    pub ino: u64,
    /// What the inode is.
    pub kind: crate::FileKind,
    /// The cookie with which listing goes on after this entry.
    pub next: u64,
}

/// Receives the entries of a directory. It may be called with a spin lock held, so it neither waits
/// nor touches program memory.
pub trait DirectorySink: Send {
    /// Takes an entry, or answers false if it does not fit: then listing stops before it.
    fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool;
}

bitflags::bitflags! {
    /// How to rename.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail with `Exists` rather than replace.
        const NO_REPLACE = 1;
        /// Swap the two entries, which must both exist.
        const EXCHANGE = 2;
    }

    /// What a description is opened for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct OpenIntent: u32 {
        /// Reading.
        const READ = 1;
        /// Writing.
        const WRITE = 2;
        /// Never wait in reads and writes.
        const NON_BLOCKING = 4;
    }
}

/// What to do with a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateMode {
    /// Reserve space; the file grows to the range's end if `keep_size` is false.
    Reserve {
        /// Leave the size alone.
        keep_size: bool,
    },
    /// Free the space, the range reads as zeroes, the size stays.
    PunchHole,
    /// The range reads as zeroes, its space stays reserved.
    ZeroRange {
        /// Leave the size alone.
        keep_size: bool,
    },
}

/// How to set an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Make or replace.
    Any,
    /// Fail with `Exists` if it is there.
    Create,
    /// Fail with `NoData` if it is not there.
    Replace,
}

/// What to look for in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Stored bytes.
    Data,
    /// Bytes that are not stored; there is one at the end of every file.
    Hole,
}

/// An inode of a file system.
///
/// Any number of `Arc`s may name one inode; those with the same `ino` are the same file. While one
/// of them lives, the file system does not reuse the number, even if the last name is gone.
///
/// What a kind of inode does not have is left at the defaults.
pub trait Inode<P: Page>: Send + Sync + 'static {
    /// The implementation's own type, for the file system that gets its inodes back.
    fn as_any(&self) -> &dyn Any;

    /// All metadata.
    fn metadata(&self) -> Reply<'_, Metadata>;

    /// Shows `look` all metadata where that needs no wait, without moving it about; `None` if it does. `look` takes no lock that is
    /// held while `metadata` is called.
    fn look(&self, look: &mut dyn FnMut(&mut Metadata)) -> Option<VfsResult<()>> {
        match self.metadata() {
            Reply::Ready(Ok(mut metadata)) => {
                look(&mut metadata);
                Some(Ok(()))
            }
            Reply::Ready(Err(error)) => Some(Err(error)),
            _ => None,
        }
    }

    /// Changes metadata. A change of size also frees or zeroes what is stored; chroma has dropped
    /// the cached pages behind the new end before.
    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()>;

    // Directories.

    /// The inode with this name.
    fn lookup<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Arc<dyn Inode<P>>> {
        let _ = name;
        Reply::fail(VfsError::NotDirectory)
    }

    /// Whether what `lookup` answers stays true until chroma itself changes the directory. False
    /// for generated directories, which are then asked each time.
    fn is_cacheable(&self) -> bool {
        true
    }

    /// Makes an inode and its first name.
    fn create<'a>(&'a self, name: &'a [u8], new: NewInode) -> Reply<'a, Arc<dyn Inode<P>>> {
        let _ = (name, new);
        Reply::fail(VfsError::Permission)
    }

    /// Makes a symbolic link (mode 0o777).
    fn symlink<'a>(
        &'a self,
        name: &'a [u8],
        target: &'a [u8],
        owner: Owner,
    ) -> Reply<'a, Arc<dyn Inode<P>>> {
        let _ = (name, target, owner);
        Reply::fail(VfsError::Permission)
    }

    /// Gives `inode`, not a directory, a further name.
    fn link<'a>(&'a self, name: &'a [u8], inode: &'a Arc<dyn Inode<P>>) -> Reply<'a, ()> {
        let _ = (name, inode);
        Reply::fail(VfsError::Permission)
    }

    /// Removes the name of something that is no directory. The inode lives on while it is open.
    fn unlink<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        let _ = name;
        Reply::fail(VfsError::Permission)
    }

    /// Removes an empty directory.
    fn rmdir<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        let _ = name;
        Reply::fail(VfsError::Permission)
    }

    /// Renames an entry of this directory, replacing what may be replaced. Chroma has checked that
    /// kinds fit and that no directory moves below itself; the file system checks that a replaced
    /// directory is empty.
    fn rename<'a>(
        &'a self,
        name: &'a [u8],
        to: &'a Arc<dyn Inode<P>>,
        to_name: &'a [u8],
        flags: RenameFlags,
    ) -> Reply<'a, ()> {
        let _ = (name, to, to_name, flags);
        Reply::fail(VfsError::Permission)
    }

    /// Lists entries from `cookie` on, 0 being the start, without `.` and `..`. Cookies are stable:
    /// what is neither made nor removed meanwhile is listed exactly once. They are 3 or more and at
    /// most `i64::MAX`.
    fn read_directory<'a>(&'a self, cookie: u64, sink: &'a mut dyn DirectorySink) -> Reply<'a, ()> {
        let _ = (cookie, sink);
        Reply::fail(VfsError::NotDirectory)
    }

    // Symbolic links.

    /// The target of a symbolic link.
    fn read_link(&self) -> Reply<'_, Vec<u8>> {
        Reply::fail(VfsError::Invalid)
    }

    // Contents in pages: regular files behind the page cache.

    /// Fills `pages` from page `first` of the file on. Holes are zeroes; bytes past the end mean
    /// nothing, chroma zeroes them.
    fn read_pages<'a>(&'a self, first: u64, pages: &'a [P]) -> Reply<'a, ()> {
        let _ = (first, pages);
        Reply::fail(VfsError::NotSupported)
    }

    /// Stores `pages` from page `first` of the file on, in space that [`Self::prepare_write`]
    /// reserved. When they are stored, the file is at least `end` bytes long, which lies in the last
    /// page or right behind it; bytes of that page past `end` mean nothing. Never does this make
    /// the file shorter. Done means handed to the device.
    fn write_pages<'a>(&'a self, first: u64, pages: &'a [P], end: u64) -> Reply<'a, ()> {
        let _ = (first, pages, end);
        Reply::fail(VfsError::NotSupported)
    }

    /// Stores several runs of pages, in the order of the file, as [`Self::write_pages`] does each. `end`
    /// is that of the last one. Who can have them under way together does.
    fn write_runs<'a>(&'a self, runs: &'a [PageRun<P>], end: u64) -> Reply<'a, ()> {
        Reply::later(async move {
            for run in runs {
                self.write_pages(run.first, &run.pages, run.end(end)).await?;
            }
            Ok(())
        })
    }

    /// Reserves space for new data in `count` pages from `first` on, before the cache takes it, so
    /// that lack of space is told to the writer and not at write-back. Called again for pages
    /// that have their space, where it should be cheap.
    fn prepare_write(&self, first: u64, count: u64) -> Reply<'_, ()> {
        let _ = (first, count);
        Reply::done(())
    }

    /// Allocates, frees or zeroes a range of bytes. Chroma has written dirty pages of the range
    /// before and forgets them afterwards.
    fn allocate(&self, mode: AllocateMode, offset: u64, len: u64) -> Reply<'_, ()> {
        let _ = (mode, offset, len);
        Reply::fail(VfsError::NotSupported)
    }

    /// The first offset not below `offset` that is of this kind. The default knows no holes but
    /// the one at the end.
    ///
    /// Errors: `NoDevice` if there is none, or `offset` is not below `size`.
    fn seek_extent(&self, offset: u64, extent: Extent, size: u64) -> Reply<'_, u64> {
        Reply::Ready(match extent {
            _ if offset >= size => Err(VfsError::NoDevice),
            Extent::Data => Ok(offset),
            Extent::Hole => Ok(size),
        })
    }

    /// Makes the stored data durable, and with `data_only` no more metadata than is needed to read
    /// it back. Chroma has written the dirty pages before.
    fn sync(&self, data_only: bool) -> Reply<'_, ()> {
        let _ = data_only;
        Reply::done(())
    }

    /// The pages themselves, for file systems whose only copy of the data they are.
    fn resident(&self) -> Option<&Arc<crate::cache::Mapping<P>>> {
        None
    }

    // Extended attributes.

    /// The value of an attribute.
    fn xattr<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Vec<u8>> {
        let _ = name;
        Reply::fail(VfsError::NotSupported)
    }

    /// Sets an attribute.
    fn set_xattr<'a>(&'a self, name: &'a [u8], value: &'a [u8], mode: XattrMode) -> Reply<'a, ()> {
        let _ = (name, value, mode);
        Reply::fail(VfsError::NotSupported)
    }

    /// Removes an attribute.
    fn remove_xattr<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        let _ = name;
        Reply::fail(VfsError::NotSupported)
    }

    /// All names, each followed by a NUL.
    fn xattr_names(&self) -> Reply<'_, Vec<u8>> {
        Reply::fail(VfsError::NotSupported)
    }

    // Devices, and files with generated contents.

    /// Whether reads and writes go to [`Self::read`] and [`Self::write`] instead of pages.
    fn is_direct(&self) -> bool {
        false
    }

    /// Called when a description is opened; what it answers takes the place of this inode for that
    /// description's reads, writes, polls and control requests.
    fn open<'a>(
        &'a self,
        intent: OpenIntent,
        credentials: &'a Credentials,
    ) -> Reply<'a, Option<Arc<dyn Inode<P>>>> {
        let _ = (intent, credentials);
        Reply::done(None)
    }

    /// Whether a description has a position that reads and writes move.
    fn is_seekable(&self) -> bool {
        true
    }

    /// Reads; answers the number of bytes, 0 at the end.
    fn read<'a>(
        &'a self,
        offset: u64,
        into: &'a mut dyn Destination<P>,
        intent: OpenIntent,
    ) -> Reply<'a, usize> {
        let _ = (offset, into, intent);
        Reply::fail(VfsError::Invalid)
    }

    /// Writes; answers the number of bytes.
    fn write<'a>(
        &'a self,
        offset: u64,
        from: &'a mut dyn Source<P>,
        intent: OpenIntent,
    ) -> Reply<'a, usize> {
        let _ = (offset, from, intent);
        Reply::fail(VfsError::Invalid)
    }

    /// Which of `interest`, and of errors and hang-up, hold now. With a waker, it is woken when
    /// that may have changed.
    fn poll(&self, interest: Events, waker: Option<&Waker>) -> Events {
        let _ = waker;
        interest & (Events::IN | Events::OUT)
    }

    /// A control request.
    fn control<'a>(
        &'a self,
        request: u32,
        argument: u64,
        memory: &'a mut dyn ArgumentMemory,
    ) -> Reply<'a, i64> {
        let _ = (request, argument, memory);
        Reply::fail(VfsError::NotTerminal)
    }

    /// Where a generated link leads, if it leads there whatever its text says (`/proc/self/fd/3`).
    fn jump(&self) -> Option<crate::Location<P>> {
        None
    }
}
