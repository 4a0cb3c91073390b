//! An inode as chroma wants it.
use super::{Shared, convert};
use crate::error::Result;
use crate::inode::Node;
use crate::layout::inode::FileKind;
use crate::{NewInode as New, SeekTarget};
use alloc::sync::Arc;
use alloc::vec::Vec;
use convert::error;
use core::any::Any;
use serix_block::BlockDevice;
use serix_chroma::{
    AllocateMode, DirectoryEntry, DirectorySink, Extent, Inode, Metadata, MetadataChange, NewInode,
    Owner, PageRun, RenameFlags, Reply, VfsError, XattrMode,
};

/// An open inode. The node's count of openings has one for each of these.
pub(super) struct VolumeInode<D: BlockDevice> {
    shared: Arc<Shared<D>>,
    node: Arc<Node>,
    kind: Option<FileKind>,
}

impl<D: BlockDevice> Drop for VolumeInode<D> {
    fn drop(&mut self) {
        self.shared.drop_node(&self.node);
    }
}

impl<D: BlockDevice> VolumeInode<D> {
    pub(super) fn new(shared: Arc<Shared<D>>, node: Arc<Node>, kind: Option<FileKind>) -> Self {
        Self { shared, node, kind }
    }

    fn number(&self) -> u32 {
        self.node.number
    }

    async fn read_all(&self, mut cookie: u64, sink: &mut dyn DirectorySink) -> Result<()> {
        loop {
            let entries = self.shared.fs.read_dir(self.number(), cookie).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            cookie = last.next;
            for entry in &entries {
                let kind = match entry.kind {
                    Some(kind) => kind,
                    None => self.shared.fs.attributes(entry.inode).await?.kind,
                };
                let (ino, kind) = (entry.inode.into(), convert::kind(kind));
                if !sink.entry(&DirectoryEntry { name: &entry.name, ino, kind, next: entry.next }) {
                    return Ok(());
                }
            }
        }
    }

    async fn made(&self, number: Result<u32>) -> Result<Arc<dyn Inode<D::Page>>> {
        self.shared.inode(number?).await
    }
}

/// Another inode of the same file system.
fn own<D: BlockDevice>(inode: &Arc<dyn Inode<D::Page>>) -> Option<u32> {
    inode.as_any().downcast_ref::<VolumeInode<D>>().map(VolumeInode::number)
}

impl<D: BlockDevice> Inode<D::Page> for VolumeInode<D> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        let block_size = self.shared.fs.statistics_block_size();
        if let Some(body) = self.node.body.try_read() {
            let found = self.shared.fs.attributes_of(&self.node, &body);
            return Reply::Ready(
                found.map(|found| convert::metadata(&found, block_size)).map_err(error),
            );
        }
        Reply::later(async move {
            let body = self.node.body.read().await;
            let found = self.shared.fs.attributes_of(&self.node, &body).map_err(error)?;
            Ok(convert::metadata(&found, block_size))
        })
    }

    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        Reply::later(async move {
            let change = convert::change(&change);
            self.shared.fs.set_attributes(self.number(), change).await.map_err(error)
        })
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Arc<dyn Inode<D::Page>>> {
        Reply::later(async move {
            let found = self.shared.fs.lookup(self.number(), name).await;
            self.made(found).await.map_err(error)
        })
    }

    fn create<'a>(&'a self, name: &'a [u8], new: NewInode) -> Reply<'a, Arc<dyn Inode<D::Page>>> {
        Reply::later(async move {
            let new = New {
                kind: convert::own_kind(new.kind),
                mode: new.mode as u16 & 0xfff,
                uid: new.owner.uid,
                gid: new.owner.gid,
                device: (new.device.major, new.device.minor),
            };
            let made = self.shared.fs.create(self.number(), name, new).await;
            self.made(made).await.map_err(error)
        })
    }

    fn symlink<'a>(
        &'a self,
        name: &'a [u8],
        target: &'a [u8],
        owner: Owner,
    ) -> Reply<'a, Arc<dyn Inode<D::Page>>> {
        Reply::later(async move {
            let fs = &self.shared.fs;
            let made = fs.symlink(self.number(), name, target, owner.uid, owner.gid).await;
            self.made(made).await.map_err(error)
        })
    }

    fn link<'a>(&'a self, name: &'a [u8], inode: &'a Arc<dyn Inode<D::Page>>) -> Reply<'a, ()> {
        let Some(number) = own::<D>(inode) else { return Reply::fail(VfsError::CrossDevice) };
        Reply::later(async move {
            self.shared.fs.link(number, self.number(), name).await.map_err(error)
        })
    }

    fn unlink<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        Reply::later(async move { self.shared.fs.unlink(self.number(), name).await.map_err(error) })
    }

    fn rmdir<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        Reply::later(async move { self.shared.fs.rmdir(self.number(), name).await.map_err(error) })
    }

    fn rename<'a>(
        &'a self,
        name: &'a [u8],
        to: &'a Arc<dyn Inode<D::Page>>,
        to_name: &'a [u8],
        flags: RenameFlags,
    ) -> Reply<'a, ()> {
        let Some(flags) = convert::rename_flags(flags) else {
            return Reply::fail(VfsError::Invalid);
        };
        let Some(to) = own::<D>(to) else { return Reply::fail(VfsError::CrossDevice) };
        Reply::later(async move {
            let fs = &self.shared.fs;
            fs.rename(self.number(), name, to, to_name, flags).await.map_err(error)
        })
    }

    fn read_directory<'a>(&'a self, cookie: u64, sink: &'a mut dyn DirectorySink) -> Reply<'a, ()> {
        Reply::later(async move { self.read_all(cookie, sink).await.map_err(error) })
    }

    fn read_link(&self) -> Reply<'_, Vec<u8>> {
        Reply::later(async { self.shared.fs.readlink(self.number()).await.map_err(error) })
    }

    fn read_pages<'a>(&'a self, first: u64, pages: &'a [D::Page]) -> Reply<'a, ()> {
        Reply::later(async move {
            self.shared.fs.read_pages(self.number(), first, pages).await.map_err(error)
        })
    }

    fn write_pages<'a>(&'a self, first: u64, pages: &'a [D::Page], end: u64) -> Reply<'a, ()> {
        Reply::later(async move {
            self.shared.fs.write_pages(self.number(), first, pages, end).await.map_err(error)
        })
    }

    fn write_runs<'a>(&'a self, runs: &'a [PageRun<D::Page>], end: u64) -> Reply<'a, ()> {
        Reply::later(async move {
            let parts = runs.iter().map(|run| (run.first, &*run.pages));
            self.shared.fs.write_runs(self.number(), parts, end).await.map_err(error)
        })
    }

    fn prepare_write(&self, first: u64, count: u64) -> Reply<'_, ()> {
        if self.shared.fs.is_prepared(&self.node, first, count) {
            return Reply::done(());
        }
        Reply::later(async move {
            self.shared.fs.prepare_write(self.number(), first, count).await.map_err(error)
        })
    }

    fn allocate(&self, mode: AllocateMode, offset: u64, len: u64) -> Reply<'_, ()> {
        let mode = convert::allocate_mode(mode);
        Reply::later(async move {
            self.shared.fs.fallocate(self.number(), mode, offset, len).await.map_err(error)
        })
    }

    fn seek_extent(&self, offset: u64, extent: Extent, size: u64) -> Reply<'_, u64> {
        let target = match extent {
            Extent::Data => SeekTarget::Data,
            Extent::Hole => SeekTarget::Hole,
        };
        Reply::later(async move {
            self.shared.fs.seek(self.number(), offset, target, size).await.map_err(error)
        })
    }

    fn sync(&self, data_only: bool) -> Reply<'_, ()> {
        Reply::later(
            async move { self.shared.fs.fsync(self.number(), data_only).await.map_err(error) },
        )
    }

    fn xattr<'a>(&'a self, name: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Reply::later(async move { self.shared.fs.xattr(self.number(), name).await.map_err(error) })
    }

    fn set_xattr<'a>(&'a self, name: &'a [u8], value: &'a [u8], mode: XattrMode) -> Reply<'a, ()> {
        let mode = convert::xattr_mode(mode);
        Reply::later(async move {
            self.shared.fs.set_xattr(self.number(), name, value, mode).await.map_err(error)
        })
    }

    fn remove_xattr<'a>(&'a self, name: &'a [u8]) -> Reply<'a, ()> {
        Reply::later(async move {
            self.shared.fs.remove_xattr(self.number(), name).await.map_err(error)
        })
    }

    fn xattr_names(&self) -> Reply<'_, Vec<u8>> {
        Reply::later(async move {
            let names = self.shared.fs.xattr_names(self.number()).await.map_err(error)?;
            Ok(names.into_iter().flat_map(|name| name.into_iter().chain([0])).collect())
        })
    }

    fn is_seekable(&self) -> bool {
        !matches!(self.kind, Some(FileKind::Fifo | FileKind::Socket))
    }
}
