//! Several programs at once: syncs that share a commit, and files that do not wait for each other.
use crate::common::{MODERN, Mounted, check_clean, long, mkfs, options, pages_of, plain};
use crate::crash::{cut_log, recover};
use crate::gate::{GateDisk, Kind};
use crate::random::Random;
use serix_block::host::{
    Entry, FaultyDisk, HostPage, MemoryDisk, RecordingDisk, block_on, run_all, yield_once,
};
use serix_block::{BlockDevice, Page};
use serix_ext4::{AllocateMode, Ext4, FileKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const TASKS: u64 = 8;
/// Syncs of each task.
const ROUNDS: u64 = 24;

type Task<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What a task writes in a round.
fn byte(task: u64, round: u64) -> u8 {
    1 + (task * 31 + round) as u8 % 250
}

fn mark(task: u64, round: u64) -> u64 {
    task << 16 | round
}

/// A name of its own for each task; the page that each round but the first overwrites is 0, and every fourth round
/// adds one.
async fn write_and_sync<D: BlockDevice<Page = HostPage>>(
    fs: Arc<Ext4<D>>,
    task: u64,
    synced: impl Fn(u64) + Send,
) {
    let name = format!("task-{task}");
    let file = fs.create(2, name.as_bytes(), plain(FileKind::Regular)).await.expect("create");
    for round in 1..=ROUNDS {
        let pages = pages_of(&[byte(task, round); 4096]);
        let size = |page: u64| (page + 1) * 4096;
        let end = size(round / 4);
        fs.write_pages(file, 0, &pages, end).await.expect("write");
        if round % 4 == 0 {
            fs.write_pages(file, round / 4, &pages, end).await.expect("append");
        }
        if task == TASKS - 1 {
            fs.sync().await.expect("sync");
        } else {
            fs.fsync(file, round % 2 == 0).await.expect("fsync");
        }
        synced(round);
    }
}

type Recorder = RecordingDisk<FaultyDisk<MemoryDisk>>;

/// All tasks at once, or one after the other; answers the write log, with a mark for each sync that returned.
fn record(base: &[u8], together: bool) -> Vec<Entry> {
    let disk = RecordingDisk::new(FaultyDisk::new(MemoryDisk::new(base.to_vec())));
    let fs: Arc<Ext4<Recorder>> = block_on(Ext4::mount(disk.clone(), options())).expect("mount");
    let task = |task: u64| -> Task<'_> {
        let disk = disk.clone();
        Box::pin(write_and_sync(fs.clone(), task, move |round| disk.mark(mark(task, round))))
    };
    let mut tasks: Vec<_> = (0..TASKS).map(task).collect();
    if together {
        run_all(tasks);
    } else {
        tasks.drain(..).for_each(|task| run_all(vec![task]));
    }
    disk.take_log()
}

/// A commit that several wait for is made once.
#[test]
fn syncs_share_commits() {
    let base = mkfs(16, MODERN);
    let flushes = |together| {
        let log = record(&base, together);
        log.iter().filter(|entry| matches!(entry, Entry::Flush { .. })).count()
    };
    let (alone, shared) = (flushes(false), flushes(true));
    assert!(shared * 2 < alone, "{shared} flushes together, {alone} one after the other");
}

/// What `fsync` promised to one task holds, whatever the others had under way.
#[test]
fn what_each_task_synced_is_there() {
    let base = mkfs(16, MODERN);
    let log = record(&base, true);
    let mut random = Random::new(12);
    // Right behind the answer to a sync, and anywhere.
    let is_mark = |index: &usize| matches!(log[*index], Entry::Mark(_));
    let marks = (0..log.len()).filter(is_mark).map(|index| index + 1);
    let (step, anywhere) = if long() { (1, 400) } else { (4, 10) };
    let mut cuts: Vec<_> = marks.step_by(step).collect();
    cuts.extend((0..anywhere).map(|_| 1 + random.below(log.len() as u64) as usize));
    for cut in cuts {
        let recovered = recover(cut_log(&base, &log, cut, &mut random));
        check_clean(&recovered);
        let fs = block_on(Ext4::mount(MemoryDisk::new(recovered), options())).expect("mount");
        let mounted = Mounted(fs);
        for task in 0..TASKS {
            let is_synced = |round: &u64| log[..cut].contains(&Entry::Mark(mark(task, *round)));
            let Some(last) = (1..=ROUNDS).rev().find(is_synced) else { continue };
            check_task(&mounted, task, last, &format!("cut {cut} of {}", log.len()));
        }
    }
}

fn check_task(mounted: &Mounted<MemoryDisk>, task: u64, last: u64, said: &str) {
    let name = format!("task-{task}");
    let file = block_on(mounted.0.lookup(2, name.as_bytes())).expect("a synced name");
    let content = mounted.read_all(file);
    let first = content[0];
    // The round after the last one may have got through as well.
    let is_known = [last, last + 1].into_iter().any(|round| byte(task, round) == first);
    assert!(is_known, "{said}: {name} has {first} after round {last}");
    for page in 1..=last / 4 {
        let wanted = byte(task, page * 4);
        let at = page as usize * 4096;
        let is_there = content.get(at..at + 4096).is_some_and(|page| page == [wanted; 4096]);
        assert!(is_there, "{said}: page {page} of {name} after round {last}");
    }
}

/// A file system on a device that can be held up, and two files of it.
struct Held {
    disk: GateDisk,
    fs: Arc<Ext4<GateDisk>>,
    files: [u32; 2],
}

impl Held {
    fn new() -> Self {
        let disk = GateDisk::new(MemoryDisk::new(mkfs(32, MODERN)));
        let fs = block_on(Ext4::mount(disk.clone(), options())).expect("mount");
        let make = |name: &str| {
            let directory = block_on(fs.create(2, name.as_bytes(), plain(FileKind::Directory)));
            let directory = directory.expect("mkdir");
            let file = block_on(fs.create(directory, b"file", plain(FileKind::Regular)));
            let file = file.expect("create");
            block_on(fs.write_pages(file, 0, &pages_of(&[1; 8192]), 8192)).expect("write");
            file
        };
        let files = [make("one"), make("two")];
        block_on(fs.sync()).expect("sync");
        Self { disk, fs, files }
    }

    /// Runs `stuck` until the device holds a request of it, then `other` to its end, then lets go.
    fn overtake<'a>(&'a self, stuck: Task<'a>, other: Task<'a>) {
        let both: Vec<Task<'a>> = vec![
            stuck,
            Box::pin(async move {
                self.disk.someone_waits().await;
                self.disk.hold(None);
                other.await;
                assert!(self.disk.is_someone_waiting(), "nobody was held up meanwhile");
                self.disk.open();
            }),
        ];
        run_all(both);
    }
}

/// Reads, writes, looks at, makes and removes files, without a wait for the disk's other users.
async fn use_file(fs: &Ext4<GateDisk>, file: u32, byte: u8) {
    let pages = pages_of(&[byte; 8192]);
    fs.prepare_write(file, 0, 2).await.expect("prepare");
    fs.write_pages(file, 0, &pages, 8192).await.expect("write");
    let read = [HostPage::zeroed()];
    fs.read_pages(file, 1, &read).await.expect("read");
    let mut first = [0];
    read[0].read(0, &mut first);
    assert_eq!(first, [byte]);
    fs.truncate(file, 100).await.expect("truncate");
    let mode = AllocateMode::Reserve { keep_size: false };
    fs.fallocate(file, mode, 0, 100_000).await.expect("fallocate");
    let directory = fs.lookup(2, b"two").await.expect("lookup");
    let more = fs.create(directory, b"more", plain(FileKind::Regular)).await.expect("create");
    fs.write_pages(more, 0, &pages, 8192).await.expect("write");
    fs.link(more, directory, b"again").await.expect("link");
    fs.unlink(directory, b"more").await.expect("unlink");
    fs.unlink(directory, b"again").await.expect("unlink");
    assert_eq!(fs.attributes(file).await.expect("attributes").size, 100_000);
}

/// While the data of one file are on their way to or from the disk, another file can be used, synced too.
#[test]
fn another_file_does_not_wait_for_data() {
    for kind in [Kind::Reads, Kind::Writes] {
        let held = Held::new();
        let [one, two] = held.files;
        held.disk.hold(Some(kind));
        let stuck = async {
            if kind == Kind::Reads {
                held.fs.read_pages(one, 0, &[HostPage::zeroed()]).await.expect("read");
            } else {
                held.fs.write_pages(one, 0, &pages_of(&[2; 4096]), 8192).await.expect("write");
            }
        };
        let other = async {
            use_file(&held.fs, two, 3).await;
            held.fs.fsync(two, false).await.expect("fsync");
            // The file itself can be looked at as well.
            assert_eq!(held.fs.attributes(one).await.expect("attributes").size, 8192);
        };
        held.overtake(Box::pin(stuck), Box::pin(other));
        block_on(held.fs.unmount()).expect("unmount");
        check_clean(&held.disk.image());
    }
}

/// While a commit is written, everything but a sync goes on.
#[test]
fn a_commit_under_way_keeps_nobody_from_changes() {
    let held = Held::new();
    let [one, two] = held.files;
    block_on(held.fs.truncate(one, 5)).expect("truncate");
    held.disk.hold(Some(Kind::Writes));
    let stuck = async { held.fs.fsync(one, false).await.expect("fsync") };
    let other = async { use_file(&held.fs, two, 4).await };
    held.overtake(Box::pin(stuck), Box::pin(other));
    block_on(held.fs.unmount()).expect("unmount");
    check_clean(&held.disk.image());
}

/// A sync while a commit is written answers only when that is durable.
#[test]
fn a_sync_waits_for_a_commit_under_way() {
    let held = Held::new();
    let one = held.files[0];
    block_on(held.fs.truncate(one, 5)).expect("truncate");
    held.disk.hold(Some(Kind::Writes));
    let is_done = AtomicBool::new(false);
    let tasks: Vec<Task<'_>> = vec![
        Box::pin(async { held.fs.fsync(one, false).await.expect("fsync") }),
        Box::pin(async {
            held.disk.someone_waits().await;
            held.disk.hold(None);
            held.fs.sync().await.expect("sync");
            is_done.store(true, Ordering::SeqCst);
        }),
        Box::pin(async {
            held.disk.someone_waits().await;
            for _ in 0..20 {
                yield_once().await;
            }
            assert!(!is_done.load(Ordering::SeqCst), "sync has not waited");
            held.disk.open();
        }),
    ];
    run_all(tasks);
    assert!(is_done.into_inner());
}

/// Whole pages go between the device and the caller as they are.
#[test]
fn data_pass_through_no_buffer() {
    let held = Held::new();
    let file = held.files[0];
    let pages: Vec<_> = pages_of(&vec![7; 64 * 4096]);
    held.disk.take_seen();
    block_on(held.fs.write_pages(file, 0, &pages, 64 * 4096)).expect("write");
    assert!(is_all(&held.disk.take_seen(), &pages), "written pages are not the caller's");
    let into: Vec<_> = (0..64).map(|_| HostPage::zeroed()).collect();
    block_on(held.fs.read_pages(file, 0, &into)).expect("read");
    assert!(is_all(&held.disk.take_seen(), &into), "read pages are not the caller's");
}

fn is_all(seen: &[HostPage], pages: &[HostPage]) -> bool {
    seen.len() == pages.len() && seen.iter().zip(pages).all(|(one, other)| one.same(other))
}
