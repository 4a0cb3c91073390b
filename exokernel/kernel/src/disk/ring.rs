//! Transfer rings of domains.
use crate::domain::Signal;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::ring::{Completion, SUBMISSIONS, Submission};
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
    /// What waits for its turn at a disk: the disk, and the submission as it was copied.
    pub(super) waiting: Option<(usize, Submission)>,
    /// Neighbours in the disk's queue.
    pub(super) next: Option<u32>,
    pub(super) previous: Option<u32>,
    /// When devices were told to let go of its transfers, if none has ended since.
    pub(super) let_go_since: Option<u64>,
}

impl Ring {
    /// Transfers in flight, with the one that waits.
    pub(crate) fn in_flight(&self) -> u32 {
        self.cookies.iter().flatten().count() as u32 + u32::from(self.waiting.is_some())
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
        let page = self.own_page(caller, frames, unit)?;
        let index = self.rings.next().ok_or(Error::TableFull)?;
        let node = self.object_node(caller, Kind::Ring, index)?;
        let taken = self.resources.take_object(caller);
        let frame = taken.inspect_err(|_| self.drop_node(node))?;
        let Some(shared) = SharedRing::new(&mut self.resources.frames, page) else {
            self.resources.put_object(caller, frame);
            self.drop_node(node);
            return Err(Error::Denied);
        };
        let cookies = [None; SUBMISSIONS];
        let ring = Ring {
            domain: caller,
            node,
            shared,
            signal,
            cookies,
            waiting: None,
            next: None,
            previous: None,
            let_go_since: None,
        };
        self.rings.insert(frame, ring);
        self.resources.count_object(caller, Kind::Ring, true);
        self.resources.bind_node(caller, node, Rights::CONTROL, index).inspect_err(|_| {
            let _ = self.ring_end_step(index);
        })
    }

    /// Ends a ring; `Busy` while transfers are in flight, `Again` while there are delegations of it.
    pub(crate) fn ring_end_step(&mut self, index: u32) -> Result<(), Error> {
        let ring = self.rings.get(index).ok_or(Error::Dead)?;
        let (domain, node) = (ring.domain, ring.node);
        if ring.in_flight() > 0 {
            return Err(Error::Busy);
        }
        if self.delegations_end_step(domain, node) {
            return Err(Error::Again);
        }
        if let Some((frame, ring)) = self.rings.remove_value(index) {
            ring.shared.release(&mut self.resources.frames);
            self.resources.put_object(ring.domain, frame);
            self.resources.count_object(ring.domain, Kind::Ring, false);
            self.drop_node(ring.node);
        }
        Ok(())
    }

    /// A frame of the calling domain that becomes a page which the kernel writes.
    pub(crate) fn own_page(
        &self,
        caller: u32,
        frames: u32,
        unit: u64,
    ) -> Result<FrameNumber, Error> {
        let rights = Rights::MAP.with(Rights::WRITE);
        let binding = self.resources.lookup(caller, frames, Kind::Frames, rights)?;
        let frame = binding.range.unit(unit).ok_or(Error::BadArgument)? as u32;
        let owner = self.resources.domains.get(caller).ok_or(Error::Dead)?.id;
        let own = self.resources.ledger.is_mappable_by(Frame(frame), owner);
        own.then_some(FrameNumber(frame)).ok_or(Error::Denied)
    }

    /// Writes a completion and signals the ring's event.
    pub(crate) fn ring_complete(&mut self, index: u32, completion: Completion) {
        let Some(ring) = self.rings.get_mut(index) else { return };
        ring.shared.complete(completion);
        let signal = ring.signal;
        self.send(signal);
    }
}
