//! A player: a dispatcher of the session that makes random calls.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;
use serix_abi::Call;
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{call, call_number, core_number, harms};
use serix_kernel_tests::{Check, Random, ensure, ensure_eq};
use serix_sys::{Slot, call as sys};

use crate::arguments::{Arguments, is_forbidden};
use crate::children;
use crate::{SHARED, own, sweep};

/// Calls between two walks of the ledger, of all players together.
const CALLS_PER_CHECK: u64 = 10_000;
/// Calls between two looks at the core, which are slow.
const CALLS_PER_LOOK: u64 = 64;
/// What the player's own stream is told apart by.
const STREAM: u32 = 56;

/// Makes a player's share of the calls.
pub(crate) fn main(player: u64) {
    let seed = SHARED.seed.load(SeqCst) ^ player << STREAM;
    let mut arguments = Arguments::new(Random::new(seed), player as usize);
    let count = SHARED.calls_each.load(SeqCst);
    let is_over = || SHARED.stop.load(SeqCst) || SHARED.failed.load(SeqCst);
    for round in 0..count {
        if is_over() {
            break;
        }
        if let Err(failure) = one(&mut arguments) {
            complain(player, round, format_args!("{failure}"));
        }
    }
    SHARED.ended.fetch_add(1, SeqCst);
}

fn complain(player: u64, round: u64, what: fmt::Arguments<'_>) {
    SHARED.failed.store(true, SeqCst);
    let seed = SHARED.seed.load(SeqCst);
    line(format_args!("WRONG player {player}, call {round}, seed {seed}: {what}"));
}

/// One call; after so many, a look at the whole.
fn one(arguments: &mut Arguments) -> Check {
    let status = random_call(arguments);
    ensure!(status < 16, "status {status}");
    SHARED.answers[status as usize].fetch_add(1, SeqCst);
    if arguments.random.below(CALLS_PER_LOOK) == 0 {
        let core = core_number() as usize % SHARED.cores.len();
        SHARED.cores[core].fetch_add(CALLS_PER_LOOK, SeqCst);
    }
    if !(SHARED.calls.fetch_add(1, SeqCst) + 1).is_multiple_of(CALLS_PER_CHECK) {
        return Ok(());
    }
    if SHARED.audit.load(SeqCst) {
        ensure_eq!(sys::ledger_check(Slot(own(3) as u32)), Ok(0), "the ledger");
    }
    if arguments.random.below(4) == 0 {
        sweep::all();
    }
    arguments.forget_child();
    if let Some(slots) = children::make(arguments.player) {
        slots.into_iter().for_each(|slot| arguments.know(slot));
    }
    Ok(())
}

/// Makes one call; its status.
fn random_call(arguments: &mut Arguments) -> u64 {
    loop {
        let number = arguments.random.below(Call::ALL.len() as u64 + 2) as u32;
        let Some(what) = Call::from_number(number) else { return call_number(number) };
        let values = arguments.of(what);
        if is_forbidden(what, &values) || harms(what, &values) {
            continue;
        }
        return match call(what, &values) {
            Ok(value) => {
                arguments.learn(what, &values, value);
                0
            }
            Err(error) => error as u64,
        };
    }
}
