//! The information page, and the walk that compares page tables and frame table with the ledger.
use super::access::map_error;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::map::MapFlags;

impl Kernel {
    /// Maps the information page read-only.
    pub(crate) fn map_info(&mut self, environment: u32, address: u64) -> Result<(), Error> {
        let space = self.environments.get(environment).ok_or(Error::Dead)?;
        let (frames, mut source) = self.resources.tables(space.domain).ok_or(Error::Dead)?;
        let leaf = space.root.leaf_for(frames, address, &mut source).map_err(map_error)?;
        leaf.map(frames, address, self.info.frame(), MapFlags::NO_EXECUTE).map_err(map_error)
    }

    /// Frames whose entries contradict each other: in the ledger, in the frame table, or between the two.
    pub(crate) fn ledger_violations(&self) -> u64 {
        let count = self.resources.ledger.frame_count() as u32;
        let ledger = self.resources.ledger.check_frames(0..count);
        u64::from(ledger) + self.resources.frames.check_mappings()
    }
}
