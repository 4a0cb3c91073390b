//! Full disks, failing requests, short memory.
use crate::common::{MODERN, Mounted, check_clean, long, mkfs, options, pages_of, plain};
use crate::model::{Outcome, Pair};
use serix_block::host::{FaultyDisk, MemoryDisk, block_on, run_all};
use serix_ext4::{AllocateMode, Error, Ext4, FileKind};
use std::cell::Cell;

type Disk = FaultyDisk<MemoryDisk>;

fn mount_faulty(memory: &MemoryDisk) -> (Disk, Mounted<Disk>) {
    let disk = FaultyDisk::new(memory.clone());
    let fs = block_on(Ext4::mount(disk.clone(), options())).expect("mount");
    (disk, Mounted(fs))
}

fn image_of(memory: &MemoryDisk) -> Vec<u8> {
    memory.with(|bytes| bytes.clone())
}

/// A short workload that touches most of the code; stops at the first error that is no answer.
fn workload<D>(pair: &mut Pair<D>, steps: u64) -> Result<(), Error>
where
    D: serix_block::BlockDevice<Page = serix_block::host::HostPage>,
{
    for _ in 0..steps {
        if let Outcome::Failed(error) = pair.step() {
            return Err(error);
        }
    }
    block_on(pair.mounted.0.sync())
}

/// Each request in turn fails once: the error is told, afterwards the file system takes no changes
/// or works on, what is on disk is sound, and what was synced before is there.
#[test]
fn each_request_fails_in_turn() {
    let base = mkfs(16, &["-b", "1024", "-J", "size=1"]);
    let (disk, mounted) = mount_faulty(&MemoryDisk::new(base.clone()));
    disk.fail(u64::MAX, false);
    let mut pair = Pair::new(mounted, 31);
    workload(&mut pair, 150).expect("workload without faults");
    let requests = disk.requests();
    assert!(requests > 100, "{requests} requests are too few to mean anything");
    let step = if long() { 1 } else { requests / 25 };
    for at in (0..requests).step_by(step as usize) {
        let memory = MemoryDisk::new(base.clone());
        let (disk, mounted) = mount_faulty(&memory);
        disk.fail(at, at % 2 == 1);
        let mut pair = Pair::new(mounted, 31);
        let outcome = workload(&mut pair, 150);
        disk.heal();
        if outcome.is_ok() {
            // A failed read-ahead or a read that was repeated.
            pair.check_all();
        }
        let readable = block_on(pair.mounted.0.lookup(2, b"lost+found"));
        assert_eq!(readable, Ok(11), "reading goes on after a failure");
        if let Some(failure) = pair.mounted.0.failure() {
            assert!(matches!(failure, Error::Io { .. }), "{failure}");
            let refused = pair.mounted.create(2, "after", FileKind::Regular);
            assert_eq!(refused, Err(Error::ReadOnly));
        } else {
            block_on(pair.mounted.0.unmount()).expect("unmount after a harmless failure");
        }
        drop(pair);
        let fs = block_on(Ext4::mount(memory.clone(), options())).expect("mount afterwards");
        block_on(fs.unmount()).expect("unmount");
        check_clean(&image_of(&memory));
    }
}

/// A workload on a small disk runs into its end again and again; nothing breaks and nothing leaks.
#[test]
fn a_full_disk_is_told_and_nothing_breaks() {
    for arguments in [MODERN, &["-b", "1024"], &["-b", "1024", "-t", "ext2"]] {
        let memory = MemoryDisk::new(mkfs(8, arguments));
        let (_, mounted) = mount_faulty(&memory);
        let free = mounted.0.statistics();
        // Out of the model's sight, all but a megabyte.
        let filler = mounted.create(11, "filler", FileKind::Regular).expect("create");
        let mut left = free.blocks_free * u64::from(free.block_size) - (1 << 20);
        while left > 1 << 16 {
            left -= 1 << 16;
            mounted.write(filler, left, &[1; 1 << 16]).expect("fill");
        }
        let mut pair = Pair::new(mounted, 8);
        let mut full = 0;
        for round in 0..if long() { 20_000 } else { 1000 } {
            match pair.step() {
                Outcome::Done => {}
                Outcome::Failed(Error::NoSpace) => full += 1,
                Outcome::Failed(error) => panic!("step {round}: {error}"),
            }
        }
        assert!(full > 0, "{arguments:?}: the disk never was full");
        assert_eq!(pair.mounted.0.failure(), None);
        pair.check_all();
        block_on(pair.mounted.0.unlink(11, b"filler")).expect("unlink");
        empty(&pair.mounted, 2);
        block_on(pair.mounted.0.sync()).expect("sync");
        // Directories that grew keep their blocks.
        let now = pair.mounted.0.statistics();
        assert!(
            now.blocks_free + 64 >= free.blocks_free,
            "{} of {}",
            now.blocks_free,
            free.blocks_free
        );
        assert_eq!(now.inodes_free, free.inodes_free);
        block_on(pair.mounted.0.unmount()).expect("unmount");
        check_clean(&image_of(&memory));
    }
}

/// Two files that hold all space by promises for pages that nobody writes: one gives back a block at a
/// time, the other takes whatever becomes free.
struct Ballast<'m> {
    mounted: &'m Mounted<Disk>,
    giver: u32,
    taker: u32,
    /// Pages promised to either.
    given: Cell<u64>,
    taken: Cell<u64>,
}

impl<'m> Ballast<'m> {
    fn new(mounted: &'m Mounted<Disk>) -> Self {
        let directory = mounted.create(11, "ballast", FileKind::Directory).expect("mkdir");
        let create = |name| mounted.create(directory, name, FileKind::Regular).expect("create");
        let (giver, taker) = (create("giver"), create("taker"));
        let (given, taken) = (Cell::new(mounted.0.statistics().blocks_free - 64), Cell::new(0));
        block_on(mounted.0.prepare_write(giver, 0, given.get())).expect("prepare");
        let ballast = Self { mounted, giver, taker, given, taken };
        // The first time, what was promised to the map goes too.
        ballast.give();
        ballast
    }

    fn free(&self) -> u64 {
        self.mounted.0.statistics().blocks_free
    }

    /// Takes all that is left.
    fn take_all(&self) {
        while block_on(self.mounted.0.prepare_write(self.taker, self.taken.get(), 1)).is_ok() {
            self.taken.set(self.taken.get() + 1);
        }
    }

    /// Gives a block back; false if there is none.
    fn give(&self) -> bool {
        let Some(left) = self.given.get().checked_sub(1) else { return false };
        self.given.set(left);
        block_on(self.mounted.0.truncate(self.giver, left * 4096)).expect("truncate");
        true
    }
}

/// Before each step the disk is full; then the step is tried with no block left, with one, with two
/// and so on until it succeeds, so that each of its allocations has failed. What failed has no effect.
#[test]
fn each_allocation_fails_in_turn() {
    let steps = if long() { 400 } else { 40 };
    let indirect: &[&str] = &["-b", "4096", "-t", "ext2"];
    for (arguments, seed) in [(MODERN, 21), (indirect, 22)] {
        let memory = MemoryDisk::new(mkfs(16, arguments));
        let (_, mounted) = mount_faulty(&memory);
        let mut pair = Pair::new(Mounted(mounted.0.clone()), seed);
        workload(&mut pair, 60).expect("workload with space");
        let ballast = Ballast::new(&mounted);
        let (mut failures, mut most, mut fullest) = (0, 0, u64::MAX);
        for step in 0..steps {
            // What this step may need at most, or it cannot succeed.
            ballast.take_all();
            fullest = fullest.min(ballast.free());
            let mut tries = 0;
            while let Outcome::Failed(error) = pair.step_again(tries > 0) {
                assert_eq!(error, Error::NoSpace, "step {step}");
                (tries, failures) = (tries + 1, failures + 1);
                if !ballast.give() {
                    // More than the ballast holds is a disk that is full by itself.
                    break;
                }
            }
            most = most.max(tries);
        }
        assert!(failures > 20 && most > 3, "{failures} failures, {most} in one step at most");
        assert_eq!(fullest, 0, "the disk never was quite full");
        assert_eq!(mounted.0.failure(), None);
        pair.check_all();
        drop(pair);
        block_on(mounted.0.unmount()).expect("unmount");
        check_clean(&image_of(&memory));
    }
}

/// Writing in the midst of preallocated space cuts an extent in up to three: what the map needs for it is promised beforehand.
#[test]
fn preallocated_pages_that_were_prepared_are_written_on_a_full_disk() {
    let memory = MemoryDisk::new(mkfs(16, MODERN));
    let (_, mounted) = mount_faulty(&memory);
    let inode = mounted.create(2, "file", FileKind::Regular).expect("create");
    let mode = AllocateMode::Reserve { keep_size: false };
    block_on(mounted.0.fallocate(inode, mode, 0, 256 * 4096)).expect("fallocate");
    let ballast = Ballast::new(&mounted);
    ballast.take_all();
    let indices: Vec<u64> = (0..60).map(|index| 4 * index + 1).collect();
    for index in &indices {
        while block_on(mounted.0.prepare_write(inode, *index, 1)).is_err() {
            assert!(ballast.give(), "page {index} cannot be prepared at all");
        }
        ballast.take_all();
    }
    assert_eq!(ballast.free(), 0, "the disk is not quite full");
    let page = pages_of(&[7; 4096]);
    let runs = indices.iter().map(|index| (*index, &page[..]));
    block_on(mounted.0.write_runs(inode, runs, 256 * 4096)).expect("what was prepared");
    let bytes = mounted.read(inode, 4096, 4 * 4096).expect("read");
    assert!(
        bytes[..4096].iter().all(|byte| *byte == 7) && bytes[4096..].iter().all(|byte| *byte == 0)
    );
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean(&image_of(&memory));
}

/// Removes everything below a directory but `lost+found`.
fn empty(mounted: &Mounted<Disk>, directory: u32) {
    for (name, inode) in mounted.list(directory) {
        if name == b"lost+found" {
            continue;
        }
        let kind = block_on(mounted.0.attributes(inode)).expect("attributes").kind;
        if kind == FileKind::Directory {
            empty(mounted, inode);
            block_on(mounted.0.rmdir(directory, &name)).expect("rmdir");
        } else {
            block_on(mounted.0.unlink(directory, &name)).expect("unlink");
        }
    }
}

/// What is promised to a cache is there when it writes, however full the disk is by then.
#[test]
fn prepared_space_is_not_taken_by_others() {
    let memory = MemoryDisk::new(mkfs(8, &["-b", "1024"]));
    let (_, mounted) = mount_faulty(&memory);
    let fs = &mounted.0;
    let kept = mounted.create(2, "kept", FileKind::Regular).expect("create");
    block_on(fs.prepare_write(kept, 10, 64)).expect("prepare");
    let greedy = mounted.create(2, "greedy", FileKind::Regular).expect("create");
    let mut offset = 0;
    while mounted.write(greedy, offset, &[1; 4096]).is_ok() {
        offset += 4096;
    }
    let pages = crate::common::pages_of(&[2; 64 * 4096]);
    block_on(fs.write_pages(kept, 10, &pages, 74 * 4096)).expect("write of prepared pages");
    assert_eq!(mounted.read(kept, 10 * 4096, 5), Ok(vec![2; 5]));
    block_on(fs.unmount()).expect("unmount");
    check_clean(&image_of(&memory));
}

/// No page to be had: an error, and the file system lives on.
#[test]
fn short_memory_is_an_error_not_an_end() {
    let memory = MemoryDisk::new(mkfs(16, &["-b", "1024"]));
    let (disk, mounted) = mount_faulty(&memory);
    let mut failed = 0;
    for pages in 0..60 {
        disk.limit_pages(pages % 16);
        let name = format!("f{pages}");
        match mounted.create(2, &name, FileKind::Regular) {
            Ok(_) => {}
            Err(Error::NoMemory) => failed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed > 0, "memory was never short");
    // What was accepted can be made durable without any memory.
    disk.limit_pages(0);
    block_on(mounted.0.sync()).expect("sync without memory");
    disk.limit_pages(u64::MAX);
    assert_eq!(mounted.0.failure(), None);
    mounted.create(2, "at last", FileKind::Regular).expect("create");
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean(&image_of(&memory));
}

/// Several tasks at once on a device that lets them interleave.
#[test]
fn tasks_interleave() {
    let memory = MemoryDisk::new(mkfs(64, MODERN));
    let (_, mounted) = mount_faulty(&memory);
    let fs = &mounted.0;
    let common = mounted.create(2, "common", FileKind::Directory).expect("mkdir");
    let task = |number: u64| async move {
        let own = fs.create(2, format!("d{number}").as_bytes(), plain(FileKind::Directory)).await;
        let own = own.expect("mkdir");
        for round in 0..40_u64 {
            let name = format!("f{round}");
            let file = fs.create(own, name.as_bytes(), plain(FileKind::Regular)).await;
            let file = file.expect("create");
            let pages = crate::common::pages_of(&vec![number as u8 + 1; 20_000]);
            fs.write_pages(file, 0, &pages, 20_000).await.expect("write");
            let shared = format!("t{number}-{round}");
            fs.link(file, common, shared.as_bytes()).await.expect("link");
            match round % 4 {
                0 => fs.fsync(file, false).await.expect("fsync"),
                1 => fs.unlink(own, name.as_bytes()).await.expect("unlink"),
                2 => {
                    let flags = serix_ext4::RenameFlags::Replace;
                    let to = format!("m{number}-{round}");
                    fs.rename(own, name.as_bytes(), common, to.as_bytes(), flags)
                        .await
                        .expect("rename");
                }
                _ => fs.truncate(file, 100).await.expect("truncate"),
            }
        }
    };
    run_all(
        (0..8)
            .map(|number| -> core::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
                Box::pin(task(number))
            })
            .collect(),
    );
    assert_eq!(mounted.list(common).len(), 8 * 50);
    for (name, inode) in mounted.list(common) {
        let number = name[1] - b'0' + 1;
        assert!(mounted.read_all(inode).iter().all(|byte| *byte == number));
    }
    block_on(fs.unmount()).expect("unmount");
    check_clean(&image_of(&memory));
}
