//! A child domain of each player, which runs and may be robbed, changed and ended by any call.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::{Call, NO_SLOT, PAGE_SIZE};
use serix_kernel_tests::child::{ATTACK, PAGE, STACK_END, TARGET, frame_rights};
use serix_kernel_tests::raw::{self, Attack, attack_code, call, worker_write};
use serix_kernel_tests::session::DATA;
use serix_sys::{Slot, call as sys};

use crate::arguments::give_frames;
use crate::{SHARED, own};

/// Frames of the account.
const ACCOUNT: u64 = 20;
/// Code, page, target, account.
pub(crate) const FRAMES: u64 = 3 + ACCOUNT;
/// The slice that it gets; those before are the session's own.
const SLICE: u64 = 4;

/// Makes the player's child, unless the last one is still there; slots of its domain, environment and frames.
pub(crate) fn make(player: usize) -> Option<[u64; 3]> {
    let first = SHARED.players[player][1].load(SeqCst);
    let domain = sys::domain_create(Slot(own(4) as u32), 1 << 40, 0).ok()?;
    match furnish(player, first, domain) {
        Some((environment, frames)) => Some([domain, environment, frames]),
        None => {
            // Its frames are with another still, or others did something to it meanwhile.
            let _ = sys::domain_destroy(Slot(domain as u32));
            None
        }
    }
}

fn furnish(player: usize, first: u64, domain: u64) -> Option<(u64, u64)> {
    fill(player, first)?;
    let frames = give_frames(player, first, FRAMES, domain, frame_rights())?;
    call(Call::Fund, &[domain, frames, 3, ACCOUNT]).ok()?;
    let environment = call(Call::EnvironmentCreate, &[domain, NO_SLOT.into()]).ok()?;
    let code = MapFlags::default();
    for (unit, address, flags) in [(0, ATTACK, code), (1, PAGE, DATA), (2, TARGET, DATA)] {
        call(Call::MapRange, &[environment, address, frames, unit, 1, flags.0]).ok()?;
    }
    let parameters = DispatcherParameters {
        frames: frames as u32,
        unit: 1,
        page_address: PAGE,
        rip: ATTACK + Attack::Count.offset(),
        rsp: STACK_END,
        upcalls_disabled: 1,
        ..DispatcherParameters::default()
    };
    raw::dispatcher(Slot(environment as u32), &parameters).ok()?;
    let slices = own(5 + player);
    call(Call::SliceAssign, &[slices, SLICE, 1, domain]).ok()?;
    Some((environment, frames))
}

/// Puts the code into its frame.
fn fill(player: usize, unit: u64) -> Option<()> {
    let (space, frames) = (own(1), own(0));
    let view = SHARED.players[player][2].load(SeqCst);
    call(Call::MapRange, &[space, view, frames, unit, 1, DATA.0]).ok()?;
    let mut page = [0; PAGE_SIZE];
    let code = attack_code();
    page[..code.len()].copy_from_slice(code);
    let words = page.chunks_exact(8).enumerate().take(code.len() / 8 + 1);
    let written = words.into_iter().all(|(at, chunk)| {
        let word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        worker_write(view + at as u64 * 8, word).is_ok()
    });
    call(Call::Unmap, &[space, view, 1]).ok()?;
    written.then_some(())
}
