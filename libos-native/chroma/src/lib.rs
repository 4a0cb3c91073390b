//! Chroma, the VFS library: paths, inodes, mounts, page cache, RAM disk and devices.
//!
//! Both libOSes use it, one with threads that block and one with an async executor, so it owns no
//! scheduler: every operation that may wait answers a [`Pending`], which is ready on the cached
//! path and costs nothing there. It may use `serix-block` for the page type and no system call.
//! A file system implements [`FileSystem`] and [`Inode`]; a libOS brings a [`PageSource`], a
//! [`Clock`], its [`Credentials`] and its users' memory ([`Source`], [`Destination`]).
#![no_std]
extern crate alloc;

pub mod cache;
mod component;
pub mod core;
pub mod credentials;
mod data;
pub mod device;
pub mod error;
pub mod file;
pub mod generated;
mod hash;
pub mod inode;
pub mod metadata;
pub mod mount;
mod names;
pub mod node;
pub mod page;
mod path;
pub mod pending;
pub mod ramdisk;
pub mod sync;
pub mod user;
pub mod vfs;

pub use self::core::{Core, MappingObserver};
pub use cache::{CacheLimits, Mapping, PageCache, Quota};
pub use credentials::{Access, Credentials};
pub use error::{VfsError, VfsResult};
pub use file::{File, Seek};
pub use inode::{
    AllocateMode, DirectoryEntry, DirectorySink, Extent, FileSystem, Inode, OpenIntent, PageRun,
    RenameFlags, Statistics, XattrMode,
};
pub use metadata::{
    Clock, DeviceNumber, FileKind, Metadata, MetadataChange, NewInode, Owner, Timestamp,
};
pub use mount::{Location, Mount, MountFlags};
pub use node::{Node, Volume};
pub use page::PageSource;
pub use path::{NAME_MAX, PATH_MAX};
pub use pending::{Pending, Reply};
pub use ramdisk::{RamDisk, RamDiskLimits};
pub use serix_block::{PAGE_SIZE, Page};
pub use user::{ArgumentMemory, Destination, Events, Source};
pub use vfs::{Context, OpenFlags, ResolveFlags, SetTime, Setup, Vfs};
