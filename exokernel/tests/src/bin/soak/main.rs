//! Four dispatchers on four cores do everything at once, at random: map, unmap, protect, copy, delegate, revoke, make and end
//! environments and domains, signal, yield, read the disk. `option = seed=N` and `option = seconds=N`.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod actor;
mod children;
mod pages;

use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicU64};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{Place, Worker, now_ns};
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::{Check, Session, ensure, ensure_eq, program, run, tests};
use serix_session::SessionStart;
use serix_sys::{Slot, call as sys};

program!(session);

/// Dispatchers at work.
pub(crate) const ACTORS: usize = 4;
/// Seconds where the manifest says nothing.
const SECONDS: u64 = 20;
/// How long an actor may seem to do nothing, in nanoseconds of a clock that a busy host slows down.
const STUCK_NS: u64 = 60_000_000_000;
/// Between two looks at the actors.
const LOOK_NS: u64 = 20_000_000;
/// Looks between two walks of the ledger.
const LOOKS_PER_WALK: u64 = 50;
/// Frames for the page tables and objects of all.
const ACCOUNT: u64 = 1024;

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[tests!["soak": everything_at_once]])
}

/// What the main dispatcher and the actors share.
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    pub(crate) failed: AtomicBool,
    pub(crate) seed: AtomicU64,
    /// Slots: environment, frames, event, disk.
    pub(crate) slots: [AtomicU64; 4],
    /// Sectors of the disk.
    pub(crate) sectors: AtomicU64,
    /// Address of the pages that all actors change.
    pub(crate) common: AtomicU64,
    pub(crate) actors: [Actor; ACTORS],
    /// Operations by core.
    pub(crate) cores: [AtomicU64; 8],
    /// Operations by kind.
    pub(crate) kinds: [AtomicU64; 16],
}

/// What an actor starts with, and how far it is.
pub(crate) struct Actor {
    /// First of its frames, first of its addresses, slot of the slices of a core, number of its dispatcher.
    pub(crate) first_unit: AtomicU64,
    pub(crate) window: AtomicU64,
    pub(crate) slices: AtomicU64,
    pub(crate) number: AtomicU64,
    pub(crate) ring: [AtomicU64; 6],
    pub(crate) operations: AtomicU64,
}

pub(crate) static SHARED: Shared = Shared {
    stop: AtomicBool::new(false),
    failed: AtomicBool::new(false),
    seed: AtomicU64::new(0),
    slots: [const { AtomicU64::new(0) }; 4],
    sectors: AtomicU64::new(0),
    common: AtomicU64::new(0),
    actors: [const {
        Actor {
            first_unit: AtomicU64::new(0),
            window: AtomicU64::new(0),
            slices: AtomicU64::new(0),
            number: AtomicU64::new(0),
            ring: [const { AtomicU64::new(0) }; 6],
            operations: AtomicU64::new(0),
        }
    }; ACTORS],
    cores: [const { AtomicU64::new(0) }; 8],
    kinds: [const { AtomicU64::new(0) }; 16],
};

fn everything_at_once(session: &mut Session) -> Check {
    let seed = session.number_option("seed").unwrap_or_else(now_ns);
    let seconds = session.number_option("seconds").unwrap_or(SECONDS);
    line(format_args!("SEED {seed} for {seconds} s"));
    SHARED.seed.store(seed, SeqCst);
    let event = prepare(session)?;
    for index in 0..ACTORS {
        let worker = Worker::new(session, Place::Own, actor::main, index as u64)?;
        SHARED.actors[index].number.store(worker.number, SeqCst);
    }
    let result = watch(session, event, seconds);
    SHARED.stop.store(true, SeqCst);
    let ended = end(session, event);
    report();
    result?;
    ended?;
    ensure!(!SHARED.failed.load(SeqCst), "seed {seed}: an actor found something wrong");
    own_everything(session)
}

/// Gives each actor frames, addresses, slices and a ring.
fn prepare(session: &mut Session) -> Result<Slot, serix_kernel_tests::Failure> {
    session.fund_self(ACCOUNT)?;
    let event = Slot(sys::event_create()? as u32);
    let (disk, sectors) = session.disk.unwrap_or((Slot::NONE, 0));
    SHARED.sectors.store(sectors, SeqCst);
    for (place, slot) in SHARED.slots.iter().zip([session.environment, session.frames, event, disk])
    {
        place.store(slot.0.into(), SeqCst);
    }
    SHARED.common.store(session.take_addresses(pages::COMMON), SeqCst);
    let slices = session.slices_by_core()?;
    for (actor, slices) in SHARED.actors.iter().zip(slices) {
        let (slices, _) = slices.ok_or(serix_abi::Error::Unsupported)?;
        actor.slices.store(slices.0.into(), SeqCst);
        actor.first_unit.store(session.take_frames(actor::FRAMES), SeqCst);
        actor.window.store(session.take_addresses(pages::WINDOW), SeqCst);
        let ring = TestRing::new(session)?;
        actor.ring.iter().zip(ring.parts()).for_each(|(place, part)| place.store(part, SeqCst));
    }
    Ok(event)
}

/// Looks after the actors until the time is over: all go on, on all cores, and the ledger is right.
fn watch(session: &Session, event: Slot, seconds: u64) -> Check {
    let end = now_ns() + seconds * 1_000_000_000;
    let mut seen = [(0, now_ns()); ACTORS];
    let mut looks = 0;
    while now_ns() < end && !SHARED.failed.load(SeqCst) {
        restart(session);
        let _ = sys::event_wait(event, 1 << 63, now_ns() + LOOK_NS);
        looks += 1;
        for (index, (actor, (count, since))) in SHARED.actors.iter().zip(&mut seen).enumerate() {
            let now = actor.operations.load(SeqCst);
            if now != *count {
                (*count, *since) = (now, now_ns());
            }
            ensure!(now_ns() < *since + STUCK_NS, "actor {index} is stuck after {now} operations");
        }
        if looks % LOOKS_PER_WALK == 0 && session.has_option("audit") {
            ensure_eq!(sys::ledger_check(session.log), Ok(0), "the ledger after {looks} looks");
        }
    }
    let cores = [0, 1, 2, 3].map(|core: usize| SHARED.cores[core].load(SeqCst));
    ensure!(cores.iter().all(|count| *count > 0), "operations by core: {cores:?}");
    Ok(())
}

/// Lets those run that yielded to another and that nobody yielded to.
fn restart(session: &Session) {
    for actor in &SHARED.actors {
        // Busy is whoever is not parked.
        let _ = sys::dispatcher_start(session.environment, actor.number.load(SeqCst));
    }
}

/// Waits until all actors have put away what they had.
fn end(session: &Session, event: Slot) -> Check {
    let until = now_ns() + STUCK_NS;
    while SHARED.actors.iter().any(|actor| actor.operations.load(SeqCst) != actor::ENDED) {
        ensure!(now_ns() < until, "not all actors end");
        restart(session);
        let _ = sys::event_wait(event, 1 << 63, now_ns() + LOOK_NS);
    }
    Ok(())
}

fn report() {
    let all = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(SeqCst)).sum::<u64>();
    let kinds = SHARED.kinds.each_ref().map(|count| count.load(SeqCst));
    line(format_args!("operations: {}, by kind {kinds:?}", all(&SHARED.kinds)));
    let cores = SHARED.cores.each_ref().map(|count| count.load(SeqCst));
    line(format_args!("operations by core: {cores:?}"));
}

/// No frame was lost: each can be mapped where it was.
fn own_everything(session: &mut Session) -> Check {
    let view = session.take_addresses(actor::FRAMES);
    for actor in &SHARED.actors {
        let first = actor.first_unit.load(SeqCst);
        session.map(
            session.environment,
            view,
            first,
            actor::FRAMES,
            serix_kernel_tests::session::DATA,
        )?;
        session.unmap(session.environment, view, actor::FRAMES)?;
        for unit in first..first + actor::FRAMES {
            ensure_eq!(sys::mapping_count(session.frames, unit), Ok(0), "mappings of {unit}");
        }
    }
    Ok(())
}
