//! The folders of `/proc/<pid>` whose entries come and go: descriptors and threads.
use super::{Builder, Node, ino, number, process};
use crate::file::{Description, Object, Page};
use crate::fs::{Location, vfs};
use crate::process as processes;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_chroma::generated::{Dynamic, Folder, Link, Target};
use serix_chroma::{FileKind, VfsError, VfsResult};

/// Places of the numbered links of descriptors.
const DESCRIPTORS: u32 = 1 << 24;

/// What a descriptor names, as text.
fn describe(file: &Description) -> Vec<u8> {
    if let Some(place) = file.location() {
        return match vfs().path_of(place, vfs().root()) {
            Some((mut path, is_deleted)) => {
                if is_deleted {
                    path.extend_from_slice(b" (deleted)");
                }
                path
            }
            None => b"(unreachable)".to_vec(),
        };
    }
    match file.object() {
        Object::Pipe(pipe, _) => format!("pipe:[{}]", Arc::as_ptr(pipe) as u64 >> 4 & 0xFFFF_FFFF),
        Object::Event(_) => "anon_inode:[eventfd]".into(),
        Object::Epoll(_) => "anon_inode:[eventpoll]".into(),
        Object::File(_) | Object::Terminal(..) => "(unreachable)".into(),
    }
    .into_bytes()
}

/// The link to what a descriptor names.
struct DescriptorLink {
    pid: u32,
    number: i32,
}

impl DescriptorLink {
    fn file(&self) -> VfsResult<Arc<Description>> {
        let process = processes::find(self.pid).map_err(|_| VfsError::NotFound)?;
        let found = process.with_descriptors(|table| table.get(self.number));
        found.map_err(|_| VfsError::NotFound)
    }
}

impl Target<Page> for DescriptorLink {
    fn text(&self) -> VfsResult<Vec<u8>> {
        Ok(describe(&*self.file()?))
    }
    fn place(&self) -> Option<Location> {
        self.file().ok()?.location().cloned()
    }
}

/// The entries of `/proc/<pid>/fd`.
pub(super) struct Descriptors(pub(super) u32);

impl Dynamic<Page> for Descriptors {
    fn lookup(&self, name: &[u8]) -> VfsResult<Node> {
        let number = match name {
            b"0" => 0,
            name => i32::try_from(number(name)?).map_err(|_| VfsError::NotFound)?,
        };
        let target = DescriptorLink { pid: self.0, number };
        target.file()?;
        Ok(Link::new(ino(self.0, DESCRIPTORS + number as u32), target))
    }

    fn next(&self, key: u64) -> Option<(u64, Vec<u8>, u64, FileKind)> {
        let process = processes::find(self.0).ok()?;
        let key = usize::try_from(key).ok()?;
        let number =
            process.with_descriptors(|table| table.with(|table| table.numbers(key).next()))?;
        let name = format!("{number}").into_bytes();
        Some((number as u64, name, ino(self.0, DESCRIPTORS + number as u32), FileKind::Symlink))
    }
}

/// The entries of `/proc/<pid>/task`.
pub(super) struct Threads(pub(super) u32);

impl Dynamic<Page> for Threads {
    fn lookup(&self, name: &[u8]) -> VfsResult<Node> {
        let wanted = number(name)?;
        let process = processes::find(self.0).map_err(|_| VfsError::NotFound)?;
        let is_there = process.state.lock().threads.iter().any(|thread| thread.tid == wanted);
        if !is_there {
            return Err(VfsError::NotFound);
        }
        let folder: Folder<Page> = process::documents(Builder::new(self.0, 1 << 16), self.0).folder;
        Ok(Arc::new(folder))
    }

    fn next(&self, key: u64) -> Option<(u64, Vec<u8>, u64, FileKind)> {
        let process = processes::find(self.0).ok()?;
        let state = process.state.lock();
        let threads = state.threads.iter().map(|thread| thread.tid);
        let tid = threads.filter(|&tid| u64::from(tid) >= key).min()?;
        Some((tid.into(), format!("{tid}").into_bytes(), ino(self.0, 1 << 16), FileKind::Directory))
    }
}
