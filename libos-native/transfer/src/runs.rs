//! Pages as the segments of submissions.
use crate::{FrameAddress, FrameMemory};
use serix_abi::ring::{SEGMENTS, Segment};

/// Most pages of one submission: a megabyte, so that one transfer does not hold up the others for long.
const PAGES_MAX: usize = 256;

/// The segments of one submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Slot of the frames.
    pub(crate) slot: u32,
    /// Pages in the segments.
    pub(crate) pages: usize,
    /// Segments used.
    pub(crate) segment_count: usize,
    /// Segments.
    pub(crate) segments: [Segment; SEGMENTS],
}

impl Run {
    /// Takes one more page, or answers false if it does not fit.
    fn extend(&mut self, at: FrameAddress) -> bool {
        if self.segment_count > 0 && (self.slot != at.slot || self.pages == PAGES_MAX) {
            return false;
        }
        if let Some(last) = self.segment_count.checked_sub(1).map(|i| &mut self.segments[i])
            && last.unit + last.count == at.unit
        {
            last.count += 1;
        } else if self.segment_count < SEGMENTS {
            self.segments[self.segment_count] = Segment { unit: at.unit, count: 1 };
            self.segment_count += 1;
        } else {
            return false;
        }
        self.slot = at.slot;
        self.pages += 1;
        true
    }
}

/// The longest run at the start of `pages`; at least one page unless there is none.
pub(crate) fn first_run<M: FrameMemory>(memory: &M, pages: &[M::Page]) -> Run {
    let mut run = Run::default();
    for page in pages {
        if !run.extend(memory.locate(page)) {
            break;
        }
    }
    run
}
