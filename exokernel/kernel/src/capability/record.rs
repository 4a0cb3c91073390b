//! A domain's record: what it is asked to give back, and what was taken from it.
use crate::domain::Signal;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::record::{Asked, Taken};
use serix_hal::FrameNumber;
use serix_hal::memory::record::SharedRecord;

/// The page, and the event that tells of news in it.
pub(crate) struct Record {
    page: SharedRecord,
    signal: Signal,
}

impl Record {
    /// Writes a question; what to signal.
    pub(super) fn ask(&mut self, asked: Asked) -> Signal {
        self.page.ask(asked);
        self.signal
    }

    /// Writes what was taken; what to signal.
    pub(super) fn append(&mut self, taken: Taken) -> Signal {
        self.page.append(taken);
        self.signal
    }
}

impl Kernel {
    /// Gives the calling domain its record; it can have one.
    pub(crate) fn record_set(
        &mut self,
        caller: u32,
        frames: u32,
        unit: u64,
        event: u32,
        bits: u64,
    ) -> Result<(), Error> {
        let signal = self.signal_for(caller, event, bits)?;
        let frame: FrameNumber = self.own_page(caller, frames, unit)?;
        if self.resources.domains.get(caller).ok_or(Error::Dead)?.record.is_some() {
            return Err(Error::Busy);
        }
        let page = SharedRecord::new(&mut self.resources.frames, frame).ok_or(Error::Denied)?;
        let domain = self.resources.domains.get_mut(caller).ok_or(Error::Dead)?;
        domain.record = Some(Record { page, signal });
        Ok(())
    }

    /// Lets go of a domain's record.
    pub(super) fn record_end(&mut self, index: u32) {
        let record = self.resources.domains.get_mut(index).and_then(|domain| domain.record.take());
        if let Some(record) = record {
            record.page.release(&mut self.resources.frames);
        }
    }
}
