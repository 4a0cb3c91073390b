//! The ext4 file system over a block device.
//!
//! [`Ext4`] reads and writes what `mkfs.ext4` makes, and ext2 and ext3 with it. It is a library of
//! `async` methods that name inodes by number; it owns no thread, no scheduler and no cache of file
//! data, which belong to who uses it. Metadata go through a cache with a bound and a journal.
//!
//! From the bottom: `layout` (bytes), `disk` (blocks), `cache` and `kind` (metadata blocks, their
//! checksums), `journal` (transactions), `allocator` (free space), `inode`, `map` (where a file's
//! blocks lie), `directory` (entries), `orphan`, `xattr`; above them the operations: `namespace`,
//! `file`, `attributes`, `sync`, `mount`; on top `vfs`, which makes them a file system of chroma.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod allocator;
mod attributes;
mod cache;
mod checksum;
mod directory;
mod disk;
mod error;
mod file;
mod file_system;
mod inode;
mod journal;
mod kind;
mod layout;
mod map;
mod mount;
mod name_hash;
mod namespace;
mod orphan;
mod raw;
mod sync;
mod vfs;
mod wait;
mod xattr;
mod zones;

pub use attributes::{AttributeChange, Attributes};
pub use directory::DirectoryEntry;
pub use error::{Error, Result};
pub use file::{AllocateMode, SeekTarget};
pub use file_system::{Clock, Ext4, Log, Options, Statistics};
pub use layout::inode::{FileKind, Time};
pub use namespace::{NewInode, RenameFlags};
pub use vfs::Volume;
pub use xattr::XattrMode;
