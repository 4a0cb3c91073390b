//! Random native calls: live slots mixed with garbage, made by one player or several, on as many cores as there are, with
//! environments, gates and domains beside them that run.
//!
//! `option = seed=N` replays a run (with one player call by call; with several, the calls of each), `option = calls=N` sets the
//! length of it for all players together, `option = seconds=N` ends it earlier, `option = players=N` says how many there are.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod arguments;
mod children;
mod neighbours;
mod player;
mod sweep;

use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicU64};
use serix_abi::Error;
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{Place, Worker, now_ns};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, arena, ensure, ensure_eq, program, run, tests};
use serix_session::{Purpose, SessionStart};
use serix_sys::{Slot, call as sys};

program!(session);

/// Calls where the manifest says nothing.
const CALLS: u64 = 100_000;
/// Most players.
pub(crate) const PLAYERS: usize = 4;
/// Frames that the players play with.
pub(crate) const FRAMES: u64 = 512;
/// Pages that nobody names: calls that run over the end of the players' addresses stay in them.
const GAP: u64 = 512;
/// Between two looks at the players.
const LOOK_NS: u64 = 20_000_000;
/// How long a player may seem to do nothing, in nanoseconds of a clock that a busy host slows down.
const STUCK_NS: u64 = 120_000_000_000;

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[tests!["fuzz": random_calls]])
}

/// What all share.
pub(crate) struct Shared {
    pub(crate) failed: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) audit: AtomicBool,
    pub(crate) seed: AtomicU64,
    /// Players.
    pub(crate) count: AtomicU64,
    /// Calls that each player makes.
    pub(crate) calls_each: AtomicU64,
    /// Calls made.
    pub(crate) calls: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// Answers by status.
    pub(crate) answers: [AtomicU64; 16],
    /// Slots that the session has for good: frames, environment, session memory, log, an event, slices of each core.
    pub(crate) own: [AtomicU64; 9],
    /// Slots in use when the players began, a bit each: they are not emptied.
    pub(crate) kept: [AtomicU64; 16],
    /// First frame and first page of the players.
    pub(crate) unit: AtomicU64,
    pub(crate) space: AtomicU64,
    /// Of each player: number of its dispatcher, frames of its child, and a page to fill them through.
    pub(crate) players: [[AtomicU64; 3]; PLAYERS],
    /// Calls by core.
    pub(crate) cores: [AtomicU64; PLAYERS],
    /// Frames that went to the session's own account.
    pub(crate) funded: AtomicU64,
}

pub(crate) static SHARED: Shared = Shared {
    failed: AtomicBool::new(false),
    stop: AtomicBool::new(false),
    audit: AtomicBool::new(false),
    seed: AtomicU64::new(0),
    count: AtomicU64::new(0),
    calls_each: AtomicU64::new(0),
    calls: AtomicU64::new(0),
    ended: AtomicU64::new(0),
    answers: [const { AtomicU64::new(0) }; 16],
    own: [const { AtomicU64::new(0) }; 9],
    kept: [const { AtomicU64::new(0) }; 16],
    unit: AtomicU64::new(0),
    space: AtomicU64::new(0),
    players: [const { [const { AtomicU64::new(0) }; 3] }; PLAYERS],
    cores: [const { AtomicU64::new(0) }; PLAYERS],
    funded: AtomicU64::new(0),
};

/// The slot at a place of [`Shared::own`].
pub(crate) fn own(place: usize) -> u64 {
    SHARED.own[place].load(SeqCst)
}

/// Whether a slot is one that is not emptied.
pub(crate) fn is_kept(slot: u64) -> bool {
    let word = SHARED.kept.get((slot / 64) as usize);
    word.is_some_and(|word| word.load(SeqCst) & 1 << (slot % 64) != 0)
}

fn random_calls(session: &mut Session) -> Check {
    let seed = session.number_option("seed").unwrap_or_else(now_ns);
    let calls = session.number_option("calls").unwrap_or(CALLS);
    let players = session.number_option("players").unwrap_or(1).clamp(1, PLAYERS as u64);
    let seconds = session.number_option("seconds").unwrap_or(u64::MAX >> 32);
    line(format_args!("SEED {seed} for {calls} calls of {players} players"));
    SHARED.seed.store(seed, SeqCst);
    SHARED.count.store(players, SeqCst);
    SHARED.calls_each.store(calls.div_ceil(players), SeqCst);
    SHARED.audit.store(session.has_option("audit"), SeqCst);
    let event = prepare(session)?;
    for player in 0..players as usize {
        let worker = Worker::new(session, Place::Own, player::main, player as u64)?;
        let unit = session.take_frames(children::FRAMES);
        let parts = [worker.number, unit, session.take_addresses(1)];
        SHARED.players[player]
            .iter()
            .zip(parts)
            .for_each(|(place, part)| place.store(part, SeqCst));
    }
    neighbours::make(session)?;
    // The last frames and addresses: who runs over their end comes to what nobody has.
    SHARED.unit.store(session.take_frames(FRAMES), SeqCst);
    SHARED.space.store(session.take_addresses(FRAMES + GAP), SeqCst);
    for slot in 0..1024 {
        if sys::slot_query(Slot(slot)).is_ok() {
            SHARED.kept[slot as usize / 64].fetch_or(1 << (slot % 64), SeqCst);
        }
    }
    let begun = now_ns();
    let result = watch(session, event, players, begun.saturating_add(seconds * 1_000_000_000));
    SHARED.stop.store(true, SeqCst);
    report(begun);
    result?;
    ensure!(!SHARED.failed.load(SeqCst), "seed {seed}: a player found something wrong");
    let made = SHARED.calls.load(SeqCst);
    let good = SHARED.answers[0].load(SeqCst);
    ensure!(good > made / 100, "{good} calls of {made} succeeded");
    let cores = SHARED.cores.iter().take(players as usize);
    ensure!(cores.into_iter().all(|core| core.load(SeqCst) > 0), "a core made no call");
    neighbours::end()?;
    nothing_is_lost(session)
}

/// What the players share, and the tokens that each of them finds in its part of the arena.
fn prepare(session: &mut Session) -> Result<Slot, serix_kernel_tests::Failure> {
    let event = Slot(sys::event_create()? as u32);
    let slots = [session.frames, session.environment, session.memory, session.log, event];
    let cores = session.slices_by_core()?;
    let first = cores[0].ok_or(Error::Unsupported)?;
    let slices = cores.map(|slices| slices.unwrap_or(first).0);
    for (place, slot) in SHARED.own.iter().zip(slots.into_iter().chain(slices)) {
        place.store(slot.0.into(), SeqCst);
    }
    let purposes = [Purpose::Frames, Purpose::Log, Purpose::Environment, Purpose::SessionMemory];
    for player in 0..PLAYERS {
        for (index, purpose) in purposes.into_iter().enumerate() {
            let token = session.token(purpose).ok_or(Error::BadToken)?;
            arena::put(arguments::tokens(player) + index * 48, &token);
        }
    }
    Ok(event)
}

/// Looks after the players until they have made their calls, or the time is over.
fn watch(session: &Session, event: Slot, players: u64, end: u64) -> Check {
    let (mut seen, mut since) = (0, now_ns());
    while SHARED.ended.load(SeqCst) < players {
        if now_ns() > end {
            SHARED.stop.store(true, SeqCst);
        }
        // Those that yielded to another, and that nobody yielded to, go on. Busy is whoever is not parked.
        for player in &SHARED.players[..players as usize] {
            let _ = sys::dispatcher_start(session.environment, player[0].load(SeqCst));
        }
        let _ = sys::event_wait(event, 1 << 63, now_ns() + LOOK_NS);
        let calls = SHARED.calls.load(SeqCst);
        if calls != seen {
            (seen, since) = (calls, now_ns());
        }
        ensure!(now_ns() < since + STUCK_NS, "the players are stuck after {calls} calls");
    }
    Ok(())
}

fn report(begun: u64) {
    let answers = SHARED.answers.each_ref().map(|count| count.load(SeqCst));
    let (calls, time) = (SHARED.calls.load(SeqCst), (now_ns() - begun).max(1));
    let rate = u128::from(calls) * 1_000_000_000 / u128::from(time);
    line(format_args!("answers by status: {answers:?}"));
    let cores = SHARED.cores.each_ref().map(|count| count.load(SeqCst));
    line(format_args!("calls: {calls}, {rate} a second, by core {cores:?}"));
}

/// When all that the players made is gone, all of their frames are there but those that the own account got.
fn nothing_is_lost(session: &mut Session) -> Check {
    sweep::all();
    let first = SHARED.unit.load(SeqCst);
    let view = session.take_addresses(1);
    let mut missing = 0;
    for unit in first..first + FRAMES {
        match session.map(session.environment, view, unit, 1, DATA) {
            Ok(()) => session.unmap(session.environment, view, 1)?,
            Err(_) => missing += 1,
        }
    }
    let funded = SHARED.funded.load(SeqCst);
    ensure!(missing <= funded, "{missing} frames are missing, {funded} went to the account");
    ensure_eq!(sweep::slots_left(), 0, "slots that cannot be emptied");
    Ok(())
}
