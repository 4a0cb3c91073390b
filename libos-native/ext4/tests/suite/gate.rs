//! A device that can be held up, and that remembers which pages passed.
use serix_block::host::{HostPage, MemoryDisk};
use serix_block::{BlockDevice, BlockError};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// Which requests have to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Reads,
    Writes,
}

#[derive(Default)]
struct State {
    held_kind: Option<Kind>,
    held: usize,
    is_open: bool,
    wakers: Vec<Waker>,
    seen: Vec<HostPage>,
}

/// A disk in memory behind a gate; clones share it.
#[derive(Clone)]
pub(crate) struct GateDisk {
    disk: MemoryDisk,
    state: Arc<Mutex<State>>,
}

impl GateDisk {
    /// An open gate.
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        Self { disk, state: Arc::default() }
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().expect("gate"))
    }

    /// Holds the requests of this kind that come from now on, until [`Self::open`]; those that are held
    /// stay so.
    pub(crate) fn hold(&self, kind: Option<Kind>) {
        self.with(|state| (state.held_kind, state.is_open) = (kind, false));
    }

    /// Lets all through.
    pub(crate) fn open(&self) {
        let wakers = self.with(|state| {
            (state.held_kind, state.is_open) = (None, true);
            std::mem::take(&mut state.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_someone_waiting(&self) -> bool {
        self.with(|state| state.held > 0)
    }

    /// Waits until a request is held.
    pub(crate) async fn someone_waits(&self) {
        poll_fn(|context| {
            if self.is_someone_waiting() {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// The pages of all transfers since the last call.
    pub(crate) fn take_seen(&self) -> Vec<HostPage> {
        self.with(|state| std::mem::take(&mut state.seen))
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.disk.with(|bytes| bytes.clone())
    }

    async fn pass(&self, kind: Kind, pages: &[HostPage]) {
        let is_held = self.with(|state| {
            state.seen.extend_from_slice(pages);
            let is_held = state.held_kind == Some(kind);
            state.held += usize::from(is_held);
            is_held
        });
        if !is_held {
            return;
        }
        poll_fn(|context| {
            self.with(|state| {
                if state.is_open {
                    state.held -= 1;
                    return Poll::Ready(());
                }
                state.wakers.push(context.waker().clone());
                Poll::Pending
            })
        })
        .await;
    }
}

impl BlockDevice for GateDisk {
    type Page = HostPage;

    fn sector_count(&self) -> u64 {
        self.disk.sector_count()
    }
    fn allocate_page(&self) -> Option<HostPage> {
        self.disk.allocate_page()
    }
    async fn read(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        self.pass(Kind::Reads, pages).await;
        self.disk.read(sector, sector_count, offset, pages).await
    }
    async fn write(
        &self,
        sector: u64,
        sector_count: u32,
        offset: usize,
        pages: &[HostPage],
    ) -> Result<(), BlockError> {
        self.pass(Kind::Writes, pages).await;
        self.disk.write(sector, sector_count, offset, pages).await
    }
    async fn flush(&self) -> Result<(), BlockError> {
        self.disk.flush().await
    }
}
