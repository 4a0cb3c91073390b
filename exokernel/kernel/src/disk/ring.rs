//! Transfer rings of domains.
use crate::ipc::event::Signal;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::ring::{Completion, SUBMISSIONS};
use serix_abi::token::{Kind, Rights};
use serix_core::NodeId;
use serix_core::ids::Frame;
use serix_hal::FrameNumber;
use serix_hal::device::ring::SharedRing;

/// A domain's ring.
pub(crate) struct Ring {
    pub(crate) domain: u32,
    pub(crate) node: NodeId,
    pub(crate) shared: SharedRing,
    /// What a completion signals.
    signal: Signal,
    /// Cookies of the transfers in flight.
    pub(crate) cookies: [Option<u64>; SUBMISSIONS],
}

impl Ring {
    /// Transfers in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.cookies.iter().flatten().count() as u32
    }
}

impl Kernel {
    /// Makes a ring in a frame of the caller.
    pub(crate) fn ring_create(
        &mut self,
        caller: u32,
        frames: u32,
        unit: u64,
        event: u32,
        bits: u64,
    ) -> Result<u32, Error> {
        let signal = self.signal_for(caller, event, bits)?;
        let rights = Rights::MAP.with(Rights::WRITE);
        let binding = self.resources.lookup(caller, frames, Kind::Frames, rights)?;
        let unit = binding.range.unit(unit).ok_or(Error::BadArgument)? as u32;
        let owner = self.resources.domains.get(caller).ok_or(Error::Dead)?.id;
        if !self.resources.ledger.is_mappable_by(Frame(unit), owner) {
            return Err(Error::Denied);
        }
        let index = self.rings.next().ok_or(Error::TableFull)?;
        let node = self.object_node(caller, Kind::Ring, index)?;
        let Some(frame) = self.resources.take_object(caller) else {
            self.drop_node(node);
            return Err(Error::NoFrames);
        };
        let Some(shared) = SharedRing::new(&mut self.resources.frames, FrameNumber(unit)) else {
            self.resources.put_object(caller, frame);
            self.drop_node(node);
            return Err(Error::Denied);
        };
        let cookies = [None; SUBMISSIONS];
        self.rings.insert(frame, Ring { domain: caller, node, shared, signal, cookies });
        self.resources.bind_node(caller, node, Rights::CONTROL, index).inspect_err(|_| {
            let _ = self.ring_end(index);
        })
    }

    /// Ends a ring; `Busy` while transfers are in flight.
    pub(crate) fn ring_end(&mut self, index: u32) -> Result<(), Error> {
        if self.rings.get(index).ok_or(Error::Dead)?.in_flight() > 0 {
            return Err(Error::Busy);
        }
        if let Some((frame, ring)) = self.rings.remove_value(index) {
            ring.shared.release(&mut self.resources.frames);
            self.resources.put_object(ring.domain, frame);
            self.drop_node(ring.node);
        }
        Ok(())
    }

    /// Writes a completion and signals the ring's event.
    pub(crate) fn ring_complete(&mut self, index: u32, completion: Completion) {
        let Some(ring) = self.rings.get_mut(index) else { return };
        ring.shared.complete(completion);
        let signal = ring.signal;
        self.send(signal);
    }
}
