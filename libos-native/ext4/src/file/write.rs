//! Writing pages: choose blocks, send the data, enter the blocks.
use crate::allocator::{Budget, Claim};
use crate::disk::{Direction, Transfer};
use crate::error::Result;
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::layout::extent::{Extent, MAX_LEN};
use crate::layout::inode::Inode;
use crate::map::{END, Run, STEP_CREDITS, State};
use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;
use serix_block::{BlockDevice, PAGE_SIZE, Page};

/// Runs that one transaction enters, at most.
const RUNS_PER_STEP: usize = 8;
/// Longest window ahead of a file's end, in blocks.
const MAX_WINDOW: u32 = 8192;
/// Bytes that a file must have to get a window: most files stay smaller, and blocks held for what
/// never comes would leave holes between them.
const WINDOW_FROM: u64 = 1 << 16;

/// A run whose data are sent, and what then becomes of it.
enum Piece<'f, D: BlockDevice> {
    /// It stays as it is.
    Overwritten,
    /// It was unwritten.
    Filled(Run),
    /// It was a hole.
    New(u32, Claim<'f, D>),
}

/// Pieces of one step.
struct Step<'f, D: BlockDevice> {
    pieces: Vec<Piece<'f, D>>,
    transfers: Vec<Transfer<D::Page>>,
    budget: Budget<'f, D>,
    /// The logical block behind the last piece.
    end: u64,
}

impl<D: BlockDevice> Ext4<D> {
    /// Reserves space for new data in `count` pages from `first` on, for a cache that writes later.
    ///
    /// # Errors
    /// `NoSpace`, `FileTooLarge`, and those of reading the map.
    pub async fn prepare_write(&self, number: u32, first: u64, count: u64) -> Result<()> {
        self.check_writable()?;
        let node = self.file(number).await?;
        let per_page = self.blocks_per_page();
        let (start, end) = (first * per_page, (first + count) * per_page);
        if node.reservation.lock().missing(start, end) == 0 {
            return Ok(());
        }
        let body = node.body.read().await;
        // The last page may reach over the largest size although its bytes do not.
        self.check_size(&body, (end - per_page) * self.disk.block_size() as u64)?;
        self.reserve_map(&node, &body, count * per_page).await?;
        let mut at = start;
        while at < end.min(END) {
            let run = self.map(&body, at as u32).await?.up_to(end);
            at = run.end();
            if run.state == State::Hole {
                self.reserve_hole(&node, run).await?;
            }
        }
        Ok(())
    }

    /// Whether [`Self::prepare_write`] has nothing left to do, as far as that is known at once.
    pub(crate) fn is_prepared(&self, node: &Node, first: u64, count: u64) -> bool {
        let per_page = self.blocks_per_page();
        let (start, end) = (first * per_page, (first + count) * per_page);
        let reservation = node.reservation.lock();
        count > 0 && !self.is_read_only() && reservation.missing(start, end) == 0
    }

    /// Reserves what the map may take when `blocks` new ones are entered.
    async fn reserve_map(&self, node: &Node, body: &Inode, blocks: u64) -> Result<()> {
        let needed = self.map_growth(body, RUNS_PER_STEP as u64, blocks);
        let missing = needed.saturating_sub(node.reservation.lock().map);
        let promise = self.promise(missing).await?;
        if promise.split(missing) {
            node.reservation.lock().map += missing;
        }
        Ok(())
    }

    async fn reserve_hole(&self, node: &Node, run: Run) -> Result<()> {
        let (from, to) = (u64::from(run.logical), run.end());
        let missing = node.reservation.lock().missing(from, to);
        let promise = self.promise(missing).await?;
        let mut reservation = node.reservation.lock();
        // Somebody else may have reserved some meanwhile; the rest of the promise goes back.
        if promise.split(reservation.missing(from, to)) {
            reservation.promise(from, to);
        }
        Ok(())
    }

    /// Stores `pages` from page `first` of a file on; the file is then at least as long as the
    /// pages or `size` bytes, whichever is less. Bytes past `size` mean nothing. Done means handed to the device.
    ///
    /// # Errors
    /// `NoSpace` if nothing was reserved, `Io`, `ReadOnly`, `FileTooLarge`, `Stale`.
    pub async fn write_pages(
        &self,
        number: u32,
        first: u64,
        pages: &[D::Page],
        size: u64,
    ) -> Result<()> {
        self.check_writable()?;
        let node = self.file(number).await?;
        let _writer = node.writer.lock().await;
        let block = self.disk.block_size() as u64;
        let size = size.min((first + pages.len() as u64) * PAGE_SIZE as u64);
        self.check_size(&*node.body.read().await, size)?;
        let start = first * self.blocks_per_page();
        let end = size.div_ceil(block);
        let pages = &*self.with_clean_tail(first, pages, size)?;
        let mut at = start;
        while at < end {
            let step = self.plan(&node, first, pages, at, end).await?;
            at = step.end;
            self.disk.transfer_all(&step.transfers, Direction::Write).await?;
            self.enter_step(&node, step, size.min(at * block)).await?;
        }
        // What is still promised for these pages was not needed.
        let all = start + pages.len() as u64 * self.blocks_per_page();
        let unused = node.reservation.lock().settle(start, all);
        crate::allocator::add(&self.counts.available, unused as i64);
        Ok(())
    }

    /// The pages with zeroes behind the end of the file, so that it may grow later. A page that
    /// programs may be writing to is copied for that.
    fn with_clean_tail<'p>(
        &self,
        first: u64,
        pages: &'p [D::Page],
        size: u64,
    ) -> Result<Cow<'p, [D::Page]>> {
        let within = (size % PAGE_SIZE as u64) as usize;
        let Some(index) = (size / PAGE_SIZE as u64).checked_sub(first) else {
            return Ok(Cow::Borrowed(pages));
        };
        let index = index as usize;
        if within == 0 || index >= pages.len() {
            return Ok(Cow::Borrowed(pages));
        }
        let copy = self.disk.spare()?;
        let mut bytes = vec![0; within];
        pages[index].read(0, &mut bytes);
        copy.write(0, &bytes);
        copy.zero(within, PAGE_SIZE - within);
        let mut owned = pages.to_vec();
        owned[index] = copy;
        Ok(Cow::Owned(owned))
    }

    /// Chooses blocks for the runs from `at` on, as many as one step takes.
    async fn plan(
        &self,
        node: &Node,
        first: u64,
        pages: &[D::Page],
        mut at: u64,
        end: u64,
    ) -> Result<Step<'_, D>> {
        let body = node.body.read().await;
        let budget = self.empty_budget();
        let mut step = Step { pieces: Vec::new(), transfers: Vec::new(), budget, end: at };
        let mut goal = self.goal_before(&body, at).await?;
        while at < end && step.pieces.len() < RUNS_PER_STEP {
            let run = self.map(&body, at as u32).await?.up_to(end);
            let (run, physical, piece) = match run.state {
                State::Written(physical) => (run, physical, Piece::Overwritten),
                State::Unwritten(physical) => (run, physical, Piece::Filled(run)),
                State::Hole => {
                    let is_end = run.end() == end;
                    let claim = self.choose(node, &step.budget, run, goal, is_end).await?;
                    let run = run.up_to(at + u64::from(claim.len));
                    (run, claim.start, Piece::New(run.logical, claim))
                }
            };
            self.transfers(first, pages, run, physical, &mut step.transfers);
            step.pieces.push(piece);
            goal = physical + run.len;
            at = run.end();
        }
        step.end = at;
        self.pay_for_map(node, &body, &step).await?;
        Ok(step)
    }

    /// Promises what entering a step may add to the map.
    async fn pay_for_map(&self, node: &Node, body: &Inode, step: &Step<'_, D>) -> Result<()> {
        let overwritten = |piece: &&Piece<'_, D>| !matches!(piece, Piece::Overwritten);
        let changes = step.pieces.iter().filter(overwritten).count() as u64;
        let blocks = step.transfers.iter().map(|transfer| u64::from(transfer.count)).sum();
        let needed = self.map_growth(body, changes, blocks);
        let before = core::mem::take(&mut node.reservation.lock().map);
        step.budget.add(before);
        let promise = self.promise(needed.saturating_sub(before)).await?;
        step.budget.absorb(&promise);
        Ok(())
    }

    /// The block behind the one that holds what comes before `logical`.
    pub(super) async fn goal_before(&self, inode: &Inode, logical: u64) -> Result<u64> {
        if let Some(before) = logical.checked_sub(1) {
            let run = self.map(inode, before as u32).await?;
            if let State::Written(physical) | State::Unwritten(physical) = run.state {
                return Ok(physical + 1);
            }
        }
        Ok(self.inode_goal_block(inode))
    }

    /// Chooses blocks for the beginning of a hole: from the window, or near `goal`.
    async fn choose<'f>(
        &'f self,
        node: &Node,
        budget: &Budget<'f, D>,
        run: Run,
        goal: u64,
        is_end: bool,
    ) -> Result<Claim<'f, D>> {
        let wanted = run.len.min(MAX_LEN.into()) as u32;
        let promised = node.reservation.lock().take(run.logical.into(), run.end());
        if promised > 0 {
            budget.add(promised);
        }
        let window = node.reservation.lock().window.take();
        if let Some((start, len)) = window {
            let claim = self.adopt(start, len);
            if start == goal {
                return Ok(self.cut_claim(node, claim, wanted));
            }
        }
        let ahead = if is_end { self.window_size(run) } else { 0 };
        let needed = u64::from(wanted + ahead).saturating_sub(budget.left());
        let extra = match self.promise_quietly(needed, ahead) {
            Some(extra) => extra,
            None => self.promise(u64::from(wanted).saturating_sub(budget.left())).await?,
        };
        budget.absorb(&extra);
        let most = (wanted + ahead).min(MAX_LEN).min(budget.left() as u32);
        let claim = self.claim(budget, goal, most).await?;
        Ok(self.cut_claim(node, claim, wanted))
    }

    /// How far a growing file reserves ahead: twice what it has, within bounds, while there is
    /// plenty of space. Two files that grow side by side get in each other's way once for each
    /// window.
    fn window_size(&self, run: Run) -> u32 {
        let size = u64::from(run.logical) + run.len;
        let is_large = size * self.disk.block_size() as u64 >= WINDOW_FROM;
        if run.logical == 0 || !is_large { 0 } else { (2 * size).min(MAX_WINDOW.into()) as u32 }
    }

    /// A promise that includes a window, if space is not short.
    fn promise_quietly(&self, count: u64, ahead: u32) -> Option<Budget<'_, D>> {
        let plenty = self.rules.superblock.blocks / 16 + count;
        if ahead == 0 || !self.has_available(plenty) {
            return None;
        }
        self.promise_now(count)
    }

    /// Keeps of a claim what is wanted now; the rest is the file's window.
    fn cut_claim<'f>(&'f self, node: &Node, claim: Claim<'f, D>, wanted: u32) -> Claim<'f, D> {
        if claim.len <= wanted {
            return claim;
        }
        let (now, rest) = claim.split(wanted);
        let old = node.reservation.lock().window.replace(rest);
        if let Some((start, len)) = old {
            self.release_blocks(start, len);
        }
        now
    }

    /// The data of a step are on their way: its blocks become the file's, in one transaction.
    async fn enter_step(&self, node: &Node, step: Step<'_, D>, size: u64) -> Result<()> {
        let changes = step.pieces.iter().any(|piece| !matches!(piece, Piece::Overwritten));
        let mut body = node.body.write().await;
        if !changes && size <= body.size {
            return Ok(());
        }
        let handle = self.begin(step.pieces.len() * STEP_CREDITS / 4 + STEP_CREDITS).await?;
        let outcome = self.enter_pieces(&handle, &mut body, step, size).await;
        node.note_change(handle.transaction(), true);
        handle.finish(outcome)
    }

    async fn enter_pieces(
        &self,
        handle: &Handle<'_, D>,
        body: &mut Inode,
        step: Step<'_, D>,
        size: u64,
    ) -> Result<()> {
        for piece in step.pieces {
            match piece {
                Piece::Overwritten => {}
                Piece::Filled(run) => self.mark_written(handle, &step.budget, body, run).await?,
                Piece::New(logical, claim) => {
                    let (physical, len) = (claim.start, claim.len);
                    self.enter(handle, claim).await?;
                    body.sectors += u64::from(len) * self.sectors_per_block();
                    let extent = Extent { logical, len, physical, unwritten: false };
                    self.insert(handle, &step.budget, body, extent).await?;
                }
            }
        }
        self.grow_size(body, size);
        self.store(handle, body).await
    }

    pub(super) fn grow_size(&self, body: &mut Inode, size: u64) {
        body.size = body.size.max(size);
        if body.size >= 1 << 31 {
            self.counts.large_file.store(true, core::sync::atomic::Ordering::Release);
        }
    }
}
