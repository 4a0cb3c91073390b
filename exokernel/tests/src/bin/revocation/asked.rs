//! A holder that is asked: it answers, or it does not.
use serix_abi::record::{RecordPage, Taken};
use serix_abi::token::Kind;
use serix_abi::{Call, Error, FOREVER, PAGE_SIZE};
use serix_kernel_tests::child::{
    BYTES, Child, Operation, Script, encode, event, frame_rights, grant, until_done,
};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::session::{DATA, Session};
use serix_kernel_tests::{Check, Test, ensure, ensure_eq, tests};
use serix_sys::Slot;

pub(crate) const TESTS: &[Test] = tests!["asked":
    who_lets_go_loses_it_at_once,
    who_does_not_answer_loses_it_at_the_deadline,
    a_question_is_for_its_holder,
    without_a_deadline_nobody_is_asked];

/// Where the holder has its record.
const RECORD: u64 = 0x2_0000_0000;
/// Frames that it is asked for.
const FRAMES: u64 = 8;
const ENTRY: u64 = RECORD + core::mem::offset_of!(RecordPage, entries) as u64;

/// A domain that holds frames and has a record, and runs a script.
struct Holder {
    child: Child,
    /// The delegation that it will be asked for.
    wanted: Slot,
    /// The delegation of its record's frame.
    record: Slot,
    /// Its first unit in the session's slot.
    unit: u64,
    ended: Slot,
}

/// Slots of the holder: its record's frame, the frames, its event.
const OWN_RECORD: u64 = 0;
const OWN_FRAMES: u64 = 1;
const OWN_EVENT: u64 = 2;

impl Holder {
    /// `script` gets the generation of the frames' grant.
    fn new<const N: usize>(
        session: &mut Session,
        script: impl FnOnce(u64) -> [Operation; N],
    ) -> Result<Self, Error> {
        let ended = event()?;
        let unit = session.take_frames(FRAMES + 1);
        let frames = session.frames;
        let (child, (record, wanted)) =
            Child::with_page_for(session, ended, Script::default(), |domain| {
                let (record, one) = grant(frames, unit + FRAMES, 1, frame_rights(), domain)?;
                let (wanted, other) = grant(frames, unit, FRAMES, frame_rights(), domain)?;
                let mut tokens = [0; 96];
                tokens[..48].copy_from_slice(&one);
                tokens[48..].copy_from_slice(&other);
                let generation = u64::from_le_bytes(other[8..16].try_into().expect("eight bytes"));
                let start = [
                    Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None),
                    Operation::Call(Call::Bind, [BYTES + 48, 48, 0, 0, 0, 0], None),
                    Operation::Call(Call::EventCreate, [0; 6], None),
                    Operation::Call(Call::RecordSet, [OWN_RECORD, 0, OWN_EVENT, 1, 0, 0], None),
                ];
                let mut operations = [Operation::Spin(0); 32];
                let rest = script(generation);
                operations[..4].copy_from_slice(&start);
                operations[4..4 + N].copy_from_slice(&rest);
                let operations = &operations[..4 + N];
                Ok((encode(Script { operations, bytes: &tokens }), (record, wanted)))
            })?;
        let space = child.second_environment()?;
        let map = [space.0.into(), RECORD, record.0.into(), 0, 1, DATA.0];
        call(Call::MapRange, &map)?;
        child.give_slice(session)?;
        Ok(Self { child, wanted, record, unit, ended })
    }

    /// How its script ended.
    fn status(&self) -> Result<(u32, u32), Error> {
        call(Call::EventWait, &[self.ended.0.into(), 1, raw::now_ns() + PATIENCE_NS])?;
        let status = call(Call::DomainStatus, &[self.child.domain.0.into()])?;
        Ok(((status >> 32) as u32, status as u32))
    }

    fn end(self) -> Check {
        until_done(Call::DomainDestroy, self.child.domain)?;
        for delegation in [self.wanted, self.record, self.child.frames] {
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

const PATIENCE_NS: u64 = 5_000_000_000;
const MOMENT_NS: u64 = 50_000_000;

fn wait() -> Operation {
    Operation::Call(Call::EventWait, [OWN_EVENT, 1, FOREVER, 0, 0, 0], None)
}

/// The record's count of questions and of losses, and what the first loss was.
fn reads(asks: u64, taken: u64) -> [Operation; 2] {
    [
        Operation::Read(RECORD, asks),
        Operation::Read(RECORD + core::mem::offset_of!(RecordPage, taken) as u64, taken),
    ]
}

/// The last word of an entry: kind and whether it was forced.
fn manner(forced: u64) -> Operation {
    let at = ENTRY + core::mem::offset_of!(Taken, kind) as u64;
    Operation::Read(at, Kind::Frames as u64 | forced << 32)
}

/// Lets the holder come to its wait.
fn let_run() -> Result<(), Error> {
    let event = event()?;
    match call(Call::EventWait, &[event.0.into(), 1, raw::now_ns() + MOMENT_NS]) {
        Err(Error::TimedOut) => {}
        other => return other.map(drop),
    }
    serix_sys::call::unbind(event).map(drop)
}

/// The frames are the session's again, and zero.
fn frames_are_back(session: &mut Session, unit: u64) -> Check {
    let address = session.take_addresses(FRAMES);
    session.map(session.environment, address, unit, FRAMES, DATA)?;
    for page in 0..FRAMES {
        for at in (0..PAGE_SIZE as u64).step_by(8) {
            ensure_eq!(raw::read(address + page * PAGE_SIZE as u64 + at)?, 0, "page {page}");
        }
    }
    session.unmap(session.environment, address, FRAMES)?;
    Ok(())
}

fn who_lets_go_loses_it_at_once(session: &mut Session) -> Check {
    let holder = Holder::new(session, |generation| {
        let [asks, none] = reads(1, 0);
        let [_, taken] = reads(1, 1);
        let surrender = Operation::Call(Call::Surrender, [generation, 0, 0, 0, 0, 0], None);
        let which = Operation::Read(ENTRY, generation);
        let wrong =
            Operation::Call(Call::Surrender, [generation + 1, 0, 0, 0, 0, 0], Some(Error::Stale));
        [wait(), asks, none, wrong, surrender, wait(), taken, which, manner(0)]
    })?;
    let_run()?;
    let answer = event()?;
    let deadline = raw::now_ns() + PATIENCE_NS;
    let revoke = [holder.wanted.0.into(), deadline, answer.0.into(), 4];
    ensure_eq!(call(Call::Revoke, &revoke), Err(Error::Busy), "it was asked");
    ensure_eq!(call(Call::EventWait, &[answer.0.into(), 4, deadline]), Ok(4), "it let go");
    let done = loop {
        match call(Call::Revoke, &revoke) {
            Err(Error::Again) => {}
            other => break other,
        }
    };
    ensure_eq!(done, Ok(0));
    ensure!(raw::now_ns() < deadline, "the deadline was waited for");
    ensure_eq!(holder.status()?, (1, 0), "what the holder saw");
    frames_are_back(session, holder.unit)?;
    serix_sys::call::unbind(answer)?;
    holder.end()
}

fn who_does_not_answer_loses_it_at_the_deadline(session: &mut Session) -> Check {
    let holder = Holder::new(session, |_| {
        let [asks, taken] = reads(1, 1);
        [wait(), asks, wait(), taken, manner(1)]
    })?;
    let_run()?;
    let deadline = raw::now_ns() + MOMENT_NS;
    let none = u64::from(serix_abi::NO_SLOT);
    let revoke = [holder.wanted.0.into(), deadline, none, 0];
    let mut asked = 0_u32;
    let done = loop {
        match call(Call::Revoke, &revoke) {
            Err(Error::Busy) => asked += 1,
            Err(Error::Again) => ensure!(raw::now_ns() >= deadline, "it was taken too soon"),
            other => break other,
        }
    };
    ensure_eq!(done, Ok(0));
    ensure!(asked > 0, "nobody was asked");
    ensure_eq!(holder.status()?, (1, 0), "what the holder saw");
    frames_are_back(session, holder.unit)?;
    holder.end()
}

/// Nobody can let go of what another was asked for.
fn a_question_is_for_its_holder(session: &mut Session) -> Check {
    let holder = Holder::new(session, |_| [Operation::Spin(0)])?;
    let deadline = raw::now_ns() + PATIENCE_NS;
    let none = u64::from(serix_abi::NO_SLOT);
    let revoke = [holder.wanted.0.into(), deadline, none, 0];
    ensure_eq!(call(Call::Revoke, &revoke), Err(Error::Busy));
    for generation in 0..2000 {
        ensure_eq!(call(Call::Surrender, &[generation]), Err(Error::Stale), "{generation}");
    }
    ensure_eq!(call(Call::Revoke, &revoke), Err(Error::Busy), "still asked");
    holder.end()
}

fn without_a_deadline_nobody_is_asked(session: &mut Session) -> Check {
    let holder = Holder::new(session, |_| {
        let [no_asks, taken] = reads(0, 1);
        [wait(), no_asks, taken, manner(1)]
    })?;
    let_run()?;
    until_done(Call::Revoke, holder.wanted)?;
    ensure_eq!(holder.status()?, (1, 0), "what the holder saw");
    frames_are_back(session, holder.unit)?;
    let _ = OWN_FRAMES;
    holder.end()
}
