//! What is unmapped, protected or revoked on one core is so on all when the call returns.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::info::row;
use serix_abi::map::MapFlags;
use serix_abi::{Call, NO_SLOT};
use serix_kernel_tests::child::{frame_rights, grant, until_done};
use serix_kernel_tests::histograms;
use serix_kernel_tests::raw::{self, call, worker_read, worker_write};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::Slot;

use crate::{clear_shared, comes, shared, with_crew};

pub(crate) const TESTS: &[Test] = tests!["shooting":
    unmapped_pages_fault_on_every_core, protected_pages_refuse_every_core,
    replaced_pages_are_seen_on_every_core, copied_pages_refuse_writes_of_every_core,
    revoked_frames_are_never_written, shootdowns_were_counted_if_asked];

/// Times that a page is taken away.
const ROUNDS: u64 = 25;

/// Words of [`shared`].
const EPOCH: usize = 0;
const STOP: usize = 1;
const PAGE: usize = 2;
/// Touches that went through while the page was away.
const WRONG: usize = 3;
/// Touches that faulted, by worker.
const FAULTED: usize = 8;
/// Touches that went through, by worker.
const TOUCHED: usize = 12;

/// Touches the page until told to stop. The epoch is odd while the page is away: a touch between two equal odd epochs faults.
fn touch(who: u64, touch: impl Fn(u64) -> bool) {
    while shared(STOP).load(SeqCst) == 0 {
        let before = shared(EPOCH).load(SeqCst);
        let went = touch(shared(PAGE).load(SeqCst));
        let after = shared(EPOCH).load(SeqCst);
        if before != after {
            continue;
        }
        let away = before % 2 == 1;
        if went && away {
            shared(WRONG).fetch_add(1, SeqCst);
        }
        let count = if went { TOUCHED } else { FAULTED };
        shared(count + who as usize).fetch_add(1, SeqCst);
    }
}

fn read(who: u64) {
    touch(who, |page| worker_read(page).is_ok());
}

fn write(who: u64) {
    touch(who, |page| worker_write(page + 8 * who, who).is_ok());
}

/// Takes a page away and gives it back while three cores touch it.
fn rounds(
    session: &mut Session,
    job: raw::Job,
    page: u64,
    take: impl Fn(&Session) -> Check,
    give: impl Fn(&Session) -> Check,
) -> Check {
    clear_shared();
    shared(PAGE).store(page, SeqCst);
    let result = with_crew(session, job, |session| {
        let result = (0..ROUNDS).try_for_each(|round| one_round(session, round, &take, &give));
        shared(STOP).store(1, SeqCst);
        result
    });
    ensure_eq!(shared(WRONG).load(SeqCst), 0, "touches of what was taken away");
    result
}

fn one_round(
    session: &Session,
    round: u64,
    take: impl Fn(&Session) -> Check,
    give: impl Fn(&Session) -> Check,
) -> Check {
    let counts = |first: usize| [0, 1, 2].map(|who| shared(first + who).load(SeqCst));
    let all_went_on = |before: [u64; 3], first| {
        comes(|| counts(first).iter().zip(before).all(|(now, before)| *now > before))
    };
    let before = counts(TOUCHED);
    ensure!(all_went_on(before, TOUCHED), "round {round}: not all touch it");
    take(session)?;
    shared(EPOCH).fetch_add(1, SeqCst);
    let before = counts(FAULTED);
    ensure!(all_went_on(before, FAULTED), "round {round}: not all fault");
    shared(EPOCH).fetch_add(1, SeqCst);
    give(session)
}

fn unmapped_pages_fault_on_every_core(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let own = session.environment;
    rounds(
        session,
        read,
        page,
        |session| Ok(session.unmap(own, page, 1)?),
        |session| Ok(session.map(own, page, unit, 1, DATA)?),
    )
}

fn protected_pages_refuse_every_core(session: &mut Session) -> Check {
    let (_, page) = session.take_page()?;
    let own = session.environment.0.into();
    let protect = |flags: MapFlags| call(Call::Protect, &[own, page, 1, flags.0]).map(drop);
    rounds(session, write, page, |_| Ok(protect(MapFlags::NO_EXECUTE)?), |_| Ok(protect(DATA)?))
}

/// A copy for another environment makes pages read-only; whoever had written them faults.
fn copied_pages_refuse_writes_of_every_core(session: &mut Session) -> Check {
    let (_, page) = session.take_page()?;
    let own: u64 = session.environment.0.into();
    let copy = call(Call::EnvironmentCreate, &[NO_SLOT.into(), NO_SLOT.into()])?;
    rounds(
        session,
        write,
        page,
        |_| Ok(call(Call::CopyRange, &[own, copy, page, 1]).map(drop)?),
        |_| Ok(call(Call::Protect, &[own, page, 1, DATA.0]).map(drop)?),
    )?;
    until_done(Call::EnvironmentDestroy, Slot(copy as u32))?;
    Ok(())
}

/// Reads what the page shows; in an odd epoch that must be 2.
fn read_value(who: u64) {
    touch(who, |page| worker_read(page) != Ok(2));
}

/// Another frame in place of the first, which is then not seen any more.
fn replaced_pages_are_seen_on_every_core(session: &mut Session) -> Check {
    let (first, page) = session.take_page()?;
    let (second, other) = session.take_page()?;
    raw::write(page, 1)?;
    raw::write(other, 2)?;
    let own = session.environment;
    rounds(
        session,
        read_value,
        page,
        |session| Ok(session.map(own, page, second, 1, DATA)?),
        |session| Ok(session.map(own, page, first, 1, DATA)?),
    )
}

/// Three cores write to a page whose frame goes to another domain and comes back: it stays zero from then on.
fn revoked_frames_are_never_written(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let view = session.take_addresses(1);
    let own = session.environment;
    let domain = Slot(call(Call::DomainCreate, &[NO_SLOT.into(), 0])? as u32);
    rounds(
        session,
        write,
        page,
        |session| {
            // A frame must not be mapped to be delegated: this unmaps it with all cores writing.
            session.unmap(own, page, 1)?;
            let (delegation, _) = grant(session.frames, unit, 1, frame_rights(), domain)?;
            until_done(Call::Revoke, delegation)?;
            session.map(own, view, unit, 1, DATA)?;
            for at in (0..4096).step_by(8) {
                ensure_eq!(raw::read(view + at)?, 0, "byte {at} of a frame that was taken");
            }
            Ok(session.unmap(own, view, 1)?)
        },
        |session| Ok(session.map(own, page, unit, 1, DATA)?),
    )?;
    until_done(Call::DomainDestroy, domain)?;
    Ok(())
}

/// What the tests above did shows in the kernel's histogram, if it keeps any.
fn shootdowns_were_counted_if_asked(_: &mut Session) -> Check {
    let count = histograms::count(row::SHOOTDOWN)?;
    ensure_eq!(count > 0, histograms::are_kept()?, "{count} shootdowns");
    Ok(())
}
