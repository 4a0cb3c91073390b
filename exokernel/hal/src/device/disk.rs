//! A disk of whatever kind.
use super::ata::AtaDisk;
use super::block::{BlockDevice, Completed, Operation};
use super::runs::Runs;
use crate::memory::frames::FrameTable;
use alloc::boxed::Box;

/// A disk.
pub enum Disk {
    /// virtio-blk, with its queue.
    Virtio(Box<BlockDevice>),
    /// ATA.
    Ata(AtaDisk),
}

/// What each kind does, as [`BlockDevice`] documents it.
macro_rules! either {
    ($disk:expr, $one:ident => $value:expr) => {
        match $disk {
            Self::Virtio($one) => $value,
            Self::Ata($one) => $value,
        }
    };
}

impl Disk {
    /// Sectors of 512 bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        either!(self, disk => disk.capacity())
    }

    /// Whether the device refuses writes.
    #[must_use]
    pub fn read_only(&self) -> bool {
        either!(self, disk => disk.read_only())
    }

    /// Whether the device can flush its cache.
    #[must_use]
    pub fn can_flush(&self) -> bool {
        either!(self, disk => disk.can_flush())
    }

    /// Starts a request; false if the device is full or a frame is not ring 3's. `tag` comes back in [`Completed`].
    pub fn submit(
        &mut self,
        frames: &mut FrameTable,
        operation: Operation,
        sector: u64,
        runs: Runs,
        tag: u64,
    ) -> bool {
        either!(self, disk => disk.submit(frames, operation, sector, runs, tag))
    }

    /// Whether one more request can be submitted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        either!(self, disk => disk.has_room())
    }

    /// Whether a request with such a tag is in flight.
    #[must_use]
    pub fn has(&self, matches: impl Fn(u64) -> bool) -> bool {
        either!(self, disk => disk.has(matches))
    }

    /// Resets the device, so that it lets go of every frame; false if it does not come up again. Hands each request that was in
    /// flight to `failed`.
    pub fn reset(&mut self, frames: &mut FrameTable, failed: impl FnMut(Completed)) -> bool {
        either!(self, disk => disk.reset(frames, failed))
    }

    /// Whether it came up after the last reset.
    #[must_use]
    pub fn is_up(&self) -> bool {
        either!(self, disk => disk.is_up())
    }

    /// Takes one ended request.
    pub fn complete(&mut self, frames: &mut FrameTable) -> Option<Completed> {
        either!(self, disk => disk.complete(frames))
    }
}
