//! The information page, and the walk that compares page tables and frame table with the ledger.
use super::access::map_error;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::map::MapFlags;

/// Frames of one step.
const FRAMES_PER_STEP: u32 = 128;

/// How far a check of the ledger has come.
#[derive(Debug, Default)]
pub(crate) struct Check {
    next: u32,
    violations: u64,
}

impl Kernel {
    /// Maps the information page read-only.
    pub(crate) fn map_info(&mut self, environment: u32, address: u64) -> Result<(), Error> {
        self.live_environment(environment)?;
        let space = self.environments.get(environment).ok_or(Error::Dead)?;
        let (frames, mut source) = self.resources.tables(space.domain).ok_or(Error::Dead)?;
        let leaf = space.root.leaf_for(frames, address, &mut source).map_err(map_error)?;
        let mapped = leaf.map(frames, address, self.info.frame(), 1, MapFlags::NO_EXECUTE);
        if mapped == 1 { Ok(()) } else { Err(Error::Denied) }
    }

    /// Goes on comparing ledger, frame table and page tables with each other; `Again` until all frames were looked at,
    /// then how many contradict themselves.
    pub(crate) fn ledger_check_step(&mut self) -> Result<u64, Error> {
        let count = self.resources.ledger.frame_count() as u32;
        let end = count.min(self.check.next + FRAMES_PER_STEP);
        let frames = self.check.next..end;
        self.check.violations += u64::from(self.resources.ledger.check_frames(frames.clone()))
            + self.resources.frames.check_mappings(frames);
        self.check.next = end;
        if end < count {
            return Err(Error::Again);
        }
        Ok(core::mem::take(&mut self.check).violations)
    }
}
