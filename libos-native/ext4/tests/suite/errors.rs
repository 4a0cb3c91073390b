//! What happens after the disk contradicted itself, and mounts that must be refused.
use crate::common::{MODERN, Mounted, mkfs, mount, options, tool, write_image};
use serix_block::host::{MemoryDisk, block_on};
use serix_ext4::{Error, Ext4, FileKind};

fn error_of(image: Vec<u8>) -> Option<Error> {
    block_on(Ext4::mount(MemoryDisk::new(image), options())).err()
}

#[test]
fn features_that_are_not_known_are_named() {
    let inline = mkfs(32, &["-b", "4096", "-O", "inline_data"]);
    assert_eq!(error_of(inline), Some(Error::Unsupported("inline_data")));
    let encrypt = mkfs(32, &["-b", "4096", "-O", "encrypt"]);
    assert_eq!(error_of(encrypt), Some(Error::Unsupported("encrypt")));
    assert_eq!(error_of(vec![0; 1 << 20]), Some(Error::NotExt4));
    assert_eq!(error_of(Vec::new()), Some(Error::NotExt4));
}

#[test]
fn read_only_features_and_mounts_take_no_changes() {
    let quota = MemoryDisk::new(mkfs(32, &["-b", "4096", "-O", "quota"]));
    let mounted = Mounted(mount(&quota));
    assert!(mounted.0.is_read_only());
    assert_eq!(mounted.create(2, "file", FileKind::Regular), Err(Error::ReadOnly));
    let before = mkfs(32, MODERN);
    let disk = MemoryDisk::new(before.clone());
    let mut read_only = options();
    read_only.read_only = true;
    let mounted = Mounted(block_on(Ext4::mount(disk.clone(), read_only)).expect("mount"));
    assert_eq!(mounted.create(2, "file", FileKind::Regular), Err(Error::ReadOnly));
    assert_eq!(block_on(mounted.0.lookup(2, b"lost+found")), Ok(11));
    block_on(mounted.0.unmount()).expect("unmount");
    assert!(disk.with(|bytes| *bytes == before));
}

/// A contradiction found in the midst of a change: read-only from then on, the transaction is
/// never committed, and checkers learn of it.
#[test]
fn a_contradiction_ends_all_changes() {
    let disk = MemoryDisk::new(mkfs(32, &["-b", "4096", "-O", "^metadata_csum"]));
    let mounted = Mounted(mount(&disk));
    let file = mounted.create(2, "file", FileKind::Regular).expect("create");
    mounted.write(file, 0, &[1; 40_960]).expect("write");
    block_on(mounted.0.unmount()).expect("unmount");
    // The blocks of the file become free although it has them.
    let image = disk.with(|bytes| bytes.clone());
    let said = crate::common::debugfs(&image, "blocks /file");
    let block: u64 = said.split_whitespace().find_map(|word| word.parse().ok()).expect("block");
    let scratch = write_image(&image);
    tool("debugfs", &["-w", "-R", &format!("freeb {block} 10")], scratch.path());
    let disk = MemoryDisk::new(std::fs::read(scratch.path()).expect("image"));
    let mounted = Mounted(mount(&disk));
    let error = block_on(mounted.0.unlink(2, b"file"));
    assert!(matches!(error, Err(Error::Corrupt { .. })), "{error:?}");
    assert!(mounted.0.failure().is_some());
    assert_eq!(mounted.create(2, "other", FileKind::Regular), Err(Error::ReadOnly));
    assert!(block_on(mounted.0.sync()).is_err());
    assert!(block_on(mounted.0.unmount()).is_err());
    let after = disk.with(|bytes| bytes.clone());
    assert!(crate::common::debugfs(&after, "stat /file").contains("Size: 40960"));
    let (status, said) = tool("e2fsck", &["-fn"], write_image(&after).path());
    assert_ne!(status, 0, "e2fsck was told: {said}");
}
