//! The file system behind chroma's traits.
use crate::common::{MODERN, bytes_of, check_clean, mkfs, options, pages_of};
use serix_block::host::{HostPage, MemoryDisk, block_on};
use serix_chroma::{
    FileKind, FileSystem, Inode, MetadataChange, NewInode, Owner, RenameFlags, VfsError, XattrMode,
};
use serix_ext4::Volume;
use std::sync::Arc;

type Node = Arc<dyn Inode<HostPage>>;

fn new(kind: FileKind) -> NewInode {
    let owner = Owner { uid: 7, gid: 8 };
    NewInode { kind, mode: 0o640, owner, device: Default::default() }
}

#[test]
fn an_unlinked_inode_lives_until_it_is_dropped() {
    let disk = MemoryDisk::new(mkfs(64, MODERN));
    let volume = block_on(Volume::mount(disk.clone(), options())).expect("mount");
    let root: Node = block_on(volume.root()).expect("root");
    let free = block_on(volume.statistics()).expect("statistics").blocks_free;
    let file = block_on(root.create(b"file", new(FileKind::Regular))).expect("create");
    block_on(file.prepare_write(0, 2)).expect("prepare");
    block_on(file.write_pages(0, &pages_of(&[5; 8192]), 5000)).expect("write");
    block_on(root.unlink(b"file")).expect("unlink");
    assert_eq!(block_on(root.lookup(b"file")).err(), Some(VfsError::NotFound));
    let pages = [HostPage::zeroed(), HostPage::zeroed()];
    block_on(file.read_pages(0, &pages)).expect("read");
    let mut expected = vec![5; 5000];
    expected.resize(8192, 0);
    assert_eq!(bytes_of(&pages), expected);
    drop(file);
    block_on(volume.reap()).expect("reap");
    block_on(volume.sync()).expect("sync");
    assert_eq!(block_on(volume.statistics()).expect("statistics").blocks_free, free);
    block_on(volume.unmount()).expect("unmount");
    check_clean(&disk.with(|bytes| bytes.clone()));
}

#[test]
fn metadata_names_and_attributes() {
    let disk = MemoryDisk::new(mkfs(64, MODERN));
    let volume = block_on(Volume::mount(disk.clone(), options())).expect("mount");
    let root: Node = block_on(volume.root()).expect("root");
    let directory = block_on(root.create(b"d", new(FileKind::Directory))).expect("mkdir");
    let file = block_on(directory.create(b"f", new(FileKind::Regular))).expect("create");
    block_on(root.link(b"g", &file)).expect("link");
    let change = MetadataChange { mode: Some(0o400), size: Some(12), ..Default::default() };
    block_on(file.set_metadata(change)).expect("set_metadata");
    let found = block_on(file.metadata()).expect("metadata");
    assert_eq!((found.mode, found.size, found.links, found.uid), (0o400, 12, 2, 7));
    block_on(root.rename(b"g", &directory, b"h", RenameFlags::NO_REPLACE)).expect("rename");
    block_on(file.set_xattr(b"user.colour", b"blue", XattrMode::Create)).expect("set_xattr");
    assert_eq!(block_on(file.xattr(b"user.colour")).expect("xattr"), b"blue");
    assert_eq!(block_on(file.xattr_names()).expect("names"), b"user.colour\0");
    block_on(volume.unmount()).expect("unmount");
    check_clean(&disk.with(|bytes| bytes.clone()));
}
