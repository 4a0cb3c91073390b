//! `/proc`: what the processes and the machine show of themselves, in the words of Linux.
//!
//! Contents are made when a file is opened. Numbers of inodes are the process's number in the upper half and
//! the file's in the lower; files of the machine have process 0.
mod machine;
mod mounts;
mod process;
mod tables;

use crate::file::Page;
use crate::process as processes;
use crate::sched;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_chroma::generated::{Document, Dynamic, Folder, GeneratedFileSystem, Link};
use serix_chroma::{FileKind, FileSystem, Inode, VfsError, VfsResult};

/// The number by which programs know this file system.
const PROC_MAGIC: u64 = 0x9FA0;

type Node = Arc<dyn Inode<Page>>;

/// The number of a process's file.
pub(super) const fn ino(pid: u32, index: u32) -> u64 {
    (pid as u64) << 32 | (index as u64 + 1)
}

/// Adds documents to a folder, numbered in order.
pub(super) struct Builder {
    /// What was made so far.
    pub(super) folder: Folder<Page>,
    pid: u32,
    next: u32,
}

impl Builder {
    /// A folder of a process's, numbered from `first` on.
    pub(super) fn new(pid: u32, first: u32) -> Self {
        Self { folder: Folder::new(ino(pid, first)), pid, next: first + 1 }
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        ino(self.pid, self.next - 1)
    }

    fn document(
        mut self,
        name: &'static str,
        mode: u32,
        contents: impl Fn() -> VfsResult<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let number = self.take_number();
        let inode = Document::new(number, mode, contents);
        self.folder = self.folder.entry(name.as_bytes(), number, FileKind::Regular, inode);
        self
    }

    /// A document for all to read, from a function that makes text.
    pub(super) fn text(self, name: &'static str, make: fn() -> String) -> Self {
        self.document(name, 0o444, move || Ok(make().into_bytes()))
    }

    fn link(
        mut self,
        name: &'static str,
        target: impl serix_chroma::generated::Target<Page>,
    ) -> Self {
        let number = self.take_number();
        let inode = Link::new(number, target);
        self.folder = self.folder.entry(name.as_bytes(), number, FileKind::Symlink, inode);
        self
    }

    /// A folder inside, with its own number.
    pub(super) fn folder(mut self, name: &'static str, number: u64, folder: Folder<Page>) -> Self {
        let inode = Arc::new(folder);
        self.folder = self.folder.entry(name.as_bytes(), number, FileKind::Directory, inode);
        self
    }
}

/// A new instance; all show the same.
#[must_use]
pub(super) fn file_system() -> Arc<dyn FileSystem<Page>> {
    let root = machine::add(Builder::new(0, 0))
        .link("self", || Ok(format!("{}", processes::current_process().pid).into_bytes()))
        .link("thread-self", || {
            let thread = sched::current();
            Ok(format!("{}/task/{}", thread.process.pid, thread.tid).into_bytes())
        })
        .link("mounts", || Ok(b"self/mounts".to_vec()))
        .folder
        .dynamic(Arc::new(Processes));
    let root: Node = Arc::new(root);
    GeneratedFileSystem::new("proc", PROC_MAGIC, root)
}

/// The directories of the processes.
struct Processes;

fn number(name: &[u8]) -> VfsResult<u32> {
    let text = core::str::from_utf8(name).map_err(|_| VfsError::NotFound)?;
    if text.starts_with(['0', '+']) {
        return Err(VfsError::NotFound);
    }
    text.parse().map_err(|_| VfsError::NotFound)
}

impl Dynamic<Page> for Processes {
    fn lookup(&self, name: &[u8]) -> VfsResult<Node> {
        let process = processes::find(number(name)?).map_err(|_| VfsError::NotFound)?;
        Ok(Arc::new(process::folder(process.pid)))
    }

    fn next(&self, key: u64) -> Option<(u64, Vec<u8>, u64, FileKind)> {
        let all = processes::all();
        let process = all.iter().find(|process| u64::from(process.pid) >= key)?;
        let name = format!("{}", process.pid).into_bytes();
        Some((process.pid.into(), name, ino(process.pid, 0), FileKind::Directory))
    }
}
