//! Other domains and environments, which run the agent: a few instructions that work off a script.
//!
//! A child domain has frames of its own, delegated by the test, and an address space with four pages: the agent's code, its
//! script, its dispatcher page and a stack. What it finds it answers by its exit status: 0, or the number of the first
//! operation with another status than the script expects.

use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::token::Rights;
use serix_abi::{Call, Error, NATIVE_TAG, PAGE_SIZE};
use serix_sys::Slot;

use crate::arena;
use crate::raw::{self, call};
use crate::session::{DATA, Session};

/// Where the agent's code is.
pub const CODE: u64 = 0x1_0000_0000;
/// Where its script is.
pub const SCRIPT: u64 = 0x1_0001_0000;
/// Where its dispatcher page is.
pub const PAGE: u64 = 0x1_0002_0000;
/// What hostile children write to.
pub const TARGET: u64 = 0x1_0006_0000;
/// Where the code of hostile children is.
pub const ATTACK: u64 = 0x1_0007_0000;
/// End of its stack.
pub const STACK_END: u64 = 0x1_0004_0000;
/// Frames of the child's account.
const ACCOUNT: u64 = 48;
/// Frames that a child uses itself.
pub const FRAMES_USED: u64 = 4 + ACCOUNT;
/// Where the arena holds what calls of this module read.
const SCRATCH: usize = arena::SIZE - 256;

/// The slice that tests give away; they keep those before it.
const GIVEN_SLICE: u64 = 4;

/// One operation of a script.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// A native call, and the status that it must answer.
    Call(Call, [u64; 6], Option<Error>),
    /// Reads a word, which must be this.
    Read(u64, u64),
    /// Writes a word.
    Write(u64, u64),
    /// Goes on at an address.
    Jump(u64),
    /// Runs for ever, with this in rdi.
    Spin(u64),
}

impl Operation {
    fn words(self) -> [u64; 8] {
        match self {
            Self::Call(call, a, status) => {
                let number = u64::from(NATIVE_TAG) << 32 | call as u64;
                let status = status.map_or(0, |error| error as u64);
                [number, a[0], a[1], a[2], a[3], a[4], a[5], status]
            }
            Self::Read(address, wanted) => [-3_i64 as u64, address, 0, 0, 0, 0, 0, wanted],
            Self::Write(address, value) => [-4_i64 as u64, address, value, 0, 0, 0, 0, 0],
            Self::Jump(address) => [-5_i64 as u64, address, 0, 0, 0, 0, 0, 0],
            Self::Spin(value) => [-2_i64 as u64, value, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// A child domain that has not started yet.
pub struct Child {
    /// The domain.
    pub domain: Slot,
    /// Its environment.
    pub environment: Slot,
    /// Its frames: a delegation.
    pub frames: Slot,
    /// The sealed token of those frames.
    pub token: [u8; 48],
    /// First of them in the test's own slot.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// Delegates units of a slot; the delegation's slot and the token.
///
/// # Errors
/// As `Grant`.
pub fn grant(
    slot: Slot,
    first: u64,
    count: u64,
    rights: Rights,
    domain: Slot,
) -> Result<(Slot, [u8; 48]), Error> {
    let words = [first, count, u64::from(rights.0) | u64::from(domain.0) << 32];
    let parameters = arena::put_words(SCRATCH, &words);
    let arguments = [slot.0.into(), parameters, arena::address(SCRATCH + 64)];
    loop {
        match call(Call::Grant, &arguments) {
            Err(Error::Again) => {}
            other => return other.map(|slot| (Slot(slot as u32), arena::get(SCRATCH + 64))),
        }
    }
}

/// Repeats a call until it does not answer `Again`.
///
/// # Errors
/// As the call.
pub fn until_done(what: Call, slot: Slot) -> Result<u64, Error> {
    loop {
        match call(what, &[slot.0.into()]) {
            Err(Error::Again) => {}
            other => return other,
        }
    }
}

/// A fresh event.
///
/// # Errors
/// As `EventCreate`.
pub fn event() -> Result<Slot, Error> {
    call(Call::EventCreate, &[]).map(|slot| Slot(slot as u32))
}

fn make_domain(event: Slot) -> Result<Slot, Error> {
    call(Call::DomainCreate, &[event.0.into(), 1]).map(|slot| Slot(slot as u32))
}

/// Puts bytes into a frame of the session's own, which is mapped nowhere afterwards.
///
/// # Errors
/// As map and unmap.
///
/// # Panics
/// If the page cannot be written.
pub fn fill(session: &mut Session, unit: u64, bytes: &[u8]) -> Result<(), Error> {
    let address = session.take_addresses(1);
    session.map(session.environment, address, unit, 1, DATA)?;
    for at in (0..PAGE_SIZE).step_by(8) {
        let mut word = [0; 8];
        let rest = bytes.get(at..).unwrap_or(&[]);
        let length = rest.len().min(8);
        word[..length].copy_from_slice(&rest[..length]);
        raw::write(address + at as u64, u64::from_le_bytes(word)).expect("the page is mapped");
    }
    session.unmap(session.environment, address, 1)
}

/// Where the script's page holds bytes of the test's choice: tokens.
pub const BYTES: u64 = SCRIPT + BYTES_AT as u64;
const BYTES_AT: usize = 3072;

/// What is in a child's script page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Script<'a> {
    /// What its dispatcher runs.
    pub operations: &'a [Operation],
    /// At [`BYTES`].
    pub bytes: &'a [u8],
}

/// The page that holds a script.
#[must_use]
pub fn encode(script: Script<'_>) -> [u8; PAGE_SIZE] {
    let mut bytes = [0; PAGE_SIZE];
    let end = [-1_i64 as u64, 0, 0, 0, 0, 0, 0, 0];
    let words = script.operations.iter().map(|operation| operation.words()).chain([end]).flatten();
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes[BYTES_AT..BYTES_AT + script.bytes.len()].copy_from_slice(script.bytes);
    bytes
}

impl Child {
    /// A domain with `extra` frames beyond those that it uses itself; its end signals bit 0 of `event`.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn new(
        session: &mut Session,
        event: Slot,
        extra: u64,
        script: Script<'_>,
    ) -> Result<Self, Error> {
        let domain = make_domain(event)?;
        Self::made(session, domain, extra, script, &[])
    }

    /// As [`Self::new`], with one more frame, the last, that holds `page`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_code(
        session: &mut Session,
        event: Slot,
        script: Script<'_>,
        page: &[u8],
    ) -> Result<Self, Error> {
        let domain = make_domain(event)?;
        Self::made(session, domain, 1, script, page)
    }

    /// As [`Self::new`], with bytes at [`BYTES`] that are made for the new domain, and what else came of it.
    ///
    /// # Errors
    /// As [`Self::new`], and of `bytes`.
    pub fn with_bytes<const N: usize, T>(
        session: &mut Session,
        event: Slot,
        operations: &[Operation],
        bytes: impl FnOnce(&Session, Slot) -> Result<([u8; N], T), Error>,
    ) -> Result<(Self, T), Error> {
        let domain = make_domain(event)?;
        let (bytes, other) = bytes(session, domain)?;
        let script = Script { operations, bytes: &bytes };
        Ok((Self::made(session, domain, 0, script, &[])?, other))
    }

    /// As [`Self::with_code`], with a page that is made for the new domain, and what else came of it.
    ///
    /// # Errors
    /// As [`Self::new`], and of `page`.
    pub fn with_page_for<T>(
        session: &mut Session,
        event: Slot,
        script: Script<'_>,
        page: impl FnOnce(Slot) -> Result<([u8; PAGE_SIZE], T), Error>,
    ) -> Result<(Self, T), Error> {
        let domain = make_domain(event)?;
        let (page, other) = page(domain)?;
        Ok((Self::made(session, domain, 1, script, &page)?, other))
    }

    fn made(
        session: &mut Session,
        domain: Slot,
        extra: u64,
        script: Script<'_>,
        last_page: &[u8],
    ) -> Result<Self, Error> {
        let count = FRAMES_USED + extra;
        let first = session.take_frames(count);
        fill(session, first, raw::agent_code())?;
        fill(session, first + 1, &encode(script))?;
        fill(session, first + 2, &[])?;
        fill(session, first + 3, &[])?;
        if extra > 0 {
            fill(session, first + count - 1, last_page)?;
        }
        let (frames, token) = grant(session.frames, first, count, frame_rights(), domain)?;
        session.fund(domain, frames, 4, ACCOUNT)?;
        let none = serix_abi::NO_SLOT.into();
        let environment = call(Call::EnvironmentCreate, &[domain.0.into(), none])?;
        let child =
            Self { domain, environment: Slot(environment as u32), frames, token, first, count };
        let code = MapFlags::default();
        for (unit, address, flags) in
            [(0, CODE, code), (1, SCRIPT, DATA), (2, PAGE, DATA), (3, STACK_END - 4096, DATA)]
        {
            child.map(address, unit, flags)?;
        }
        Ok(child)
    }

    /// Maps one of its frames in its environment.
    ///
    /// # Errors
    /// As `MapRange`.
    pub fn map(&self, address: u64, unit: u64, flags: MapFlags) -> Result<u64, Error> {
        let (space, frames) = (self.environment.0.into(), self.frames.0.into());
        // The child's addresses are not the test's: the guard need not look.
        call(Call::MapRange, &[space, address, frames, unit, 1, flags.0])
    }

    /// A second environment of the domain, whose script is in the frame that [`Self::with_code`] filled, with a dispatcher.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn second_environment(&self) -> Result<Slot, Error> {
        let none = serix_abi::NO_SLOT.into();
        let space = call(Call::EnvironmentCreate, &[self.domain.0.into(), none])?;
        let map = |address: u64, unit: u64, flags: MapFlags| {
            call(Call::MapRange, &[space, address, self.frames.0.into(), unit, 1, flags.0])
        };
        map(CODE, 0, MapFlags::default())?;
        map(SCRIPT, self.count - 1, DATA)?;
        // The agent needs no stack: its frame becomes the dispatcher page.
        let parameters = DispatcherParameters { unit: 3, ..self.parameters() };
        raw::dispatcher(Slot(space as u32), &parameters)?;
        Ok(Slot(space as u32))
    }

    /// Gives the domain a slice.
    ///
    /// # Errors
    /// `Denied` if the session has none to give.
    pub fn give_slice(&self, session: &Session) -> Result<(), Error> {
        let slices = session.slices.ok_or(Error::Denied)?;
        let arguments = [slices.0.into(), GIVEN_SLICE, 1, self.domain.0.into()];
        call(Call::SliceAssign, &arguments).map(drop)
    }

    /// The parameters of a dispatcher that runs the agent.
    #[must_use]
    pub fn parameters(&self) -> DispatcherParameters {
        DispatcherParameters {
            frames: self.frames.0,
            unit: 2,
            page_address: PAGE,
            rip: CODE,
            rsp: STACK_END,
            argument: SCRIPT,
            upcalls_disabled: 1,
            ..DispatcherParameters::default()
        }
    }

    /// Runs it with these parameters until it ends; why it did.
    ///
    /// # Errors
    /// `TimedOut` if it runs for five seconds; `Denied` if the session has no slices to give.
    pub fn run(
        &self,
        session: &Session,
        event: Slot,
        parameters: &DispatcherParameters,
    ) -> Result<(u32, u32), Error> {
        const PATIENCE_NS: u64 = 5_000_000_000;
        raw::dispatcher(self.environment, parameters)?;
        self.give_slice(session)?;
        let deadline = raw::now_ns() + PATIENCE_NS;
        call(Call::EventWait, &[event.0.into(), 1, deadline])?;
        let status = call(Call::DomainStatus, &[self.domain.0.into()])?;
        Ok(((status >> 32) as u32, status as u32))
    }

    /// Ends it and takes everything back.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn end(self) -> Result<(), Error> {
        until_done(Call::DomainDestroy, self.domain)?;
        until_done(Call::Revoke, self.frames)?;
        Ok(())
    }
}

/// Another environment of the own domain, which runs a script when it is yielded to.
pub struct Helper {
    /// The environment.
    pub environment: Slot,
    /// The test's address of a page that the script sees at [`BYTES`]'s page, [`SCRIPT`].
    pub script_page: u64,
}

impl Helper {
    /// Makes one, with a dispatcher that has not run.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn new(session: &mut Session, operations: &[Operation]) -> Result<Self, Error> {
        let first = session.take_frames(4);
        fill(session, first, raw::agent_code())?;
        fill(session, first + 1, &encode(Script { operations, bytes: &[] }))?;
        fill(session, first + 2, &[])?;
        let none = u64::from(serix_abi::NO_SLOT);
        let environment = Slot(call(Call::EnvironmentCreate, &[none, none])? as u32);
        for (unit, address, flags) in [
            (0, CODE, MapFlags::default()),
            (1, SCRIPT, DATA),
            (2, PAGE, DATA),
            (3, STACK_END - 4096, DATA),
        ] {
            session.map(environment, address, first + unit, 1, flags)?;
        }
        let parameters = DispatcherParameters {
            frames: session.frames.0,
            unit: first as u32 + 2,
            page_address: PAGE,
            rip: CODE,
            rsp: STACK_END,
            argument: SCRIPT,
            upcalls_disabled: 1,
            ..DispatcherParameters::default()
        };
        raw::dispatcher(environment, &parameters)?;
        let script_page = session.take_addresses(1);
        session.map(session.environment, script_page, first + 1, 1, DATA)?;
        Ok(Self { environment, script_page })
    }
}

/// Rights on frames that tests delegate.
#[must_use]
pub const fn frame_rights() -> Rights {
    Rights::READ
        .with(Rights::WRITE)
        .with(Rights::EXECUTE)
        .with(Rights::MAP)
        .with(Rights::DMA)
        .with(Rights::GRANT)
        .with(Rights::REVOKE)
}
