//! File systems whose contents are made when they are asked for, such as `/proc`.
//!
//! A [`Folder`] has fixed entries and perhaps a [`Dynamic`] part that is asked each time; a
//! [`Document`] is made when it is opened and stays as it was for that description; a [`Link`]
//! makes its target, or jumps. Numbers of inodes are the maker's: unique in one file system.
mod document;
mod folder;

pub use document::{Contents, Document};
pub use folder::{Dynamic, Folder, Link, Target};

use crate::{FileSystem, Inode, Page, Reply, Statistics};
use alloc::sync::Arc;

/// A file system over a generated root directory.
pub struct GeneratedFileSystem<P: Page> {
    type_name: &'static str,
    magic: u64,
    root: Arc<dyn Inode<P>>,
}

impl<P: Page> GeneratedFileSystem<P> {
    /// A file system of this type, which Linux programs know by `magic`.
    #[must_use]
    pub fn new(type_name: &'static str, magic: u64, root: Arc<dyn Inode<P>>) -> Arc<Self> {
        Arc::new(Self { type_name, magic, root })
    }
}

impl<P: Page> FileSystem<P> for GeneratedFileSystem<P> {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn root(&self) -> Reply<'_, Arc<dyn Inode<P>>> {
        Reply::done(self.root.clone())
    }

    fn statistics(&self) -> Reply<'_, Statistics> {
        Reply::done(Statistics {
            magic: self.magic,
            block_size: crate::PAGE_SIZE as u32,
            name_max: crate::NAME_MAX as u32,
            ..Statistics::default()
        })
    }

    fn sync(&self) -> Reply<'_, ()> {
        Reply::done(())
    }
}
