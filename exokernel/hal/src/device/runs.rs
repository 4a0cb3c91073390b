//! Runs of frames that a device transfers to or from.
use crate::address::FrameNumber;
use crate::memory::frames::FrameTable;
use serix_abi::ring::SEGMENTS;

/// Consecutive bytes in consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First frame.
    pub frame: FrameNumber,
    /// First byte in it.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

impl Run {
    const EMPTY: Self = Self { frame: FrameNumber(0), offset: 0, length: 0 };

    fn frames(&self) -> impl Iterator<Item = FrameNumber> {
        let count = (self.offset + self.length).div_ceil(4096);
        (self.frame.0..self.frame.0 + count).map(FrameNumber)
    }
}

/// Up to four runs, pinned while a device has them.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    runs: [Run; SEGMENTS],
    count: usize,
}

impl Runs {
    /// No run.
    pub const NONE: Self = Self { runs: [Run::EMPTY; SEGMENTS], count: 0 };

    /// Adds a run; false if there are four.
    pub fn push(&mut self, run: Run) -> bool {
        if self.count == SEGMENTS {
            return false;
        }
        self.runs[self.count] = run;
        self.count += 1;
        true
    }

    /// Bytes in all runs.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.runs[..self.count].iter().map(|run| run.length).sum()
    }

    fn frames(&self) -> impl Iterator<Item = FrameNumber> {
        self.runs[..self.count].iter().flat_map(Run::frames)
    }

    /// Pins every frame, or none.
    pub(crate) fn pin(&self, frames: &mut FrameTable) -> bool {
        for (done, frame) in self.frames().enumerate() {
            if !frames.pin(frame) {
                self.frames().take(done).for_each(|frame| frames.unpin(frame));
                return false;
            }
        }
        true
    }

    pub(crate) fn unpin(&self, frames: &mut FrameTable) {
        self.frames().for_each(|frame| frames.unpin(frame));
    }

    /// The runs as slices for the device to read.
    ///
    /// # Safety
    /// The runs are pinned, and nobody reads or writes through the slices: ring 3 may change the bytes at any time.
    pub(crate) unsafe fn slices(&self) -> [&'static [u8]; SEGMENTS] {
        self.runs.map(|run| {
            if run.length == 0 {
                return &[][..];
            }
            let start = run.frame.pointer::<u8>().wrapping_add(run.offset as usize);
            // SAFETY: pinned RAM in the direct map, consecutive frames; the caller keeps the slice from being read.
            unsafe { core::slice::from_raw_parts(start, run.length as usize) }
        })
    }

    /// The runs as slices for the device to write.
    ///
    /// # Safety
    /// As [`Self::slices`].
    pub(crate) unsafe fn slices_mut(&self) -> [&'static mut [u8]; SEGMENTS] {
        self.runs.map(|run| {
            if run.length == 0 {
                return &mut [][..];
            }
            let start = run.frame.pointer::<u8>().wrapping_add(run.offset as usize);
            // SAFETY: as in `slices`.
            unsafe { core::slice::from_raw_parts_mut(start, run.length as usize) }
        })
    }

    /// Physical address and length of the parts that bytes `start..start + length` of all runs lie in.
    pub(crate) fn parts(&self, start: u32, length: u32) -> impl Iterator<Item = (u64, u32)> {
        let (mut skip, mut left) = (start, length);
        self.runs[..self.count].iter().filter_map(move |run| {
            let skipped = skip.min(run.length);
            skip -= skipped;
            let length = (run.length - skipped).min(left);
            left -= length;
            let at = run.frame.start().0 + u64::from(run.offset + skipped);
            (length > 0).then_some((at, length))
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}
