//! One transfer: copied from the ring once, checked, handed to the device; and its end.
use super::ring::Ring;
use super::{CONSOLE_LINK, Devices};
use crate::capability::DEVICE_SHIFT;
use crate::debug::log_line;
use crate::kernel::Kernel;
use core::cell::Cell;
use serix_abi::Error;
use serix_abi::ring::{
    Completion, SECTOR_SIZE, SEGMENTS, SUBMISSIONS, Submission, operation, status,
};
use serix_abi::token::{Kind, Rights};
use serix_core::ids::Frame;
use serix_hal::FrameNumber;
use serix_hal::cpu::time;
use serix_hal::device::block::{self, Completed, Operation};
use serix_hal::device::disk::Disk;
use serix_hal::device::runs::{Run, Runs};
use serix_hal::device::stream;
use serix_hal::memory::frames::FrameTable;

/// Transfers that one device can have in flight.
const MAX_FAILED: usize = 32;
const _: () = assert!(MAX_FAILED >= 2 * stream::TRANSFERS && MAX_FAILED >= block::REQUESTS);
/// How long a disk may take to let go of a transfer, in nanoseconds.
const PATIENCE_NS: u64 = 5_000_000_000;

/// A checked submission.
enum Transfer {
    Block {
        device: usize,
        operation: Operation,
        sector: u64,
        runs: Runs,
    },
    StreamRead(Runs),
    StreamWrite(Runs),
    /// Nothing to do for the device.
    Done,
}

/// A device's tag: ring in the upper half, place among its cookies in the lower.
fn tag(ring: u32, place: usize) -> u64 {
    u64::from(ring) << 32 | place as u64
}

impl Kernel {
    /// Takes submissions until the ring is empty or full of transfers in flight, or one has to wait for its turn; how many. The rest is
    /// taken when that one had it.
    pub(crate) fn ring_submit(&mut self, index: u32) -> Result<u64, Error> {
        let mut taken = 0;
        loop {
            let ring = self.rings.get_mut(index).ok_or(Error::Dead)?;
            let in_flight = ring.in_flight();
            let full = in_flight as usize == SUBMISSIONS || !ring.shared.has_room(in_flight + 1);
            if full || ring.waiting.is_some() {
                return Ok(taken);
            }
            let Some(submission) = ring.shared.take() else { return Ok(taken) };
            taken += 1;
            if let Err(status) = self.start(index, &submission) {
                let completion = Completion { cookie: submission.cookie, status, length: 0 };
                self.ring_complete(index, completion);
            }
        }
    }

    fn start(&mut self, index: u32, submission: &Submission) -> Result<(), u32> {
        let domain = self.rings.get(index).ok_or(status::DENIED)?.domain;
        match self.check(domain, submission)? {
            Transfer::Block { device, .. } if self.must_wait(device) => {
                self.wait_for_turn(index, device, submission)
            }
            _ => self.start_now(index, submission),
        }
    }

    /// Starts a transfer whose turn it is. Checked now: what it names may have been taken back while it waited.
    pub(super) fn start_now(&mut self, index: u32, submission: &Submission) -> Result<(), u32> {
        let domain = self.rings.get(index).ok_or(status::DENIED)?.domain;
        let transfer = self.check(domain, submission)?;
        let ring = self.rings.get_mut(index).ok_or(status::DENIED)?;
        let place = ring.cookies.iter().position(Option::is_none).ok_or(status::BUSY)?;
        if matches!(transfer, Transfer::Done) {
            let done = Completion { cookie: submission.cookie, status: status::OK, length: 0 };
            self.ring_complete(index, done);
            return Ok(());
        }
        if !hand_over(&mut self.devices, &mut self.resources.frames, transfer, tag(index, place)) {
            return Err(status::BUSY);
        }
        let ring: &mut Ring = self.rings.get_mut(index).ok_or(status::DENIED)?;
        ring.cookies[place] = Some(submission.cookie);
        Ok(())
    }

    fn check(&self, domain: u32, submission: &Submission) -> Result<Transfer, u32> {
        match submission.operation {
            operation::READ => self.check_block(domain, submission, Operation::Read),
            operation::WRITE => self.check_block(domain, submission, Operation::Write),
            operation::FLUSH => self.check_block(domain, submission, Operation::Flush),
            operation::STREAM_READ => {
                self.check_stream(domain, submission, Rights::READ, true).map(Transfer::StreamRead)
            }
            operation::STREAM_WRITE => self
                .check_stream(domain, submission, Rights::WRITE, false)
                .map(Transfer::StreamWrite),
            _ => Err(status::BAD_ARGUMENT),
        }
    }

    fn check_block(
        &self,
        domain: u32,
        submission: &Submission,
        operation: Operation,
    ) -> Result<Transfer, u32> {
        let right = if operation == Operation::Read { Rights::READ } else { Rights::WRITE };
        let target = self
            .resources
            .lookup(domain, submission.target, Kind::Blocks, right)
            .map_err(|_| status::DENIED)?;
        let device = target.object as usize;
        let disk = self.devices.disks.get(device).ok_or(status::DENIED)?;
        if !disk.is_up() {
            return Err(status::IO);
        }
        if operation == Operation::Flush {
            if !disk.can_flush() {
                return Ok(Transfer::Done);
            }
            return Ok(Transfer::Block { device, operation, sector: 0, runs: Runs::NONE });
        }
        let sectors = u64::from(submission.length) / SECTOR_SIZE as u64;
        let aligned = (submission.length as usize).is_multiple_of(SECTOR_SIZE)
            && usize::from(submission.offset).is_multiple_of(SECTOR_SIZE);
        let units = target.range.part(submission.sector, sectors).filter(|units| !units.is_empty());
        let (Some(units), true) = (units, aligned) else { return Err(status::BAD_ARGUMENT) };
        let runs = self.runs(domain, submission, operation == Operation::Read)?;
        let sector = units.base() & ((1 << DEVICE_SHIFT) - 1);
        Ok(Transfer::Block { device, operation, sector, runs })
    }

    fn check_stream(
        &self,
        domain: u32,
        submission: &Submission,
        right: Rights,
        device_writes: bool,
    ) -> Result<Runs, u32> {
        let target = self
            .resources
            .lookup(domain, submission.target, Kind::Console, right)
            .map_err(|_| status::DENIED)?;
        if target.object != CONSOLE_LINK || self.devices.link.is_none() {
            return Err(status::DENIED);
        }
        self.runs(domain, submission, device_writes)
    }

    /// The bytes of a submission as runs of frames that the domain owns and may use for DMA.
    fn runs(&self, domain: u32, submission: &Submission, device_writes: bool) -> Result<Runs, u32> {
        let access = if device_writes { Rights::WRITE } else { Rights::READ };
        let rights = Rights::DMA.with(access);
        let binding = self
            .resources
            .lookup(domain, submission.frames, Kind::Frames, rights)
            .map_err(|_| status::DENIED)?;
        let owner = self.resources.domains.get(domain).ok_or(status::DENIED)?.id;
        let count = usize::from(submission.segment_count);
        if count > SEGMENTS || submission.offset >= 4096 || submission.length == 0 {
            return Err(status::BAD_ARGUMENT);
        }
        let mut runs = Runs::NONE;
        let mut left = submission.length;
        let mut offset = u32::from(submission.offset);
        for segment in &submission.segments[..count] {
            if left == 0 {
                break;
            }
            let part = binding.range.part(segment.unit.into(), segment.count.into());
            let part = part.filter(|part| part.count() <= 1024).ok_or(status::BAD_ARGUMENT)?;
            let bytes = (part.count() as u32 * 4096).checked_sub(offset).filter(|bytes| *bytes > 0);
            let length = bytes.ok_or(status::BAD_ARGUMENT)?.min(left);
            let first = part.base() as u32;
            let frames = (offset + length).div_ceil(4096);
            let owned = (first..first + frames)
                .all(|frame| self.resources.ledger.is_mappable_by(Frame(frame), owner));
            if !owned {
                return Err(status::DENIED);
            }
            runs.push(Run { frame: FrameNumber(first), offset, length });
            left -= length;
            offset = 0;
        }
        if left == 0 { Ok(runs) } else { Err(status::BAD_ARGUMENT) }
    }

    /// A device interrupted: completes what ended.
    pub(crate) fn complete_transfers(&mut self) {
        for disk in 0..self.devices.disks.len() {
            while let Some(ended) = self.devices.disks[disk].complete(&mut self.resources.frames) {
                self.info.count_block();
                self.finish(ended);
            }
            self.give_turns(disk);
        }
        while let Some(ended) =
            self.devices.link.as_mut().and_then(|link| link.complete(&mut self.resources.frames))
        {
            self.info.count_stream();
            self.finish(ended);
        }
    }

    /// Makes devices let go of the transfers of a ring that ends, or whose frames are taken: the link at once, a disk if it ends none of them
    /// for [`PATIENCE_NS`]. They are reset for it, and all that was in flight fails.
    pub(crate) fn abandon_transfers(&mut self, index: u32) {
        if let Some(submission) = self.leave_turn(index) {
            let cookie = submission.cookie;
            self.ring_complete(index, Completion { cookie, status: status::IO, length: 0 });
        }
        let of_ring = |tag: u64| (tag >> 32) as u32 == index;
        if self.devices.link.as_ref().is_some_and(|link| link.has(of_ring)) {
            self.reset_link();
        }
        let now = time::now_ns();
        let Some(ring) = self.rings.get_mut(index).filter(|ring| ring.in_flight() > 0) else {
            return;
        };
        let since = *ring.let_go_since.get_or_insert(now);
        if now.saturating_sub(since) >= PATIENCE_NS {
            let holds = |disk: &Disk| disk.has(of_ring);
            if let Some(disk) = self.devices.disks.iter().position(holds) {
                self.reset_disk(disk);
            }
        }
    }

    fn reset_link(&mut self) {
        let mut failed = [None; MAX_FAILED];
        let mut places = failed.iter_mut();
        let Some(link) = self.devices.link.as_mut() else { return };
        let up = link.reset(&mut self.resources.frames, |ended| {
            places.next().into_iter().for_each(|place| *place = Some(ended));
        });
        if !up {
            log_line!("the link did not come up after a reset");
            self.devices.link = None;
        }
        failed.into_iter().flatten().for_each(|ended| self.finish(ended));
    }

    #[cold]
    fn reset_disk(&mut self, disk: usize) {
        log_line!("disk{disk} does not let go of frames that are taken back: it is reset");
        let mut failed = [None; MAX_FAILED];
        let mut places = failed.iter_mut();
        let up = self.devices.disks[disk].reset(&mut self.resources.frames, |ended| {
            places.next().into_iter().for_each(|place| *place = Some(ended));
        });
        if !up {
            log_line!("disk{disk} did not come up after a reset");
        }
        failed.into_iter().flatten().for_each(|ended| self.finish(ended));
        self.give_turns(disk);
    }

    /// Whether transfers of a domain are in flight, which the devices are made to let go of.
    pub(crate) fn abandon_transfers_of(&mut self, domain: u32) -> bool {
        let found = Cell::new(None);
        let of_domain = |tag: u64| {
            let index = (tag >> 32) as u32;
            let is = self.rings.get(index).is_some_and(|ring| ring.domain == domain);
            found.set(found.get().or(is.then_some(index)));
            is
        };
        let flying = self.devices.disks.iter().any(|disk| disk.has(of_domain))
            || self.devices.link.as_ref().is_some_and(|link| link.has(of_domain));
        if let Some(index) = found.get() {
            self.abandon_transfers(index);
        }
        flying
    }

    fn finish(&mut self, ended: Completed) {
        let (index, place) = ((ended.tag >> 32) as u32, ended.tag as usize % SUBMISSIONS);
        let Some(ring) = self.rings.get_mut(index) else { return };
        let Some(cookie) = ring.cookies[place].take() else { return };
        ring.let_go_since = None;
        let status = if ended.ok { status::OK } else { status::IO };
        self.ring_complete(index, Completion { cookie, status, length: ended.length });
    }
}

fn hand_over(devices: &mut Devices, frames: &mut FrameTable, transfer: Transfer, tag: u64) -> bool {
    match transfer {
        Transfer::Block { device, operation, sector, runs } => {
            devices.disks[device].submit(frames, operation, sector, runs, tag)
        }
        Transfer::StreamRead(runs) => {
            devices.link.as_mut().is_some_and(|link| link.read(frames, runs, tag))
        }
        Transfer::StreamWrite(runs) => {
            devices.link.as_mut().is_some_and(|link| link.write(frames, runs, tag))
        }
        Transfer::Done => true,
    }
}
