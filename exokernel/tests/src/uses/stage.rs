//! What right uses of calls need around them.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::token::{Claim, HEADER_SIZE, Rights};
use serix_abi::{Call, Error, FOREVER, NO_SLOT, PAGE_SIZE};
use serix_session::{MAX_TOKENS, Purpose};
use serix_sys::{Slot, call as sys};

use super::{Use, whole};
use crate::arena;
use crate::check::Failure;
use crate::raw::{self, Place, Worker, call};
use crate::session::{DATA, Session};

/// Where the arena holds what calls read and write. Nothing there is aligned: the kernel copies bytes.
const PARAMETERS: usize = 16 * 1024 + 1;
const ANSWER: usize = 20 * 1024 + 1;
/// A domain gets its record once.
static HAS_RECORD: AtomicBool = AtomicBool::new(false);
/// The first slice that tests may give away.
const SLICE: u64 = 4;
const NONE: u64 = NO_SLOT as u64;

/// Objects of every kind, and room for more.
pub struct Stage {
    /// An event.
    pub event: Slot,
    /// A child domain without anything.
    pub domain: Slot,
    /// An environment beside the own one.
    pub space: Slot,
    /// A subtree that is attached nowhere.
    pub subtree: Slot,
    /// A ring without transfers.
    pub ring: Slot,
    /// A gate into [`Self::worker`].
    pub gate: Slot,
    /// An environment that runs: it is parked until it gets a slice, and gives it back at once.
    pub worker: Worker,
    /// A slot of an interrupt line and one of ports, if the session has a device.
    pub device: Option<(Slot, Slot)>,
    /// Frame and page that are the stage's to map.
    pub unit: u64,
    /// See [`Self::unit`].
    pub page: u64,
    /// A frame and a slice that may be delegated.
    pub spare_unit: u64,
    /// See [`Self::spare_unit`].
    pub spare_slice: u64,
    ring_unit: u64,
}

/// Gives each slice that it gets back to the test's own dispatcher.
fn give_back(environment: u64) {
    loop {
        let _ = sys::yield_to(Slot(environment as u32), 0);
    }
}

/// A page of zeroes that is mapped nowhere any more.
fn zero_page(session: &mut Session) -> Result<u64, Failure> {
    let (unit, address) = session.take_page()?;
    for at in (0..PAGE_SIZE as u64).step_by(8) {
        raw::write(address + at, 0)?;
    }
    session.unmap(session.environment, address, 1)?;
    Ok(unit)
}

impl Stage {
    /// Sets it up.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn new(session: &mut Session) -> Result<Self, Failure> {
        let make = |what, arguments: &[u64]| call(what, arguments).map(|slot| Slot(slot as u32));
        let event = make(Call::EventCreate, &[])?;
        let own: u64 = session.environment.0.into();
        let worker = Worker::new(session, Place::Apart, give_back, own)?;
        let (entry, stack) = worker.gate();
        let (ring_unit, unit) = (zero_page(session)?, zero_page(session)?);
        let ring_unit_made = zero_page(session)?;
        let ring = [session.frames.0.into(), ring_unit_made, event.0.into(), 1];
        let stage = Self {
            event,
            domain: make(Call::DomainCreate, &[NONE, 0])?,
            space: make(Call::EnvironmentCreate, &[NONE, NONE])?,
            subtree: make(Call::SubtreeCreate, &[NONE])?,
            ring: make(Call::RingCreate, &ring)?,
            gate: make(
                Call::GateCreate,
                &[worker.environment.0.into(), worker.number, entry, stack],
            )?,
            worker,
            device: device(session),
            unit,
            page: session.take_addresses(1),
            spare_unit: session.take_frames(1),
            spare_slice: SLICE,
            ring_unit,
        };
        // Page tables are made once, so that each use finds the same.
        for space in [session.environment, stage.space] {
            session.map(space, stage.page, stage.unit, 1, DATA)?;
            session.unmap(space, stage.page, 1)?;
        }
        Ok(stage)
    }

    fn map(&self, session: &Session, space: Slot) -> Result<[u64; 3], Failure> {
        session.map(space, self.page, self.unit, 1, DATA)?;
        Ok([space.0.into(), self.page, 1])
    }

    /// The parameters of a dispatcher that nobody starts.
    fn dispatcher(&self, session: &Session) -> u64 {
        let parameters = DispatcherParameters {
            frames: session.frames.0,
            unit: self.unit as u32,
            page_address: self.page,
            ..DispatcherParameters::default()
        };
        let DispatcherParameters { frames, unit, page_address, .. } = parameters;
        arena::put_words(PARAMETERS, &[0; 13]);
        arena::put_words(PARAMETERS, &[u64::from(frames) | u64::from(unit) << 32, page_address])
    }

    /// A bearer token for the event, and its delegation.
    fn delegation(&self) -> Result<u64, Error> {
        whole(Call::Grant, &self.grant())
    }

    fn grant(&self) -> [u64; 3] {
        let words = [0, 1, u64::from(Rights::SIGNAL.0) | NONE << 32];
        let parameters = arena::put_words(PARAMETERS, &words);
        [self.event.0.into(), parameters, arena::address(ANSWER)]
    }

    /// A right use of a call that comes back to its caller; `None` for the others, and where the machine has not what it needs.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn prepare(&mut self, session: &mut Session, what: Call) -> Result<Option<Use>, Failure> {
        let [own, frames, log] =
            [session.environment, session.frames, session.log].map(|slot| u64::from(slot.0));
        let [event, domain, space, subtree] =
            [self.event, self.domain, self.space, self.subtree].map(|slot| u64::from(slot.0));
        let (worker, number) = (u64::from(self.worker.environment.0), self.worker.number);
        let (page, unit) = (self.page, self.unit);
        let none: &[u64] = &[NONE, NONE];
        Ok(Some(match what {
            // These do not come back; `upcalls`, `escapes` and `gates` have them.
            Call::Exit | Call::EnvironmentLeave | Call::GateReply => return Ok(None),
            Call::Null | Call::Yield | Call::EventCreate => Use::of(&[]),
            Call::Write => Use::of(&[log, arena::put(PARAMETERS, b"\n"), 1]),
            Call::YieldTo => Use::of(&[own, 0]),
            Call::Bind => {
                let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
                Use::of(&[arena::put(PARAMETERS, &token), 48])
            }
            Call::Unbind => {
                let token = session.token(Purpose::Log).ok_or(Error::BadToken)?;
                let slot = sys::bind(&token)?.0.into();
                Use::of(&[slot]).undone_by(Call::Unbind, &[slot])
            }
            Call::Grant => Use::of(&self.grant()),
            Call::Revoke => {
                let delegation = self.delegation()?;
                // The deadline is past, and yet the event is looked at.
                Use::of(&[delegation, 1, NONE, 0]).undone_by(Call::Revoke, &[delegation])
            }
            Call::Map => {
                let words = [page, DATA.0, frames | unit << 32];
                let requests = arena::put_words(PARAMETERS, &words);
                Use::of(&[own, requests, 1]).undone_by(Call::Unmap, &[own, page, 1])
            }
            Call::MapRange => Use::of(&[own, page, frames, unit, 1, DATA.0])
                .undone_by(Call::Unmap, &[own, page, 1]),
            Call::Unmap | Call::InfoMap => {
                let unmap = self.map(session, session.environment)?;
                let arguments = if what == Call::Unmap { &unmap } else { &unmap[..2] };
                Use::of(arguments).undone_by(Call::Unmap, &unmap)
            }
            Call::Protect => {
                let unmap = self.map(session, session.environment)?;
                Use::of(&[own, page, 1, MapFlags::NO_EXECUTE.0]).undone_by(Call::Unmap, &unmap)
            }
            Call::CopyRange => {
                let unmap = self.map(session, session.environment)?;
                Use::of(&[own, space, page, 1])
                    .undone_by(Call::Unmap, &unmap)
                    .undone_by(Call::Unmap, &[space, page, 1])
            }
            Call::SubtreeCreate => Use::of(&none[..1]),
            Call::Attach => {
                Use::of(&[space, 5, subtree, 1]).undone_by(Call::Attach, &[space, 5, NONE])
            }
            Call::SubtreeDestroy => {
                let made = call(Call::SubtreeCreate, &none[..1])?;
                Use::of(&[made]).undone_by(what, &[made])
            }
            Call::EnvironmentCreate => Use::of(none),
            Call::EnvironmentDestroy => {
                let made = call(Call::EnvironmentCreate, none)?;
                Use::of(&[made]).undone_by(what, &[made])
            }
            Call::DispatcherCreate => {
                let made = call(Call::EnvironmentCreate, none)?;
                let parameters = self.dispatcher(session);
                Use::of(&[made, parameters]).undone_by(Call::EnvironmentDestroy, &[made])
            }
            Call::DomainCreate => Use::of(&[NONE, 0]),
            Call::DomainDestroy => {
                let made = call(Call::DomainCreate, &[NONE, 0])?;
                Use::of(&[made]).undone_by(what, &[made])
            }
            Call::DomainStatus => Use::of(&[domain]),
            Call::Fund => Use::of(&[NONE, frames, session.take_frames(1), 1]),
            Call::EventSignal => Use::of(&[event, 1]),
            Call::EventWait => {
                call(Call::EventSignal, &[event, 1])?;
                Use::of(&[event, 1, 0])
            }
            Call::RingCreate => Use::of(&[frames, self.ring_unit, event, 1]),
            Call::RingSubmit => Use::of(&[self.ring.0.into()]),
            Call::RingDestroy => {
                let made = call(Call::RingCreate, &[frames, self.ring_unit, event, 1])?;
                Use::of(&[made]).undone_by(what, &[made])
            }
            Call::SliceAssign => {
                let Some(slices) = session.slices else { return Ok(None) };
                let made = call(Call::DomainCreate, &[NONE, 0])?;
                Use::of(&[slices.0.into(), SLICE, 1, made]).undone_by(Call::DomainDestroy, &[made])
            }
            Call::SlotQuery => Use::of(&[frames, arena::address(ANSWER)]),
            Call::LedgerCheck => Use::of(&[log]),
            // The worker gives every slice back, so it needs no entries.
            Call::DispatcherEntries => {
                Use::of(&[worker, number, arena::put_words(PARAMETERS, &[0; 13])])
            }
            Call::MappingCount => Use::of(&[frames, unit]),
            Call::DispatcherStart => {
                Use::of(&[worker, number]).undone_by(Call::YieldTo, &[worker, number])
            }
            Call::GateCreate => {
                let (entry, stack) = self.worker.gate();
                Use::of(&[worker, number, entry, stack])
            }
            Call::GateCall => Use::of(&[self.gate.0.into(), 1, 2, 3, 4, FOREVER]),
            Call::RecordSet if HAS_RECORD.load(Relaxed) => return Ok(None),
            Call::RecordSet => Use::of(&[frames, self.ring_unit, event, 1]),
            Call::Surrender => {
                // The session asks itself for what it holds of its own.
                let delegation = self.delegation()?;
                let soon = raw::now_ns() + 1_000_000_000;
                let asked = call(Call::Revoke, &[delegation, soon, NONE]);
                let generation = generation(&arena::get(ANSWER));
                if asked != Err(Error::Busy) {
                    return Err(Failure::new(format_args!("asked: {asked:?}")));
                }
                Use::of(&[generation]).undone_by(Call::Revoke, &[delegation])
            }
            Call::InterruptBind => {
                let Some((line, _)) = self.device else { return Ok(None) };
                Use::of(&[line.0.into(), event, 1]).undone_by(what, &[line.0.into(), NONE])
            }
            Call::InterruptAcknowledge => {
                let Some((line, _)) = self.device else { return Ok(None) };
                let line: u64 = line.0.into();
                call(Call::InterruptBind, &[line, event, 1])?;
                Use::of(&[line]).undone_by(Call::InterruptBind, &[line, NONE])
            }
            Call::PortRead | Call::PortWrite => {
                let Some((_, ports)) = self.device else { return Ok(None) };
                Use::of(&[ports.0.into(), 0, 0])
            }
        }))
    }

    /// Ends all of it.
    ///
    /// # Errors
    /// Of the call that failed.
    pub fn end(self) -> Result<(), Failure> {
        for (what, slot) in [
            (Call::Unbind, self.gate),
            (Call::RingDestroy, self.ring),
            (Call::SubtreeDestroy, self.subtree),
            (Call::EnvironmentDestroy, self.space),
            (Call::DomainDestroy, self.domain),
            (Call::Unbind, self.event),
        ] {
            whole(what, &[slot.0.into()])?;
        }
        if let Some((line, ports)) = self.device {
            sys::unbind(line)?;
            sys::unbind(ports)?;
        }
        self.worker.destroy()?;
        Ok(())
    }

    /// Notes what a use that succeeded cannot undo.
    pub fn done(&mut self, what: Call) {
        HAS_RECORD.fetch_or(what == Call::RecordSet, Relaxed);
    }
}

/// The generation in a token.
fn generation(token: &[u8; 48]) -> u64 {
    let header = token.first_chunk::<HEADER_SIZE>();
    header.and_then(Claim::decode).map_or(0, |claim| claim.generation)
}

/// The session's interrupt line and its first ports, bound.
fn device(session: &Session) -> Option<(Slot, Slot)> {
    let tokens = &session.start.tokens[..(session.start.token_count as usize).min(MAX_TOKENS)];
    let bind = |purpose: Purpose| {
        let token = tokens.iter().find(|token| token.purpose == purpose as u32)?;
        sys::bind(&token.token).ok()
    };
    Some((bind(Purpose::Interrupt)?, bind(Purpose::Ports)?))
}
