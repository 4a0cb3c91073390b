//! The window: frames of init, mapped for as long as they are filled.

use core::sync::atomic::{AtomicBool, Ordering};
use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_sys::{Result, Slot, memory};

use super::{KernelInfo, WINDOW_ADDRESS};
use crate::frames::Piece;
use crate::machine::Account;

/// Pages mapped at a time.
const PAGES: u64 = 64;

/// A range of init's address space where frames are filled.
pub struct Window {
    environment: Slot,
}

impl Window {
    /// The window of init's environment.
    ///
    /// # Panics
    /// When called twice: there is one window.
    #[must_use]
    pub fn new(info: &KernelInfo) -> Self {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        assert!(!TAKEN.swap(true, Ordering::Relaxed), "a second window");
        Self { environment: info.environment() }
    }

    /// Zeroes the frames of `piece` and lets `fill` write each; it gets the number within the piece.
    ///
    /// # Errors
    /// As the kernel's map and unmap.
    pub fn fill(
        &mut self,
        account: &mut Account,
        piece: Piece,
        mut fill: impl FnMut(u64, &mut [u8; PAGE_SIZE]),
    ) -> Result<()> {
        let mut done = 0;
        while done < piece.count {
            let count = PAGES.min(piece.count - done);
            self.map(account, piece, done, count)?;
            for page in 0..count {
                let address = WINDOW_ADDRESS + page * PAGE_SIZE as u64;
                // SAFETY: 1. The page was just mapped, writable. 2. Frames of a piece are mapped nowhere else in
                // this address space: pieces come from the pool once. 3. The reference ends before the unmap.
                let bytes = unsafe { &mut *(address as *mut [u8; PAGE_SIZE]) };
                bytes.fill(0);
                fill(done + page, bytes);
            }
            // SAFETY: no reference into the window is left.
            unsafe { memory::unmap(self.environment, WINDOW_ADDRESS, count) }?;
            done += count;
        }
        Ok(())
    }

    fn map(&self, account: &mut Account, piece: Piece, first: u64, count: u64) -> Result<()> {
        let flags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);
        let first = piece.first + first;
        account.paying(|| {
            // SAFETY: the window's range is used by nothing else.
            unsafe {
                memory::map_range(self.environment, WINDOW_ADDRESS, piece.slot, first, count, flags)
            }
        })
    }
}
