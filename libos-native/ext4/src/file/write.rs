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
/// Runs that one step sends, at most.
const SENT_PER_STEP: usize = 16;
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
    /// Pieces that change the map.
    changes: usize,
    transfers: Vec<Transfer<D::Page>>,
    budget: Budget<'f, D>,
    /// The logical block behind the last piece.
    end: u64,
}

impl<D: BlockDevice> Step<'_, D> {
    fn is_full(&self) -> bool {
        self.changes == RUNS_PER_STEP || self.pieces.len() >= SENT_PER_STEP
    }
}

/// Pages of a file, and the logical blocks of them that are still to be written.
struct Work<'p, P: Page> {
    first: u64,
    pages: Cow<'p, [P]>,
    at: u64,
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
        let cuts = self.note_cuts(&node, &body, start, end).await?;
        self.reserve_map(&node, &body, count * per_page + cuts).await?;
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

    /// Notes which of these blocks lie in unwritten extents, which writing to them cuts; how many extents more there may be.
    async fn note_cuts(&self, node: &Node, body: &Inode, start: u64, end: u64) -> Result<u64> {
        let (mut at, mut cuts) = (start, 0);
        while at < end.min(END) {
            let run = self.map(body, at as u32).await?.up_to(end);
            if matches!(run.state, State::Unwritten(_)) {
                node.reservation.lock().cut(at, run.end());
                cuts += 2;
            }
            at = run.end();
        }
        Ok(cuts)
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
        let (extents, ranges, before) = {
            let reservation = node.reservation.lock();
            (reservation.extents(), reservation.ranges() + 1, reservation.map)
        };
        // Most files are small: at worst each block is an extent of its own.
        if self.fits_root(body, extents + blocks) {
            return Ok(());
        }
        let needed = self.map_growth(body, RUNS_PER_STEP as u64, blocks)
            + self.scattered_growth(body, ranges);
        let missing = needed.saturating_sub(before);
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
        self.write_runs(number, [(first, pages)].into_iter(), size).await
    }

    /// Stores several runs of pages, as [`Self::write_pages`] does each; they are in the order of the
    /// file, and those that have their blocks already are sent together.
    ///
    /// # Errors
    /// As [`Self::write_pages`].
    pub async fn write_runs<'p>(
        &self,
        number: u32,
        runs: impl Iterator<Item = (u64, &'p [D::Page])> + Send,
        size: u64,
    ) -> Result<()>
    where
        D::Page: 'p,
    {
        self.check_writable()?;
        let node = self.file(number).await?;
        let _writer = node.writer.lock().await;
        let mut works = Vec::new();
        for (first, pages) in runs {
            let size = size.min((first + pages.len() as u64) * PAGE_SIZE as u64);
            self.check_size(&*node.body.read().await, size)?;
            works.push(self.work(first, pages, size)?);
        }
        let mut done = 0;
        while let Some(work) = works.get(done) {
            if work.at >= work.end {
                self.settle_promises(&node, work);
                done += 1;
                continue;
            }
            let step = self.plan(&node, &mut works[done..]).await?;
            let size = size.min(step.end * self.disk.block_size() as u64);
            self.disk.transfer_all(&step.transfers, Direction::Write).await?;
            self.enter_step(&node, step, size).await?;
        }
        Ok(())
    }

    fn work<'p>(&self, first: u64, pages: &'p [D::Page], size: u64) -> Result<Work<'p, D::Page>> {
        let pages = self.with_clean_tail(first, pages, size)?;
        let end = size.div_ceil(self.disk.block_size() as u64);
        Ok(Work { first, pages, at: first * self.blocks_per_page(), end })
    }

    /// What is still promised for pages that are written was not needed.
    fn settle_promises(&self, node: &Node, work: &Work<'_, D::Page>) {
        let start = work.first * self.blocks_per_page();
        let all = start + work.pages.len() as u64 * self.blocks_per_page();
        let unused = node.reservation.lock().settle(start, all);
        crate::allocator::add(&self.counts.available, unused as i64);
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

    /// Chooses blocks for what is to be written, as much as one step takes. What the map may grow by
    /// is known for runs one behind the other, so all changes of a step are of one work.
    async fn plan(&self, node: &Node, works: &mut [Work<'_, D::Page>]) -> Result<Step<'_, D>> {
        let body = node.body.read().await;
        let (pieces, transfers) = (Vec::new(), Vec::new());
        let budget = self.empty_budget();
        let mut step = Step { pieces, changes: 0, transfers, budget, end: 0 };
        for work in works {
            self.plan_work(node, &body, work, &mut step).await?;
            if step.changes > 0 || step.is_full() {
                break;
            }
        }
        self.pay_for_map(node, &body, &step).await?;
        Ok(step)
    }

    async fn plan_work<'f>(
        &'f self,
        node: &Node,
        body: &Inode,
        work: &mut Work<'_, D::Page>,
        step: &mut Step<'f, D>,
    ) -> Result<()> {
        let mut goal = None;
        while work.at < work.end && !step.is_full() {
            let run = self.map(body, work.at as u32).await?.up_to(work.end);
            let (run, physical, piece) = match run.state {
                State::Written(physical) => (run, physical, Piece::Overwritten),
                State::Unwritten(physical) => (run, physical, Piece::Filled(run)),
                State::Hole => {
                    let goal = match goal {
                        Some(goal) => goal,
                        None => self.goal_before(body, work.at).await?,
                    };
                    let is_end = run.end() == work.end;
                    let claim = self.choose(node, &step.budget, run, goal, is_end).await?;
                    let run = run.up_to(work.at + u64::from(claim.len));
                    (run, claim.start, Piece::New(run.logical, claim))
                }
            };
            self.transfers(work.first, &work.pages, run, physical, &mut step.transfers);
            step.changes += usize::from(!matches!(piece, Piece::Overwritten));
            step.pieces.push(piece);
            goal = Some(physical + run.len);
            work.at = run.end();
        }
        step.end = work.at;
        Ok(())
    }

    /// What a step did not need of the map's promises stays with the file while it has others.
    fn keep_for_map(&self, node: &Node, budget: &Budget<'_, D>) {
        let mut reservation = node.reservation.lock();
        let left = budget.left();
        if reservation.ranges() > 0 && budget.split(left) {
            reservation.map += left;
        }
    }

    /// Promises what entering a step may add to the map.
    async fn pay_for_map(&self, node: &Node, body: &Inode, step: &Step<'_, D>) -> Result<()> {
        let filled = step.pieces.iter().any(|piece| matches!(piece, Piece::Filled(_)));
        if step.changes == 0 || !filled && self.fits_root(body, step.changes as u64) {
            return Ok(());
        }
        let blocks = step.transfers.iter().map(|transfer| u64::from(transfer.count)).sum();
        let needed = self.map_growth(body, step.changes as u64, blocks);
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
        let claim = self.cut_claim(node, claim, wanted);
        // A run that was promised in whole keeps the promise of what is left of it.
        let (next, left) =
            (u64::from(run.logical) + u64::from(claim.len), run.len - u64::from(claim.len));
        if left > 0 && promised == run.len && budget.split(left) {
            node.reservation.lock().promise(next, run.end());
        }
        Ok(claim)
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
    async fn enter_step(&self, node: &Node, mut step: Step<'_, D>, size: u64) -> Result<()> {
        if step.changes == 0 && size <= node.body.read().await.size {
            return Ok(());
        }
        let mut body = node.body.write().await;
        let handle = self.begin(step.changes * STEP_CREDITS / 4 + STEP_CREDITS).await?;
        let outcome = self.enter_pieces(&handle, &mut body, &mut step, size).await;
        node.note_change(handle.transaction(), true);
        self.keep_for_map(node, &step.budget);
        handle.finish(outcome)
    }

    async fn enter_pieces(
        &self,
        handle: &Handle<'_, D>,
        body: &mut Inode,
        step: &mut Step<'_, D>,
        size: u64,
    ) -> Result<()> {
        for piece in core::mem::take(&mut step.pieces) {
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
