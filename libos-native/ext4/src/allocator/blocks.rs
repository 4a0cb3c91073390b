//! Blocks: promised, claimed, entered, released.
use super::{add, bitmap, take};
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::group::BLOCK_UNINIT;
use core::sync::atomic::{AtomicU64, Ordering};
use serix_block::BlockDevice;

/// Groups that are searched for a run of the wanted length before a shorter one is taken.
const SEARCH_GROUPS: u32 = 8;

/// So many blocks, promised: claims on it do not run out of space.
pub(crate) struct Budget<'f, D: BlockDevice> {
    fs: &'f Ext4<D>,
    left: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Held, but no promise was spent on it.
    Found,
    /// Held, and counted as taken.
    Paid,
    /// In the bitmap.
    Entered,
}

/// A run of blocks that was chosen. Dropping it before [`Ext4::enter`] gives it back.
pub(crate) struct Claim<'f, D: BlockDevice> {
    fs: &'f Ext4<D>,
    pub(crate) start: u64,
    pub(crate) len: u32,
    state: State,
}

impl<D: BlockDevice> Budget<'_, D> {
    /// Takes `count` blocks off; the promise is the claim's now.
    fn spend(&self, count: u64) -> bool {
        let spend = |left: u64| left.checked_sub(count);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, spend).is_ok()
    }

    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// Adds a promise made elsewhere.
    pub(crate) fn add(&self, count: u64) {
        self.left.fetch_add(count, Ordering::AcqRel);
    }

    /// Takes over what another budget has left.
    pub(crate) fn absorb(&self, other: &Self) {
        self.add(other.left.swap(0, Ordering::AcqRel));
    }

    /// Takes the promise of `count` blocks elsewhere.
    pub(crate) fn split(&self, count: u64) -> bool {
        self.spend(count)
    }
}

impl<D: BlockDevice> Drop for Budget<'_, D> {
    fn drop(&mut self) {
        add(&self.fs.counts.available, *self.left.get_mut() as i64);
    }
}

impl<'f, D: BlockDevice> Claim<'f, D> {
    /// Cuts a paid claim to `len` blocks; the rest, still held and paid, is the caller's.
    pub(crate) fn split(mut self, len: u32) -> (Self, (u64, u32)) {
        let rest = (self.start + u64::from(len), self.len - len);
        self.len = len;
        (self, rest)
    }
}

impl<D: BlockDevice> Drop for Claim<'_, D> {
    fn drop(&mut self) {
        match self.state {
            State::Found => self.fs.unhold(self.start, self.len),
            State::Paid => self.fs.release_blocks(self.start, self.len),
            State::Entered => {}
        }
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// Promises `count` blocks.
    ///
    /// If there are too few, but some wait for a commit to be free, that is done first.
    pub(crate) async fn promise(&self, count: u64) -> Result<Budget<'_, D>> {
        for _ in 0..2 {
            if let Some(budget) = self.promise_now(count) {
                return Ok(budget);
            }
            self.release_windows();
            if let Some(budget) = self.promise_now(count) {
                return Ok(budget);
            }
            if !self.has_unreleased() {
                break;
            }
            self.commit(self.journal.current()).await?;
        }
        Err(Error::NoSpace)
    }

    /// Promises `count` blocks if they are there without any effort.
    pub(crate) fn promise_now(&self, count: u64) -> Option<Budget<'_, D>> {
        take(&self.counts.available, count)
            .then(|| Budget { fs: self, left: AtomicU64::new(count) })
    }

    /// Whether `count` blocks could be promised.
    pub(crate) fn has_available(&self, count: u64) -> bool {
        self.counts.available.load(Ordering::Acquire) >= count as i64
    }

    /// A held and paid run as a claim.
    pub(crate) fn adopt(&self, start: u64, len: u32) -> Claim<'_, D> {
        Claim { fs: self, start, len, state: State::Paid }
    }

    /// A budget of nothing, to which promises are added.
    pub(crate) fn empty_budget(&self) -> Budget<'_, D> {
        Budget { fs: self, left: AtomicU64::new(0) }
    }

    fn has_unreleased(&self) -> bool {
        let running = self.journal.running.lock();
        !running.changes.freed.is_empty()
            || running.committed.wrapping_add(1) != running.transaction
    }

    /// Chooses a run of at most `wanted` free blocks, at `goal` or near it.
    pub(crate) async fn claim(
        &self,
        budget: &Budget<'_, D>,
        goal: u64,
        wanted: u32,
    ) -> Result<Claim<'_, D>> {
        let wanted = u64::from(wanted).min(budget.left()).max(1) as u32;
        let contained = self.rules.superblock.contains(goal, 1);
        let goal = if contained { goal } else { self.rules.superblock.group_start(0) };
        let (first, bit) = self.rules.superblock.group_of(goal);
        let count = self.groups.len() as u32;
        let mut best: Option<Claim<'_, D>> = None;
        for step in 0..=count {
            let group = (first + step) % count;
            // The goal's group is searched from the goal on, and at the very end from its start.
            let from = if step == 0 { bit } else { 0 };
            let len = best.as_ref().map_or(0, |best| best.len);
            let found = self.claim_in(group, (from, step == 0), (wanted, len)).await?;
            if let Some(found) = found
                && found.len > len
            {
                best = Some(found);
            }
            let len = best.as_ref().map_or(0, |best| best.len);
            if len == wanted || (len > 0 && step >= SEARCH_GROUPS) {
                break;
            }
        }
        let mut best = best.ok_or(Error::corrupt_block("free block count", 0))?;
        if !budget.spend(best.len.into()) {
            return Err(Error::NoSpace);
        }
        best.state = State::Paid;
        Ok(best)
    }

    /// Holds a run of at most `wanted` blocks of a group, if one may be longer than `best`.
    async fn claim_in(
        &self,
        number: u32,
        from: (u32, bool),
        wanted: (u32, u32),
    ) -> Result<Option<Claim<'_, D>>> {
        if self.groups[number as usize].lock().descriptor.free_blocks == 0 {
            return Ok(None);
        }
        let buffer = self.block_bitmap(number).await?;
        let end = self.rules.superblock.group_blocks(number);
        let (start, len) = buffer.read(|bits| {
            let mut group = self.groups[number as usize].lock();
            let (start, len) = group.choose(bits, from, end, wanted);
            if len > 0 {
                group.held.insert(start, len);
            }
            (start, len)
        });
        let start = self.rules.superblock.group_start(number) + u64::from(start);
        Ok((len > 0).then(|| Claim { fs: self, start, len, state: State::Found }))
    }

    /// Marks a claimed run as used.
    pub(crate) async fn enter(
        &self,
        handle: &Handle<'_, D>,
        mut claim: Claim<'_, D>,
    ) -> Result<()> {
        let (number, bit) = self.rules.superblock.group_of(claim.start);
        let buffer = self.block_bitmap(number).await?;
        let len = claim.len;
        self.edit_group(handle, number, |group| {
            group.descriptor.free_blocks = group.descriptor.free_blocks.saturating_sub(len);
            group.descriptor.flags &= !BLOCK_UNINIT;
        })
        .await?;
        let kind = Kind::BlockBitmap(number);
        handle.edit(&buffer, kind, |bits| bitmap::set(bits, bit, len));
        let mut group = self.groups[number as usize].lock();
        group.held.remove(bit, len);
        if group.first_free >= bit && group.first_free < bit + len {
            group.first_free = bit + len;
        }
        add(&self.counts.free_blocks, -i64::from(len));
        claim.state = State::Entered;
        Ok(())
    }

    /// Claims and enters one block, for metadata.
    pub(crate) async fn allocate_block(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        goal: u64,
    ) -> Result<u64> {
        let claim = self.claim(budget, goal, 1).await?;
        let block = claim.start;
        self.enter(handle, claim).await?;
        Ok(block)
    }

    /// Frees a run of blocks; they can be used again once the transaction is durable.
    pub(crate) async fn free_blocks(
        &self,
        handle: &Handle<'_, D>,
        start: u64,
        len: u32,
    ) -> Result<()> {
        if !self.rules.can_be_files(start, len.into()) {
            return Err(Error::corrupt_block("freed block out of range", start));
        }
        let (mut start, mut left) = (start, len);
        while left > 0 {
            let (number, bit) = self.rules.superblock.group_of(start);
            let len = left.min(self.rules.superblock.group_blocks(number) - bit);
            self.free_in(handle, number, bit, len).await?;
            start += u64::from(len);
            left -= len;
        }
        Ok(())
    }

    async fn free_in(&self, handle: &Handle<'_, D>, number: u32, bit: u32, len: u32) -> Result<()> {
        let buffer = self.block_bitmap(number).await?;
        let block = self.rules.superblock.group_start(number) + u64::from(bit);
        if !buffer.read(|bits| bitmap::all_set(bits, bit, len)) {
            return Err(Error::corrupt_block("block freed twice", block));
        }
        self.edit_group(handle, number, |group| {
            group.descriptor.free_blocks += len;
            group.held.insert(bit, len);
        })
        .await?;
        handle.edit(&buffer, Kind::BlockBitmap(number), |bits| bitmap::clear(bits, bit, len));
        handle.release(block, len);
        add(&self.counts.free_blocks, len.into());
        Ok(())
    }

    /// A held run is free, and may be promised.
    pub(crate) fn release_blocks(&self, start: u64, len: u32) {
        let (mut at, end) = (start, start + u64::from(len));
        while at < end {
            let (number, bit) = self.rules.superblock.group_of(at);
            let in_group = self.rules.superblock.group_blocks(number) - bit;
            let part = in_group.min((end - at) as u32);
            self.unhold(at, part);
            at += u64::from(part);
        }
        add(&self.counts.available, len.into());
    }

    fn unhold(&self, start: u64, len: u32) {
        let (number, bit) = self.rules.superblock.group_of(start);
        let mut group = self.groups[number as usize].lock();
        group.held.remove(bit, len);
        group.freed(bit);
    }
}
