//! Bounds: links of an inode, memory of a mount.
use crate::basics::on_fresh;
use crate::common::{
    MODERN, Mounted, check_clean, debugfs, long, mkfs, mount, options, plain, tool, write_image,
};
use crate::raw::peak_memory;
use serix_block::host::{MemoryDisk, block_on};
use serix_ext4::{Error, Ext4, FileKind, RenameFlags};

/// Links that Linux lets an inode have.
const LINKS: u64 = 65_000;
/// Formats that count a directory's links to the end, and that stop counting.
const COUNTED: &[&str] = &["-b", "1024", "-O", "^dir_nlink"];
const UNCOUNTED: &[&str] = &["-b", "1024"];

fn set_links(image: &[u8], path: &str, links: u64) -> MemoryDisk {
    let scratch = write_image(image);
    let request = format!("set_inode_field {path} links_count {links}");
    let (status, said) = tool("debugfs", &["-w", "-R", &request], scratch.path());
    assert_eq!(status, 0, "debugfs: {said}");
    MemoryDisk::new(std::fs::read(scratch.path()).expect("image"))
}

fn links(mounted: &Mounted<MemoryDisk>, inode: u32) -> u32 {
    block_on(mounted.0.attributes(inode)).expect("attributes").links
}

/// An image with a file and two directories, of which one has one in it.
fn with_links(arguments: &[&str]) -> Vec<u8> {
    on_fresh(32, arguments, |mounted| {
        mounted.create(2, "file", FileKind::Regular).expect("create");
        let full = mounted.create(2, "full", FileKind::Directory).expect("mkdir");
        mounted.create(full, "file", FileKind::Regular).expect("create");
        let other = mounted.create(2, "other", FileKind::Directory).expect("mkdir");
        mounted.create(other, "in-it", FileKind::Directory).expect("mkdir");
    })
}

#[test]
fn a_file_takes_no_link_too_many() {
    let mounted = Mounted(mount(&set_links(&with_links(UNCOUNTED), "/file", LINKS - 1)));
    let file = block_on(mounted.0.lookup(2, b"file")).expect("lookup");
    block_on(mounted.0.link(file, 2, b"last")).expect("the last link");
    assert_eq!(block_on(mounted.0.link(file, 2, b"more")), Err(Error::TooManyLinks));
    assert_eq!(block_on(mounted.0.lookup(2, b"more")), Err(Error::NotFound));
    assert_eq!(u64::from(links(&mounted, file)), LINKS);
}

/// Making, moving and exchanging all ask.
#[test]
fn a_directory_that_counts_takes_none_too_many() {
    let mounted = Mounted(mount(&set_links(&with_links(COUNTED), "/full", LINKS - 1)));
    let find = |directory, name: &str| {
        block_on(mounted.0.lookup(directory, name.as_bytes())).expect("lookup")
    };
    let (full, other) = (find(2, "full"), find(2, "other"));
    mounted.create(full, "last", FileKind::Directory).expect("the last directory");
    assert_eq!(mounted.create(full, "more", FileKind::Directory), Err(Error::TooManyLinks));
    let rename =
        |to: &str, flags| block_on(mounted.0.rename(other, b"in-it", full, to.as_bytes(), flags));
    assert_eq!(rename("moved", RenameFlags::NoReplace), Err(Error::TooManyLinks));
    assert_eq!(rename("file", RenameFlags::Exchange), Err(Error::TooManyLinks));
    assert_eq!(u64::from(links(&mounted, full)), LINKS);
    assert_eq!(mounted.list(full).len(), 2);
    // What replaces a directory adds none, and files are not counted.
    assert_eq!(rename("last", RenameFlags::Replace), Ok(()));
    mounted.create(full, "plain", FileKind::Regular).expect("create");
    assert_eq!(u64::from(links(&mounted, full)), LINKS);
}

#[test]
fn a_directory_that_does_not_count_has_one_link_for_many() {
    let mounted = Mounted(mount(&set_links(&with_links(UNCOUNTED), "/full", LINKS)));
    let full = block_on(mounted.0.lookup(2, b"full")).expect("lookup");
    mounted.create(full, "more", FileKind::Directory).expect("mkdir");
    assert_eq!(links(&mounted, full), 1);
    block_on(mounted.0.rmdir(full, b"more")).expect("rmdir");
    assert_eq!(links(&mounted, full), 1, "nobody knows how many are left");
}

/// As many directories in one as the format allows, and more where it does not count.
#[test]
fn as_many_directories_as_can_be() {
    // In a short run the disk is full long before.
    let (count, size) = if long() { (LINKS + 10, 160) } else { (2_000, 16) };
    for arguments in [COUNTED, UNCOUNTED] {
        let inodes = (count + 100).to_string();
        let all = [arguments, &["-N", &inodes, "-I", "128"]].concat();
        let image = on_fresh(size, &all, |mounted| {
            let many = mounted.create(2, "many", FileKind::Directory).expect("mkdir");
            let make = |number| mounted.create(many, &format!("d{number}"), FileKind::Directory);
            let made = (0..count).take_while(|number| make(*number).is_ok()).count() as u64;
            let (most, last) = match (long(), arguments == COUNTED) {
                (true, true) => (LINKS - 2, LINKS),
                (true, false) => (count, 1),
                (false, _) => (count, count + 2),
            };
            assert_eq!((made, u64::from(links(mounted, many))), (most, last));
        });
        assert!(debugfs(&image, "stat /many").contains("Type: directory"));
    }
}

/// The bound that [`serix_ext4::Options`] states, and a mebibyte for inodes and lists.
#[test]
fn memory_stays_within_what_is_stated() {
    const CACHE: usize = 1 << 20;
    const BOUND: usize = CACHE + (3 << 20) + (1 << 20);
    let count = if long() { 50_000 } else { 16_000 };
    let disk = MemoryDisk::new(mkfs(96, &[MODERN, &["-N", "60000"]].concat()));
    let mut options = options();
    options.cache_bytes = CACHE;
    let (_, memory) = peak_memory(|| {
        let fs = block_on(Ext4::mount(disk.clone(), options)).expect("mount");
        for number in 0..count {
            let name = format!("a-name-of-middling-length-{number}");
            let file = block_on(fs.create(2, name.as_bytes(), plain(FileKind::Regular)));
            let file = file.expect("create");
            if number % 16 == 0 {
                let pages = crate::common::pages_of(&[1; 100]);
                block_on(fs.write_pages(file, 0, &pages, 100)).expect("write");
            }
        }
        for number in (0..count).step_by(3) {
            let name = format!("a-name-of-middling-length-{number}");
            block_on(fs.unlink(2, name.as_bytes())).expect("unlink");
        }
        block_on(fs.unmount()).expect("unmount");
    });
    check_clean(&disk.with(|bytes| bytes.clone()));
    assert!(memory < BOUND, "{memory} bytes of {BOUND}");
    println!("{memory} bytes of {BOUND}");
}
