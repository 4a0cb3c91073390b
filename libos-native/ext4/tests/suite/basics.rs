//! Each operation once, with `e2fsck` and `debugfs` as judges.

use crate::common::{MODERN, Mounted, check_clean, debugfs, mkfs, mount, plain};
use serix_block::host::{MemoryDisk, block_on};
use serix_ext4::{Error, FileKind, RenameFlags};

fn image_of(disk: &MemoryDisk) -> Vec<u8> {
    disk.with(|bytes| bytes.clone())
}

/// Runs `work` on a fresh file system, unmounts, and checks the image.
pub(crate) fn on_fresh(
    size_mib: u64,
    arguments: &[&str],
    work: impl FnOnce(&Mounted<MemoryDisk>),
) -> Vec<u8> {
    let disk = MemoryDisk::new(mkfs(size_mib, arguments));
    let mounted = Mounted(mount(&disk));
    work(&mounted);
    block_on(mounted.0.unmount()).expect("unmount");
    let image = image_of(&disk);
    check_clean(&image);
    image
}

#[test]
fn mounts_and_unmounts_without_a_trace() {
    let before = mkfs(64, MODERN);
    let disk = MemoryDisk::new(before.clone());
    let mounted = mount(&disk);
    assert_eq!(block_on(mounted.lookup(mounted.root(), b"lost+found")), Ok(11));
    block_on(mounted.unmount()).expect("unmount");
    assert!(image_of(&disk) == before, "a mount that changes nothing wrote something");
}

#[test]
fn creates_writes_and_reads() {
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number * 7) as u8).collect();
    let image = on_fresh(64, MODERN, |mounted| {
        let root = mounted.0.root();
        let directory = mounted.create(root, "directory", FileKind::Directory).expect("mkdir");
        let file = mounted.create(directory, "file", FileKind::Regular).expect("create");
        mounted.write(file, 0, &content).expect("write");
        assert_eq!(mounted.read_all(file), content);
        assert_eq!(block_on(mounted.0.lookup(directory, b"file")), Ok(file));
        assert_eq!(mounted.create(directory, "file", FileKind::Regular), Err(Error::Exists));
        assert_eq!(mounted.list(directory), [(b"file".to_vec(), file)]);
    });
    assert!(debugfs(&image, "stat /directory/file").contains("Size: 100000"));
    // The same after mounting again.
    let mounted = Mounted(mount(&MemoryDisk::new(image)));
    let directory = block_on(mounted.0.lookup(2, b"directory")).expect("lookup");
    let file = block_on(mounted.0.lookup(directory, b"file")).expect("lookup");
    assert_eq!(mounted.read_all(file), content);
}

#[test]
fn links_renames_and_removes() {
    let image = on_fresh(64, MODERN, |mounted| {
        let (fs, root) = (&mounted.0, mounted.0.root());
        let a = mounted.create(root, "a", FileKind::Regular).expect("create");
        let d = mounted.create(root, "d", FileKind::Directory).expect("mkdir");
        let e = mounted.create(root, "e", FileKind::Directory).expect("mkdir");
        block_on(fs.link(a, d, b"b")).expect("link");
        assert_eq!(block_on(fs.attributes(a)).map(|found| found.links), Ok(2));
        block_on(fs.unlink(root, b"a")).expect("unlink");
        block_on(fs.rename(d, b"b", e, b"c", RenameFlags::Replace)).expect("rename");
        assert_eq!(block_on(fs.lookup(e, b"c")), Ok(a));
        assert_eq!(block_on(fs.rmdir(root, b"e")), Err(Error::NotEmpty));
        block_on(fs.rename(root, b"e", d, b"e", RenameFlags::Replace)).expect("rename");
        assert_eq!(block_on(fs.parent(e)), Ok(d));
        assert_eq!(
            block_on(fs.rename(root, b"d", e, b"d", RenameFlags::Replace)),
            Err(Error::Invalid)
        );
        let f = mounted.create(root, "f", FileKind::Directory).expect("mkdir");
        block_on(fs.rename(root, b"f", d, b"e", RenameFlags::Exchange)).expect("exchange");
        assert_eq!(block_on(fs.lookup(root, b"f")), Ok(e));
        assert_eq!(block_on(fs.lookup(d, b"e")), Ok(f));
        let taken = fs.rename(root, b"f", d, b"e", RenameFlags::NoReplace);
        assert_eq!(block_on(taken), Err(Error::Exists));
        block_on(fs.rmdir(d, b"e")).expect("rmdir");
        assert_eq!(block_on(fs.attributes(root)).map(|found| found.links), Ok(5));
    });
    assert!(debugfs(&image, "ls -l /f").contains(" c"));
}

#[test]
fn symbolic_links_short_and_long() {
    let long = [b'x'; 4000];
    on_fresh(64, MODERN, |mounted| {
        let (fs, root) = (&mounted.0, mounted.0.root());
        for (name, target) in
            [("s", &b"target"[..]), ("m", &long[..59]), ("l", &long[..60]), ("h", &long)]
        {
            let link = block_on(fs.symlink(root, name.as_bytes(), target, 0, 0)).expect("symlink");
            assert_eq!(block_on(fs.readlink(link)).expect("readlink"), target);
        }
        block_on(fs.unlink(root, b"h")).expect("unlink");
        block_on(fs.unlink(root, b"s")).expect("unlink");
    });
}

#[test]
fn truncates_both_ways() {
    on_fresh(64, MODERN, |mounted| {
        let file = mounted.create(2, "file", FileKind::Regular).expect("create");
        mounted.write(file, 0, &[7; 20_000]).expect("write");
        block_on(mounted.0.truncate(file, 5_000)).expect("truncate");
        block_on(mounted.0.truncate(file, 30_000)).expect("truncate");
        let mut expected = vec![0; 30_000];
        expected[..5_000].fill(7);
        assert_eq!(mounted.read_all(file), expected);
        mounted.write(file, 1 << 30, &[1]).expect("sparse write");
        assert_eq!(mounted.size(file), (1 << 30) + 1);
        assert_eq!(mounted.read(file, 1 << 29, 5), Ok(vec![0; 5]));
    });
}

#[test]
fn keeps_what_is_open() {
    on_fresh(64, MODERN, |mounted| {
        let (fs, root) = (&mounted.0, mounted.0.root());
        let free = fs.statistics().blocks_free;
        let file = mounted.create(root, "file", FileKind::Regular).expect("create");
        mounted.write(file, 0, &[9; 50_000]).expect("write");
        block_on(fs.open(file)).expect("open");
        block_on(fs.unlink(root, b"file")).expect("unlink");
        block_on(fs.sync()).expect("sync");
        assert_eq!(mounted.read_all(file), [9; 50_000]);
        assert_eq!(block_on(fs.unmount()), Err(Error::Busy));
        block_on(fs.release(file)).expect("release");
        assert_eq!(block_on(fs.attributes(file)), Err(Error::Stale));
        block_on(fs.sync()).expect("sync");
        assert_eq!(fs.statistics().blocks_free, free);
    });
}

#[test]
fn special_files() {
    let image = on_fresh(64, MODERN, |mounted| {
        let devices = [
            ("c", FileKind::CharacterDevice, (4, 64)),
            ("b", FileKind::BlockDevice, (259, 1_000_000)),
            ("p", FileKind::Fifo, (0, 0)),
            ("s", FileKind::Socket, (0, 0)),
        ];
        for (name, kind, device) in devices {
            let new = serix_ext4::NewInode { device, ..plain(kind) };
            let made = block_on(mounted.0.create(2, name.as_bytes(), new)).expect("mknod");
            let found = block_on(mounted.0.attributes(made)).expect("attributes");
            assert_eq!((found.kind, found.device), (kind, device));
        }
    });
    assert!(debugfs(&image, "stat /c").contains("Device major/minor number: 04:64"));
}

#[test]
fn many_names_in_one_directory() {
    on_fresh(64, MODERN, |mounted| {
        let directory = mounted.create(2, "many", FileKind::Directory).expect("mkdir");
        let name = |number: u32| format!("a-somewhat-longer-name-{number}");
        for number in 0..6000 {
            mounted.create(directory, &name(number), FileKind::Regular).expect("create");
        }
        let mut listed = mounted.list(directory);
        listed.sort();
        listed.dedup();
        assert_eq!(listed.len(), 6000);
        for number in (0..6000).step_by(3) {
            block_on(mounted.0.unlink(directory, name(number).as_bytes())).expect("unlink");
        }
        assert_eq!(mounted.list(directory).len(), 4000);
        for number in 0..6000 {
            let found = block_on(mounted.0.lookup(directory, name(number).as_bytes()));
            assert_eq!(found.is_ok(), number % 3 != 0);
        }
    });
}
