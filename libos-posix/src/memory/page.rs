//! Pages: handles to frames, for the page cache, devices and address spaces.
use super::{FrameNumber, pool};
use crate::raw::frame_map;
use core::mem::ManuallyDrop;
use serix_block::Page;
use serix_chroma::PageSource;
use serix_transfer::{FrameAddress, FrameMemory};

/// A handle that holds one frame of the session.
#[derive(Debug)]
pub struct FramePage(FrameNumber);

impl FramePage {
    /// A page with unspecified contents.
    #[inline]
    #[must_use]
    pub fn allocate() -> Option<Self> {
        pool().allocate().map(Self)
    }

    /// A page of zeroes.
    #[must_use]
    pub fn zeroed() -> Option<Self> {
        let page = Self::allocate()?;
        frame_map::zero(page.0);
        Some(page)
    }

    /// The frame.
    #[inline]
    #[must_use]
    pub fn frame(&self) -> FrameNumber {
        self.0
    }

    /// Ends the handle and leaves its hold to a mapping.
    #[inline]
    #[must_use]
    pub fn into_mapping(self) -> FrameNumber {
        ManuallyDrop::new(self).0
    }

    /// A further handle to a frame that somebody holds.
    #[inline(always)]
    #[must_use]
    pub fn of(frame: FrameNumber) -> Self {
        pool().hold(frame);
        Self(frame)
    }
}

impl Clone for FramePage {
    #[inline(always)]
    fn clone(&self) -> Self {
        Self::of(self.0)
    }
}

impl Drop for FramePage {
    #[inline(always)]
    fn drop(&mut self) {
        pool().release(self.0);
    }
}

impl Page for FramePage {
    #[inline]
    fn read(&self, offset: usize, into: &mut [u8]) {
        frame_map::read(self.0, offset, into);
    }
    #[inline]
    fn write(&self, offset: usize, from: &[u8]) {
        frame_map::write(self.0, offset, from);
    }
    fn zero(&self, offset: usize, len: usize) {
        frame_map::zero_part(self.0, offset, len);
    }
    fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The session's frames as a supply of pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionFrames;

/// Frames that the page cache leaves to programs and to the libOS.
const CACHE_RESERVE: usize = 256;

impl PageSource<FramePage> for SessionFrames {
    fn allocate(&self) -> Option<FramePage> {
        let mut pool = pool();
        if pool.free_count() < CACHE_RESERVE.min(pool.total() / 8) {
            return None;
        }
        pool.allocate().map(FramePage)
    }

    fn holders(&self, page: &FramePage) -> usize {
        pool().holders(page.0) as usize
    }
}

impl FrameMemory for SessionFrames {
    type Page = FramePage;

    fn allocate_page(&self) -> Option<FramePage> {
        FramePage::zeroed()
    }

    fn locate(&self, page: &FramePage) -> FrameAddress {
        let (slot, unit) = super::locate(page.0);
        FrameAddress { slot: slot.0, unit: unit as u32 }
    }
}
