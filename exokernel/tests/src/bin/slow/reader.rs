//! Another domain, which reads one sector by a ring of its own.

use core::mem::offset_of;
use serix_abi::ring::{RingPage, Submission, operation};
use serix_abi::token::Rights;
use serix_abi::{Call, Error, FOREVER, PAGE_SIZE};
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, encode, event, fill, frame_rights, grant, until_done,
};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Failure, Session, ensure};
use serix_sys::Slot;

/// Where it sees its ring.
const RING: u64 = 0x1_0005_0000;
/// Its slots: frame of the ring, frame of the buffer, disk, event, ring.
const FRAMES: u64 = 1;
const DISK: u64 = 2;
const EVENT: u64 = 3;
const OWN_RING: u64 = 4;

/// The slice of the first; the test keeps those before it.
const FIRST_SLICE: u64 = 4;

/// The domain.
pub(crate) struct Reader {
    child: Child,
    /// The delegation of the frame that it reads to.
    pub(crate) buffer: Slot,
    page: Slot,
    sectors: Slot,
    ended: Slot,
}

fn half(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// A ring page with one submission, which is not shown yet.
fn ring_page() -> [u8; PAGE_SIZE] {
    let submission = Submission { segment_count: 1, length: 512, ..Submission::default() };
    let first = u32::from(operation::READ) | u32::from(submission.segment_count) << 8;
    let words = [half(first, DISK as u32), 0, 0, half(512, FRAMES as u32), half(0, 1)];
    let mut page = [0; PAGE_SIZE];
    let at = offset_of!(RingPage, submissions);
    for (place, word) in page[at..].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    page
}

impl Reader {
    /// It gets the sectors at a place of the disk, runs, and ends with status 0 if its transfer ended with `wanted`.
    pub(crate) fn new(
        session: &mut Session,
        disk: Slot,
        place: u64,
        wanted: u32,
    ) -> Result<Self, Failure> {
        let completed = RING + offset_of!(RingPage, completions) as u64;
        let length = if wanted == 0 { 512 } else { 0 };
        let bind = |at: u64| Operation::Call(Call::Bind, [BYTES + at, 48, 0, 0, 0, 0], None);
        let operations = [
            bind(0),
            bind(48),
            bind(96),
            Operation::Call(Call::EventCreate, [0; 6], None),
            Operation::Call(Call::RingCreate, [0, 0, EVENT, 1, 0, 0], None),
            Operation::Write(RING, 1),
            Operation::Call(Call::RingSubmit, [OWN_RING, 0, 0, 0, 0, 0], None),
            Operation::Call(Call::EventWait, [EVENT, 1, FOREVER, 0, 0, 0], None),
            Operation::Read(RING + 8, 1),
            Operation::Read(completed + 8, half(wanted, length)),
            Operation::Call(Call::RingDestroy, [OWN_RING, 0, 0, 0, 0, 0], None),
        ];
        let ended = event()?;
        let unit = session.take_frames(2);
        fill(session, unit, &ring_page())?;
        let frames = session.frames;
        let (child, (page, buffer, sectors)) =
            Child::with_page_for(session, ended, Script::default(), |domain| {
                let (page, first) = grant(frames, unit, 1, frame_rights(), domain)?;
                let (buffer, second) = grant(frames, unit + 1, 1, frame_rights(), domain)?;
                let (sectors, third) = grant(disk, 8 * place, 8, Rights::READ, domain)?;
                let mut tokens = [0; 144];
                tokens[..48].copy_from_slice(&first);
                tokens[48..96].copy_from_slice(&second);
                tokens[96..].copy_from_slice(&third);
                let script = Script { operations: &operations, bytes: &tokens };
                Ok((encode(script), (page, buffer, sectors)))
            })?;
        let space = child.second_environment()?;
        let map = [space.0.into(), RING, page.0.into(), 0, 1, DATA.0];
        call(Call::MapRange, &map)?;
        let slices = session.slices.ok_or(Error::Denied)?;
        let given = [slices.0.into(), FIRST_SLICE + place, 1, child.domain.0.into()];
        call(Call::SliceAssign, &given)?;
        Ok(Self { child, buffer, page, sectors, ended })
    }

    /// Waits until its submission was made, as far as can be told from outside: it had two of its slices.
    pub(crate) fn await_submission(&self) -> Check {
        let pause = event()?;
        let waited = call(Call::EventWait, &[pause.0.into(), 1, raw::now_ns() + 300_000_000]);
        ensure!(waited == Err(Error::TimedOut), "{waited:?}");
        serix_sys::call::unbind(pause)?;
        Ok(())
    }

    pub(crate) fn has_ended(&self) -> Result<bool, Failure> {
        let status = call(Call::DomainStatus, &[self.child.domain.0.into()])?;
        Ok(status != 0)
    }

    /// Its script's: 0, or the number of the first operation that went another way. What is no exit is larger.
    pub(crate) fn status(&self) -> Result<u64, Failure> {
        let status = call(Call::DomainStatus, &[self.child.domain.0.into()])?;
        Ok(if status >> 32 == 1 { status & 0xFFFF_FFFF } else { status })
    }

    pub(crate) fn end(self) -> Check {
        until_done(Call::DomainDestroy, self.child.domain)?;
        for delegation in [self.sectors, self.buffer, self.page, self.child.frames] {
            match until_done(Call::Revoke, delegation) {
                // Taken back by the test already.
                Ok(_) | Err(Error::BadSlot) => {}
                Err(other) => return Err(other.into()),
            }
        }
        serix_sys::call::unbind(self.ended)?;
        Ok(())
    }
}
