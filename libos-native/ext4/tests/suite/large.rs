//! Many names, large files, few extents.
use crate::common::{
    MODERN, Mounted, Scratch, check_clean, check_clean_file, long, mkfs, mount, options, pages_of,
    tool,
};
use serix_block::host::{FileDisk, HostPage, MemoryDisk, block_on};
use serix_ext4::{AllocateMode, Ext4, FileKind};

/// A file system in a sparse file of the host.
fn large_disk(size_gib: u64) -> (Scratch, Mounted<FileDisk>) {
    let scratch = Scratch::new();
    let file = std::fs::File::create(scratch.path()).expect("scratch file");
    file.set_len(size_gib << 30).expect("size of the image");
    let arguments = [&["-q", "-F"], MODERN].concat();
    let (status, said) = tool("mkfs.ext4", &arguments, scratch.path());
    assert_eq!(status, 0, "mkfs.ext4: {said}");
    let mounted = mount_file(&scratch);
    (scratch, mounted)
}

fn mount_file(scratch: &Scratch) -> Mounted<FileDisk> {
    let disk = FileDisk::open(scratch.path()).expect("image");
    Mounted(block_on(Ext4::mount(disk, options())).expect("mount"))
}

fn extents(scratch: &Scratch, path: &str) -> usize {
    let said = tool("debugfs", &["-R", &format!("dump_extents {path}")], scratch.path()).1;
    // Leaves are at the deepest level: "level/ depth".
    let is_leaf = |line: &&str| {
        let mut words = line.split_whitespace();
        let level = words.next().and_then(|word| word.strip_suffix('/'));
        level.is_some() && level == words.next()
    };
    said.lines().filter(is_leaf).count()
}

#[test]
fn a_file_written_in_order_has_few_extents() {
    let (gib, mib) = if long() { (3, 1024) } else { (1, 256) };
    let (scratch, mounted) = large_disk(gib);
    let file = mounted.create(2, "file", FileKind::Regular).expect("create");
    let other = mounted.create(2, "other", FileKind::Regular).expect("create");
    let pages: Vec<HostPage> = pages_of(&vec![1; 1 << 20]);
    for number in 0..mib {
        let size = (number + 1) << 20;
        block_on(mounted.0.write_pages(file, number * 256, &pages, size)).expect("write");
        // Somebody else writes at the same time.
        let few = &pages[..16];
        block_on(mounted.0.write_pages(other, number * 16, few, (number + 1) << 16))
            .expect("write");
    }
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean_file(scratch.path());
    let count = extents(&scratch, "/file");
    assert!((1..20).contains(&count), "{count} extents for {mib} MiB");
}

#[test]
fn files_over_four_gibibytes() {
    let (scratch, mounted) = large_disk(9);
    let file = mounted.create(2, "file", FileKind::Regular).expect("create");
    let mode = AllocateMode::Reserve { keep_size: false };
    block_on(mounted.0.fallocate(file, mode, 0, 5 << 30)).expect("fallocate");
    for offset in [0, (4 << 30) - 5, (5 << 30) - 10, 7 << 40] {
        mounted.write(file, offset, b"0123456789").expect("write");
    }
    assert_eq!(mounted.size(file), (7 << 40) + 10);
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean_file(scratch.path());
    let mounted = mount_file(&scratch);
    for offset in [0, (4 << 30) - 5, (5 << 30) - 10, 7 << 40] {
        assert_eq!(mounted.read(file, offset, 10).as_deref(), Ok(&b"0123456789"[..]));
    }
    assert_eq!(mounted.read(file, 3 << 30, 10), Ok(vec![0; 10]));
    block_on(mounted.0.unlink(2, b"file")).expect("unlink");
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean_file(scratch.path());
}

/// Names come and go while a listing is under way; those that stay are listed exactly once.
#[test]
fn a_listing_under_way_misses_nothing() {
    let disk = MemoryDisk::new(mkfs(64, &["-b", "1024", "-N", "20000"]));
    let mounted = Mounted(mount(&disk));
    let directory = mounted.create(2, "d", FileKind::Directory).expect("mkdir");
    for number in 0..1500 {
        mounted.create(directory, &format!("stays-{number}"), FileKind::Regular).expect("create");
    }
    let mut seen = Vec::new();
    let (mut cookie, mut number) = (0, 0);
    loop {
        let entries = block_on(mounted.0.read_dir(directory, cookie)).expect("read_dir");
        // Taken in part, as a small buffer does.
        let taken = &entries[..entries.len().min(5)];
        let Some(last) = taken.last() else { break };
        cookie = last.next;
        seen.extend(taken.iter().map(|entry| entry.name.clone()));
        for _ in 0..4 {
            let name = format!("comes-{number}");
            mounted.create(directory, &name, FileKind::Regular).expect("create");
            if number % 2 == 0 {
                block_on(mounted.0.unlink(directory, name.as_bytes())).expect("unlink");
            }
            number += 1;
        }
    }
    seen.retain(|name| name.starts_with(b"stays"));
    seen.sort();
    let listed = seen.len();
    seen.dedup();
    assert_eq!((listed, seen.len()), (1500, 1500));
}

#[test]
fn a_directory_of_very_many_names() {
    let count = if long() { 100_000 } else { 12_000 };
    // Small blocks, so that the index has two levels.
    let inodes = (count + 1000).to_string();
    let disk = MemoryDisk::new(mkfs(160, &["-b", "1024", "-N", &inodes]));
    let mounted = Mounted(mount(&disk));
    let directory = mounted.create(2, "many", FileKind::Directory).expect("mkdir");
    let target = mounted.create(directory, "target", FileKind::Regular).expect("create");
    assert!(target > directory);
    let name = |number: u32| format!("a-name-that-is-not-too-short-{number}");
    for number in 0..count {
        mounted.create(directory, &name(number), FileKind::Regular).expect("create");
    }
    for number in (0..count).step_by(97) {
        assert!(block_on(mounted.0.lookup(directory, name(number).as_bytes())).is_ok());
    }
    let mut listed = mounted.list(directory);
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), count as usize + 1);
    block_on(mounted.0.sync()).expect("sync");
    for number in 0..count {
        block_on(mounted.0.unlink(directory, name(number).as_bytes())).expect("unlink");
    }
    block_on(mounted.0.unlink(directory, b"target")).expect("unlink");
    block_on(mounted.0.rmdir(2, b"many")).expect("rmdir");
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean(&disk.with(|bytes| bytes.clone()));
}
