//! What the tests bring in place of a libOS: pages, a clock, an executor, and a slow disk.

mod slow;

pub(crate) use slow::{Faults, SlowDisk};

use serix_chroma::{
    CacheLimits, Clock, Context, Credentials, FileSystem, MountFlags, PAGE_SIZE, Page, PageSource,
    RamDisk, RamDiskLimits, Setup, Vfs,
};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A page that counts its holders.
#[derive(Clone)]
pub(crate) struct TestPage(Arc<Memory>);

struct Memory {
    bytes: Mutex<[u8; PAGE_SIZE]>,
    live: Arc<AtomicUsize>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Page for TestPage {
    fn read(&self, offset: usize, into: &mut [u8]) {
        let bytes = self.0.bytes.lock().expect("page");
        into.copy_from_slice(&bytes[offset..offset + into.len()]);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        let mut bytes = self.0.bytes.lock().expect("page");
        bytes[offset..offset + from.len()].copy_from_slice(from);
    }
    fn zero(&self, offset: usize, len: usize) {
        self.0.bytes.lock().expect("page")[offset..offset + len].fill(0);
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Gives pages full of garbage, as memory is, up to a limit.
pub(crate) struct Pages {
    limit: usize,
    live: Arc<AtomicUsize>,
}

impl Pages {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, live: Arc::default() })
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

impl PageSource<TestPage> for Pages {
    fn allocate(&self) -> Option<TestPage> {
        if self.live() >= self.limit {
            return None;
        }
        self.live.fetch_add(1, Ordering::Relaxed);
        Some(TestPage(Arc::new(Memory {
            bytes: Mutex::new([0xA5; PAGE_SIZE]),
            live: self.live.clone(),
        })))
    }
    fn holders(&self, page: &TestPage) -> usize {
        Arc::strong_count(&page.0)
    }
}

static NOW: AtomicI64 = AtomicI64::new(1_000_000_000);

/// A clock that ticks once per look, the same for all.
#[derive(Default)]
pub(crate) struct Ticks;

impl Clock for Ticks {
    fn now_ns(&self) -> i64 {
        NOW.fetch_add(1, Ordering::Relaxed)
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; a wait of ten seconds without a wake-up fails the test.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(value) = work.as_mut().poll(&mut context) {
            return value;
        }
        let start = Instant::now();
        std::thread::park_timeout(Duration::from_secs(10));
        assert!(start.elapsed() < Duration::from_secs(9), "nobody wakes the waiter");
    }
}

/// Pending once, then ready.
pub(crate) async fn yield_once() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// Small bounds, so that eviction and write-back happen all the time.
pub(crate) const TIGHT: CacheLimits = CacheLimits { pages: 24, dirty_pages: 8, read_ahead: 4 };

pub(crate) fn ram_disk(pages: u64, inodes: u64) -> Arc<RamDisk<TestPage>> {
    let limits = RamDiskLimits { pages, inodes };
    RamDisk::new(limits, 0o755, Arc::new(Ticks), 7).expect("a root directory")
}

pub(crate) fn vfs_over(
    file_system: Arc<dyn FileSystem<TestPage>>,
    limits: CacheLimits,
    pages: &Arc<Pages>,
    names: usize,
) -> Arc<Vfs<TestPage>> {
    let setup =
        Setup { source: pages.clone(), clock: Arc::new(Ticks), limits, names, seed: 0x5EED };
    block_on(Vfs::new(file_system, MountFlags::empty(), b"test", setup)).expect("a root")
}

/// A tree over a RAM disk with room for everything.
pub(crate) fn ram_vfs() -> Arc<Vfs<TestPage>> {
    let pages = Pages::new(usize::MAX);
    vfs_over(ram_disk(1 << 20, 1 << 20), TIGHT, &pages, 1024)
}

/// The context of a user at the root of the tree.
pub(crate) fn at_root<'a>(
    vfs: &'a Vfs<TestPage>,
    credentials: &'a Credentials,
) -> Context<'a, TestPage> {
    vfs.root_context(credentials)
}

/// A small generator of random numbers, so that a failing run can be repeated by its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A page taken away from everybody else.
pub(crate) fn take_page(pages: &Pages) -> Option<TestPage> {
    pages.allocate()
}
