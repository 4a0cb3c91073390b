//! What a dispatcher carries from core to core, and what it must not find there.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::NO_SLOT;
use serix_kernel_tests::child::until_done;
use serix_kernel_tests::raw::{
    core_number, crew, fs_base, now_ns, set_fs_base, vectors, vectors_survive,
};
use serix_kernel_tests::session::CORES;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

use crate::{clear_shared, comes, patience, shared, with_crew};

pub(crate) const TESTS: &[Test] = tests!["moving":
    registers_move_with_a_dispatcher, vectors_of_others_are_never_seen];

const STOP: usize = 0;
/// Times that vectors or FS base were wrong.
const WRONG: usize = 1;
/// Times that a worker found itself on another core.
const MOVES: usize = 8;

/// Keeps patterns in its registers and looks for them, wherever it is.
fn carry(who: u64) {
    let pattern = 0x1000_0000 * (who + 1);
    set_fs_base(pattern);
    let mut core = core_number();
    let mut round = 0;
    while shared(STOP).load(SeqCst) == 0 {
        let kept = vectors_survive(pattern + round * 16, 1_000_000) && fs_base() == pattern;
        if !kept {
            shared(WRONG).fetch_add(1, SeqCst);
        }
        let now = core_number();
        shared(MOVES + who as usize).fetch_add(u64::from(now != core), SeqCst);
        (core, round) = (now, round + 1);
    }
}

/// Takes the slices of one core after the other away, so that who runs there goes on elsewhere.
fn registers_move_with_a_dispatcher(session: &mut Session) -> Check {
    const ROUNDS: usize = 40;
    clear_shared();
    let slices = session.slices_by_core()?;
    ensure!(slices.iter().all(Option::is_some), "slices of four cores: {slices:?}");
    let workers = crew(session)?;
    // One core stays free for whoever has to move.
    for (worker, who) in workers.iter().take(2).zip(0..) {
        worker.begin(carry, who)?;
    }
    let result = (0..ROUNDS).try_for_each(|round| take_away(slices[round % CORES]));
    shared(STOP).store(1, SeqCst);
    for worker in &workers {
        worker.finish(patience())?;
    }
    result?;
    ensure_eq!(shared(WRONG).load(SeqCst), 0, "registers that were not kept");
    let moves = [0, 1].map(|who| shared(MOVES + who).load(SeqCst));
    ensure!(moves.iter().all(|moves| *moves > 0), "moves: {moves:?}");
    for (slot, _) in slices.into_iter().flatten() {
        sys::unbind(slot)?;
    }
    Ok(())
}

/// All slices of a core are another domain's for a while.
fn take_away(slices: Option<(Slot, u64)>) -> Check {
    let Some((slot, count)) = slices else { return Ok(()) };
    let domain = Slot(sys::domain_create(Slot(NO_SLOT), 0, 0)? as u32);
    sys::slice_assign(slot, 0, count, domain)?;
    let end = now_ns() + 15_000_000;
    let _ = comes(|| now_ns() > end);
    until_done(serix_abi::Call::DomainDestroy, domain)?;
    Ok(())
}

/// Gives up its core again and again: its vectors are then empty or as they were, never another's.
fn give_up(who: u64) {
    let event = Slot(shared(7).load(SeqCst) as u32);
    let pattern = 0x5000_0000 * (who + 1);
    for round in 0..60 {
        let kept = vectors_survive(pattern, 1000);
        let _ = sys::event_wait(event, 1 << who, now_ns() + 100_000 * (round % 7));
        let own = |(at, half): (usize, &u64)| *half == 0 || *half == pattern + at as u64 / 2;
        if !kept || !vectors().iter().enumerate().all(own) {
            shared(WRONG).fetch_add(1, SeqCst);
        }
        let _ = sys::event_signal(event, 1 << ((who + round) % 4));
    }
    shared(MOVES).fetch_add(1, SeqCst);
}

fn vectors_of_others_are_never_seen(session: &mut Session) -> Check {
    clear_shared();
    let event = Slot(sys::event_create()? as u32);
    shared(7).store(event.0.into(), SeqCst);
    with_crew(session, give_up, |_| {
        give_up(3);
        Ok(())
    })?;
    ensure_eq!(shared(WRONG).load(SeqCst), 0, "registers of somebody else");
    ensure_eq!(shared(MOVES).load(SeqCst), 4);
    sys::unbind(event)?;
    Ok(())
}
