//! Reading, writing, eviction, write-back, faults and mappings.
use crate::support::{
    Faults, Pages, SlowDisk, TIGHT, TestPage, at_root, block_on, ram_disk, vfs_over,
};
use serix_chroma::{
    AllocateMode, CacheLimits, Context, Credentials, Destination, Extent, File, MappingObserver,
    Node, OpenFlags, PAGE_SIZE, Page, Pending, ResolveFlags, Seek, Source, Vfs, VfsError,
};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

const READ_WRITE: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);

struct Disk {
    faults: Arc<Faults>,
    slow: Arc<SlowDisk>,
    pages: Arc<Pages>,
    vfs: Arc<Vfs<TestPage>>,
    root: Credentials,
}

impl Disk {
    fn new(pages: usize) -> Self {
        Self::with(pages, TIGHT)
    }

    fn with(pages: usize, limits: CacheLimits) -> Self {
        let faults = Arc::new(Faults::default());
        let slow = SlowDisk::new(faults.clone());
        let pages = Pages::new(pages);
        let vfs = vfs_over(slow.clone(), limits, &pages, 64);
        Self { faults, slow, pages, vfs, root: Credentials::root() }
    }

    fn at(&self) -> Context<'_, TestPage> {
        at_root(&self.vfs, &self.root)
    }

    fn open(&self, path: &[u8], flags: OpenFlags) -> Arc<File<TestPage>> {
        open(&self.vfs, &self.root, path, flags)
    }

    fn make(&self, path: &[u8]) -> Arc<File<TestPage>> {
        self.open(path, READ_WRITE | OpenFlags::CREATE)
    }

    fn stored(&self, file: &File<TestPage>) -> Vec<u8> {
        self.slow.stored(file.node().ino())
    }
}

fn open(
    vfs: &Vfs<TestPage>,
    root: &Credentials,
    path: &[u8],
    flags: OpenFlags,
) -> Arc<File<TestPage>> {
    let context = at_root(vfs, root);
    block_on(vfs.open(context, path, flags, ResolveFlags::empty(), 0o644)).expect("a file")
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 % 251) as u8 + 1).collect()
}

fn put(file: &File<TestPage>, offset: u64, bytes: &[u8]) {
    assert_eq!(block_on(file.pwrite(offset, &mut &bytes[..])), Ok(bytes.len()));
}

fn get(file: &File<TestPage>, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xEE; len];
    let count = block_on(file.pread(offset, &mut &mut bytes[..])).expect("a read");
    bytes.truncate(count);
    bytes
}

/// Memory that faults after some bytes.
struct Faulty<'a> {
    bytes: &'a [u8],
    good: usize,
    wanted: usize,
}

impl Source<TestPage> for Faulty<'_> {
    fn remaining(&self) -> usize {
        self.wanted
    }
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.good);
        bytes[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        self.good -= count;
        self.wanted -= count;
        count
    }
    fn take_page(&mut self, page: &TestPage, offset: usize, len: usize) -> usize {
        let mut bytes = vec![0; len];
        let count = self.take(&mut bytes);
        page.write(offset, &bytes[..count]);
        count
    }
}

#[test]
fn a_file_far_larger_than_memory() {
    let disk = Disk::new(32);
    let file = disk.make(b"/big");
    let data = pattern(300 * PAGE_SIZE + 123);
    for (at, part) in data.chunks(10_000).enumerate() {
        put(&file, at as u64 * 10_000, part);
        assert!(disk.pages.live() <= 32);
    }
    assert_eq!(get(&file, 0, data.len() + 5), data);
    assert!(disk.pages.live() <= 32 && disk.vfs.cache().page_count() <= 24);
    block_on(file.sync(false)).expect("a sync");
    assert_eq!(disk.stored(&file), data);
    assert_eq!(disk.vfs.cache().dirty_count(), 0);
}

#[test]
fn one_write_far_larger_than_memory() {
    let disk = Disk::new(16);
    let file = disk.make(b"/big");
    let data = pattern(200 * PAGE_SIZE);
    put(&file, 0, &data);
    assert_eq!(get(&file, 0, data.len()), data);
}

#[test]
fn cached_pages_are_read_without_waiting() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(PAGE_SIZE * 4));
    block_on(file.sync(false)).expect("a sync");
    let reads = disk.faults.page_reads.load(Ordering::Relaxed);
    let mut bytes = vec![0; PAGE_SIZE * 3];
    {
        let mut into = &mut bytes[..];
        let reply = file.pread(100, &mut into);
        assert!(matches!(reply, Pending::Ready(Ok(count)) if count == PAGE_SIZE * 3));
    }
    assert_eq!(bytes, pattern(PAGE_SIZE * 4)[100..100 + PAGE_SIZE * 3]);
    let status = disk.vfs.status(file.location());
    assert!(matches!(status, Pending::Ready(Ok(_))));
    assert_eq!(disk.faults.page_reads.load(Ordering::Relaxed), reads);
    let mut from = &bytes[..10];
    block_on(file.pwrite(5, &mut from)).expect("a write");
    let mut from = &bytes[..10];
    let reply = file.pwrite(5, &mut from);
    assert!(matches!(reply, Pending::Ready(Ok(10))), "the page is dirty already");
}

#[test]
fn sequential_reads_go_ahead_and_random_ones_do_not() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(64 * PAGE_SIZE));
    block_on(file.sync(false)).expect("a sync");
    let requests = |act: &dyn Fn()| {
        disk.vfs.shrink(1000);
        disk.vfs.shrink(1000);
        let before = disk.faults.read_requests.load(Ordering::Relaxed);
        act();
        disk.faults.read_requests.load(Ordering::Relaxed) - before
    };
    let sequential = requests(&|| {
        let file = disk.open(b"/f", READ_WRITE);
        for at in 0..64 {
            assert_eq!(get(&file, at * PAGE_SIZE as u64, PAGE_SIZE).len(), PAGE_SIZE);
        }
    });
    assert!(sequential <= 64 / 4, "{sequential} requests for 64 pages in order");
    let pages = disk.faults.page_reads.load(Ordering::Relaxed);
    requests(&|| {
        let file = disk.open(b"/f", READ_WRITE);
        for at in [40, 10, 50, 20, 60, 30] {
            get(&file, at * PAGE_SIZE as u64, 10);
        }
    });
    assert_eq!(disk.faults.page_reads.load(Ordering::Relaxed) - pages, 6);
}

#[test]
fn lack_of_space_is_told_to_the_writer() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, b"there");
    disk.faults.is_full.store(true, Ordering::Relaxed);
    let refused = block_on(file.pwrite(2 * PAGE_SIZE as u64, &mut &b"x"[..]));
    assert_eq!(refused, Err(VfsError::NoSpace));
    // The page that has its space takes more.
    put(&file, 2, b"xx");
    block_on(file.sync(true)).expect("a sync");
    assert_eq!(disk.stored(&file)[..5], *b"thxxe");
}

#[test]
fn failed_write_back_is_told_and_loses_nothing() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(5000));
    disk.faults.fail_writes.store(true, Ordering::Relaxed);
    assert_eq!(block_on(file.sync(false)), Err(VfsError::Io));
    assert_eq!(block_on(disk.vfs.sync()), Err(VfsError::Io));
    assert_eq!(block_on(file.sync(false)), Err(VfsError::Io), "it is not forgotten");
    assert_eq!(get(&file, 0, 6000), pattern(5000));
    disk.faults.fail_writes.store(false, Ordering::Relaxed);
    assert_eq!(block_on(disk.vfs.sync()), Ok(()));
    assert_eq!(disk.stored(&file), pattern(5000));
}

#[test]
fn failed_reads_are_told_and_tried_again() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(100));
    block_on(file.sync(false)).expect("a sync");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    disk.faults.fail_reads.store(true, Ordering::Relaxed);
    let failed = block_on(file.pread(0, &mut &mut [0; 10][..]));
    assert_eq!(failed, Err(VfsError::Io));
    disk.faults.fail_reads.store(false, Ordering::Relaxed);
    assert_eq!(get(&file, 0, 200), pattern(100));
}

#[test]
fn memory_that_is_short_for_good() {
    let disk = Disk::new(8);
    let held: Vec<TestPage> =
        (0..8).map_while(|_| crate::support::take_page(&disk.pages)).collect();
    let file = disk.make(b"/f");
    let refused = block_on(file.pwrite(0, &mut &b"x"[..]));
    assert_eq!(refused, Err(VfsError::NoMemory));
    drop(held);
    put(&file, 0, b"x");
}

#[test]
fn faults_of_the_writer_never_show_foreign_memory() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    let old = vec![7; 2 * PAGE_SIZE];
    put(&file, 0, &old);
    block_on(file.sync(false)).expect("a sync");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    let new = vec![9; 4 * PAGE_SIZE];
    let write = |offset: u64, good: usize, wanted: usize| {
        let mut from = Faulty { bytes: &new, good, wanted };
        block_on(file.pwrite(offset, &mut from))
    };
    assert_eq!(write(0, 0, 10), Err(VfsError::Fault));
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    // A whole page is replaced, but the memory ends in its middle: the rest stays what it was.
    assert_eq!(write(0, 1000, PAGE_SIZE), Ok(1000));
    assert_eq!(get(&file, 0, PAGE_SIZE)[..1000], new[..1000]);
    assert_eq!(get(&file, 1000, PAGE_SIZE), old[..PAGE_SIZE]);
    // Behind the end there is nothing old: the rest of the page reads as zeroes when it comes up.
    let end = 2 * PAGE_SIZE as u64;
    assert_eq!(write(end, 50, PAGE_SIZE), Ok(50));
    assert_eq!(block_on(file.seek(Seek::End(0))), Ok(end + 50));
    block_on(file.truncate(end + 100)).expect("a size");
    let mut expected = vec![9; 50];
    expected.resize(100, 0);
    assert_eq!(get(&file, end, 200), expected);
}

#[test]
fn faults_of_the_reader() {
    struct Hole(usize);
    impl Destination<TestPage> for Hole {
        fn remaining(&self) -> usize {
            100
        }
        fn put(&mut self, bytes: &[u8]) -> usize {
            bytes.len().min(self.0)
        }
        fn put_page(&mut self, _: &TestPage, _: usize, len: usize) -> usize {
            len.min(self.0)
        }
    }
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(100));
    assert_eq!(block_on(file.pread(0, &mut Hole(0))), Err(VfsError::Fault));
    assert_eq!(block_on(file.pread(0, &mut Hole(30))), Ok(30));
    assert_eq!(block_on(file.read(&mut Hole(30))), Ok(30));
    assert_eq!(file.position(), 30);
}

#[test]
fn an_unlinked_file_lives_while_it_is_open_and_then_is_not_written() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(9000));
    block_on(disk.vfs.unlink(disk.at(), b"/f")).expect("a name");
    assert_eq!(get(&file, 0, 9000), pattern(9000));
    assert_eq!(block_on(disk.vfs.status(file.location())).expect("status").links, 0);
    drop(file);
    assert_eq!(disk.vfs.cache().dirty_count(), 0);
    assert_eq!(disk.pages.live(), 0);
    block_on(disk.vfs.sync()).expect("a sync");
    assert_eq!(disk.faults.page_writes.load(Ordering::Relaxed), 0);
    // The other way round: closed first.
    put(&disk.make(b"/g"), 0, &pattern(9000));
    assert!(disk.pages.live() > 0, "the cache keeps a closed file");
    block_on(disk.vfs.unlink(disk.at(), b"/g")).expect("a name");
    assert_eq!(disk.pages.live(), 0);
}

#[test]
fn mapped_pages_stay_and_are_written_again() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(3 * PAGE_SIZE));
    block_on(file.sync(false)).expect("a sync");
    let page = block_on(file.map_page(1, true)).expect("a page");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    page.write(0, b"mapped");
    assert_eq!(get(&file, PAGE_SIZE as u64, 6), b"mapped", "one memory, seen by both");
    put(&file, PAGE_SIZE as u64 + 10, b"written");
    let mut seen = [0; 7];
    page.read(10, &mut seen);
    assert_eq!(&seen, b"written");
    block_on(file.sync(false)).expect("a sync");
    assert_eq!(disk.stored(&file)[PAGE_SIZE..PAGE_SIZE + 6], *b"mapped");
    // Nobody tells of stores through a mapping: as long as it is there, each sync writes.
    page.write(0, b"Mapped");
    block_on(file.sync(false)).expect("a sync");
    assert_eq!(disk.stored(&file)[PAGE_SIZE..PAGE_SIZE + 6], *b"Mapped");
    drop(page);
    block_on(file.sync(false)).expect("a sync");
    assert_eq!(disk.vfs.cache().dirty_count(), 0);
    let refused = block_on(file.map_page(3, false)).map(drop);
    assert_eq!(refused, Err(VfsError::NoDevice), "behind the end");
}

#[test]
fn clean_mapped_pages_are_not_evicted() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(3 * PAGE_SIZE));
    block_on(file.sync(false)).expect("a sync");
    let page = block_on(file.map_page(2, false)).expect("a page");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    assert_eq!(disk.vfs.cache().page_count(), 1);
    put(&file, 2 * PAGE_SIZE as u64, b"seen");
    let mut seen = [0; 4];
    page.read(0, &mut seen);
    assert_eq!(&seen, b"seen");
    block_on(file.truncate(2 * PAGE_SIZE as u64 + 2)).expect("a size");
    page.read(0, &mut seen);
    assert_eq!(&seen, b"se\0\0", "behind the end a mapping shows zeroes");
    // And so it does when the page comes back from the disk, where anything is behind the end.
    drop(page);
    block_on(file.sync(false)).expect("a sync");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    assert_eq!(disk.vfs.cache().page_count(), 0);
    let page = block_on(file.map_page(2, false)).expect("a page");
    page.read(0, &mut seen);
    assert_eq!(&seen, b"se\0\0");
}

#[test]
fn a_read_under_way_does_not_bring_back_what_was_cut_off() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(PAGE_SIZE));
    block_on(file.sync(false)).expect("a sync");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    let mut bytes = [0; 200];
    let mut into = &mut bytes[..];
    let mut reply = file.pread(0, &mut into);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = Future::poll(std::pin::Pin::new(&mut reply), &mut context);
    assert!(polled.is_pending(), "the disk has given its bytes, the cache has none yet");
    block_on(file.truncate(100)).expect("a size");
    block_on(file.truncate(200)).expect("a size");
    block_on(reply).expect("a read");
    let mut expected = pattern(100);
    expected.resize(200, 0);
    assert_eq!(get(&file, 0, 300), expected);
}

#[test]
fn a_write_to_a_clean_page_asks_for_space() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, b"there");
    block_on(file.sync(false)).expect("a sync");
    disk.faults.is_full.store(true, Ordering::Relaxed);
    let refused = block_on(file.pwrite(0, &mut &b"x"[..]));
    assert_eq!(refused, Err(VfsError::NoSpace), "only dirty pages are known to have theirs");
}

#[test]
fn a_change_that_fails_half_way_is_looked_up_again() {
    let disk = Disk::new(100);
    drop(disk.make(b"/f"));
    disk.faults.lies_on_unlink.store(true, Ordering::Relaxed);
    assert_eq!(block_on(disk.vfs.unlink(disk.at(), b"/f")), Err(VfsError::Io));
    let found = block_on(disk.vfs.resolve(disk.at(), b"/f", ResolveFlags::empty()));
    assert_eq!(found.err(), Some(VfsError::NotFound), "the file system knows, the cache forgot");
}

#[test]
fn what_a_mapping_wrote_behind_the_end_is_never_seen() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &[5; 100]);
    let page = block_on(file.map_page(0, true)).expect("a page");
    page.write(0, &[6; 4096]);
    block_on(file.sync(false)).expect("a sync");
    drop(page);
    let mut expected = vec![6; 100];
    expected.resize(200, 0);
    block_on(file.truncate(200)).expect("a size");
    assert_eq!(get(&file, 0, 300), expected);
    // The same over the disk: a page that was evicted and comes back.
    let page = block_on(file.map_page(0, true)).expect("a page");
    page.write(0, &[6; 4096]);
    block_on(file.sync(false)).expect("a sync");
    drop(page);
    block_on(file.sync(false)).expect("a sync");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    put(&file, 300, b"x");
    assert_eq!(get(&file, 200, 101), [&[0; 100][..], b"x"].concat());
}

#[derive(Default)]
struct Removed(Mutex<Vec<Range<u64>>>);

impl MappingObserver<TestPage> for Removed {
    fn pages_removed(&self, _: &Node<TestPage>, range: Range<u64>) {
        self.0.lock().expect("ranges").push(range);
    }
}

#[test]
fn mappings_are_told_of_pages_that_go() {
    let disk = Disk::new(100);
    let removed = Arc::new(Removed::default());
    disk.vfs.set_observer(removed.clone());
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(4 * PAGE_SIZE));
    block_on(file.truncate(3 * PAGE_SIZE as u64)).expect("a size");
    assert!(removed.0.lock().expect("ranges").is_empty(), "nothing is mapped");
    drop(block_on(file.map_page(2, false)).expect("a page"));
    block_on(file.truncate(PAGE_SIZE as u64 + 1)).expect("a size");
    let ranges = removed.0.lock().expect("ranges").clone();
    assert_eq!(ranges.len(), 1);
    assert_eq!(ranges[0], 2..u64::MAX);
}

#[test]
fn ram_disk_quota() {
    let pages = Pages::new(usize::MAX);
    let vfs = vfs_over(ram_disk(4, 4), TIGHT, &pages, 64);
    let root = Credentials::root();
    let create = READ_WRITE | OpenFlags::CREATE;
    let file = open(&vfs, &root, b"/f", create);
    let data = pattern(6 * PAGE_SIZE);
    let count = block_on(file.pwrite(0, &mut &data[..]));
    assert_eq!(count, Ok(4 * PAGE_SIZE), "what fits is written");
    let refused = block_on(file.pwrite(5 * PAGE_SIZE as u64, &mut &b"x"[..]));
    assert_eq!(refused, Err(VfsError::NoSpace));
    let statistics = block_on(vfs.statistics(vfs.root())).expect("statistics");
    assert_eq!((statistics.blocks, statistics.blocks_free), (4, 0));
    block_on(file.truncate(PAGE_SIZE as u64)).expect("a size");
    put(&file, 3 * PAGE_SIZE as u64, b"room again");
    // The names: the root and the file are two of four.
    let context = at_root(&vfs, &root);
    block_on(vfs.link(file.location(), context, b"/g")).expect("a name");
    block_on(vfs.symlink(context, b"x", b"/h")).expect("a name");
    let refused = block_on(vfs.make_directory(context, b"/i", 0o755));
    assert_eq!(refused.err(), Some(VfsError::NoSpace));
    for name in [&b"/g"[..], b"/h", b"/f"] {
        block_on(vfs.unlink(context, name)).expect("a name");
    }
    drop(file);
    let statistics = block_on(vfs.statistics(vfs.root())).expect("statistics");
    assert_eq!((statistics.blocks_free, statistics.inodes_free), (4, 3));
    assert_eq!(pages.live(), 0);
}

#[test]
fn sparse_files_and_ranges() {
    let pages = Pages::new(usize::MAX);
    let vfs = vfs_over(ram_disk(100, 10), TIGHT, &pages, 64);
    let root = Credentials::root();
    let file = open(&vfs, &root, b"/f", READ_WRITE | OpenFlags::CREATE);
    let page = PAGE_SIZE as u64;
    put(&file, 1 << 40, b"far");
    put(&file, 3 * page, b"near");
    assert_eq!(pages.live(), 2);
    assert_eq!(get(&file, (1 << 40) - 4, 10), b"\0\0\0\0far");
    let seek = |offset, extent| block_on(file.seek(Seek::Extent(offset, extent)));
    assert_eq!(seek(0, Extent::Data), Ok(3 * page));
    assert_eq!(seek(3 * page + 5, Extent::Hole), Ok(4 * page));
    assert_eq!(seek(4 * page, Extent::Data), Ok(1 << 40));
    assert_eq!(seek(1 << 40, Extent::Hole), Ok((1 << 40) + 3));
    assert_eq!(seek(2 << 40, Extent::Data), Err(VfsError::NoDevice));
    block_on(file.allocate(AllocateMode::PunchHole, 3 * page, page)).expect("a hole");
    assert_eq!(pages.live(), 1);
    let keep = AllocateMode::Reserve { keep_size: true };
    block_on(file.allocate(keep, 0, 2 * page)).expect("space");
    assert_eq!(pages.live(), 3);
    let grow = AllocateMode::Reserve { keep_size: false };
    block_on(file.truncate(10)).expect("a size");
    block_on(file.allocate(grow, 0, 5000)).expect("space");
    assert_eq!(block_on(file.seek(Seek::End(0))), Ok(5000));
    assert_eq!(block_on(file.seek(Seek::End(-5001))), Err(VfsError::Invalid));
    let refused = block_on(file.allocate(grow, u64::MAX, 1));
    assert_eq!(refused, Err(VfsError::FileTooLarge));
    let refused = block_on(file.pwrite(i64::MAX as u64, &mut &b"x"[..]));
    assert_eq!(refused, Err(VfsError::FileTooLarge));
}

#[test]
fn positions_and_rights() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    assert_eq!(block_on(file.write(&mut &b"hello "[..])), Ok(6));
    assert_eq!(block_on(file.write(&mut &b"world"[..])), Ok(5));
    assert_eq!(block_on(file.seek(Seek::Current(-5))), Ok(6));
    let mut bytes = [0; 10];
    assert_eq!(block_on(file.read(&mut &mut bytes[..])), Ok(5));
    assert_eq!(&bytes[..5], b"world");
    assert_eq!(block_on(file.read(&mut &mut bytes[..])), Ok(0));
    let append = disk.open(b"/f", OpenFlags::WRITE | OpenFlags::APPEND);
    assert_eq!(block_on(append.write(&mut &b"!"[..])), Ok(1));
    assert_eq!(append.position(), 12);
    let bad = Err(VfsError::BadDescriptor);
    assert_eq!(block_on(append.read(&mut &mut bytes[..])), bad);
    let path = disk.open(b"/f", OpenFlags::PATH | READ_WRITE);
    assert_eq!(block_on(path.read(&mut &mut bytes[..])), bad);
    assert_eq!(block_on(path.write(&mut &b"x"[..])), bad);
    let emptied = disk.open(b"/f", OpenFlags::WRITE | OpenFlags::TRUNCATE);
    assert_eq!(block_on(emptied.seek(Seek::End(0))), Ok(0));
    let synced = disk.open(b"/f", OpenFlags::WRITE | OpenFlags::SYNC);
    let syncs = disk.faults.syncs.load(Ordering::Relaxed);
    assert_eq!(block_on(synced.write(&mut &b"kept"[..])), Ok(4));
    assert_eq!(disk.stored(&synced), b"kept");
    assert_eq!(disk.faults.syncs.load(Ordering::Relaxed), syncs + 1);
}

#[test]
fn many_threads_on_few_files() {
    const BLOCK: usize = 3000;
    let disk = Disk::new(40);
    let shared = disk.make(b"/shared");
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (disk, shared) = (&disk, shared.clone());
            scope.spawn(move || {
                let own = disk.make(format!("/own{thread}").as_bytes());
                let log = disk.open(b"/shared", OpenFlags::WRITE | OpenFlags::APPEND);
                for round in 0..60_u8 {
                    let block = vec![thread * 60 + round + 1; BLOCK];
                    put(&own, u64::from(round) * BLOCK as u64, &block);
                    assert_eq!(block_on(log.write(&mut &block[..])), Ok(BLOCK));
                    let back = u64::from(round / 2) * BLOCK as u64;
                    let expected = vec![thread * 60 + round / 2 + 1; BLOCK];
                    assert_eq!(get(&own, back, BLOCK), expected);
                    if round % 16 == 0 {
                        block_on(own.sync(false)).expect("a sync");
                    }
                    get(&shared, back, 2 * BLOCK);
                }
            });
        }
    });
    block_on(disk.vfs.sync()).expect("a sync");
    let all = get(&shared, 0, 1 << 20);
    assert_eq!(all.len(), 4 * 60 * BLOCK);
    let mut seen: Vec<u8> = all
        .chunks(BLOCK)
        .map(|block| {
            assert!(block.iter().all(|byte| *byte == block[0]), "appends do not mix");
            block[0]
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=240).collect::<Vec<u8>>());
    assert_eq!(disk.stored(&shared), all);
}

#[test]
fn abandoned_reads_do_not_block_others() {
    let disk = Disk::new(100);
    let file = disk.make(b"/f");
    put(&file, 0, &pattern(PAGE_SIZE));
    block_on(file.sync(false)).expect("a sync");
    disk.vfs.shrink(1000);
    disk.vfs.shrink(1000);
    let mut bytes = [0; 100];
    {
        let mut into = &mut bytes[..];
        let mut reply = file.pread(0, &mut into);
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        let polled = Future::poll(std::pin::Pin::new(&mut reply), &mut context);
        assert!(polled.is_pending());
    }
    assert_eq!(get(&file, 0, 100), pattern(100));
}
