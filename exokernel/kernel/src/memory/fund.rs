//! Handing frames over to an account.
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::token::{Kind, Rights};
use serix_core::ids::Frame;
use serix_hal::FrameNumber;

/// Frames of one call.
const FRAMES_PER_CALL: u64 = 256;

impl Kernel {
    /// Moves frames of a slot to the account of `domain`, which owns them; how many.
    pub(crate) fn fund(
        &mut self,
        caller: u32,
        domain: u32,
        frames: u32,
        first: u64,
        count: u64,
    ) -> Result<u64, Error> {
        let binding = self.resources.lookup(caller, frames, Kind::Frames, Rights::MAP)?;
        let units = binding.range.part(first, count).ok_or(Error::BadArgument)?;
        let count = count.min(FRAMES_PER_CALL);
        let mut done = 0;
        while done < count {
            match self.fund_one(domain, (units.base() + done) as u32) {
                Ok(()) => done += 1,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn fund_one(&mut self, domain: u32, frame: u32) -> Result<(), Error> {
        let number = FrameNumber(frame);
        let resources = &mut self.resources;
        if resources.frames.mappings(number) > 0 || resources.frames.pins(number) > 0 {
            return Err(Error::Busy);
        }
        let account = &mut resources.domains.get_mut(domain).ok_or(Error::Dead)?.account;
        resources.ledger.give(account, Frame(frame)).map_err(|_| Error::Denied)
    }
}
