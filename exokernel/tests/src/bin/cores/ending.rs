//! Ending on one core what runs on another.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_abi::token::Rights;
use serix_abi::{Call, Error, PAGE_SIZE};
use serix_kernel_tests::child::{
    ATTACK, Child, Operation, Script, TARGET, event, frame_rights, grant, until_done,
};
use serix_kernel_tests::raw::{
    self, Attack, Place, Worker, attack_code, call, core_number, now_ns,
};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Failure, Session, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

use crate::{clear_shared, comes, patience, shared, spin_ns, with_crew};

pub(crate) const TESTS: &[Test] = tests!["ending":
    an_environment_ends_under_its_dispatcher, a_domain_ends_under_its_dispatcher,
    frames_of_a_running_domain_are_taken, pages_rewritten_during_delivery_harm_only_their_domain,
    revocations_at_once_all_end];

/// Counts for ever.
fn count(_: u64) {
    loop {
        shared(1).fetch_add(1, SeqCst);
    }
}

fn an_environment_ends_under_its_dispatcher(session: &mut Session) -> Check {
    for round in 0..20 {
        clear_shared();
        let worker = Worker::start(session, Place::Apart, count, 0)?;
        ensure!(comes(|| shared(1).load(SeqCst) > 0), "round {round}: it does not run");
        worker.destroy()?;
        let counted = shared(1).load(SeqCst);
        spin_ns(100_000);
        ensure_eq!(shared(1).load(SeqCst), counted, "round {round}: it runs on");
    }
    Ok(())
}

/// Where its page holds a token of the event that it tells of its start.
const TOKEN_AT: usize = 3072;
/// Where its page holds the code; before is the script of its second environment.
const CODE_AT: usize = 512;

/// A hostile child that tells bit 1 of the event and then attacks. Its last frame holds script, code and token.
fn hostile(
    session: &mut Session,
    event: Slot,
    attack: Attack,
    second: Attack,
) -> Result<Child, Failure> {
    let start = |attack: Attack| ATTACK + CODE_AT as u64 + attack.offset();
    let operations = [
        Operation::Call(Call::Bind, [ATTACK + TOKEN_AT as u64, 48, 0, 0, 0, 0], None),
        Operation::Call(Call::EventSignal, [0, 2, 0, 0, 0, 0], None),
        Operation::Jump(start(attack)),
    ];
    let second = [Operation::Jump(start(second))];
    let script = Script { operations: &operations, bytes: &[] };
    let (child, _) = Child::with_page_for(session, event, script, |domain| {
        let (_, token) = grant(event, 0, 1, Rights::SIGNAL, domain)?;
        let mut page: [u8; PAGE_SIZE] =
            serix_kernel_tests::child::encode(Script { operations: &second, bytes: &[] });
        page[CODE_AT..CODE_AT + attack_code().len()].copy_from_slice(attack_code());
        page[TOKEN_AT..TOKEN_AT + 48].copy_from_slice(&token);
        Ok((page, ()))
    })?;
    child.map(ATTACK, child.count - 1, MapFlags::default())?;
    Ok(child)
}

/// Gives a child a slice on so many cores other than this one.
fn give_cores(session: &Session, domain: Slot, cores: usize) -> Check {
    let here = core_number() as usize;
    let all = session.slices_by_core()?;
    let others = all.iter().enumerate().filter(|(core, _)| *core != here);
    for (_, slices) in others.take(cores) {
        let Some((slot, _)) = slices else { continue };
        sys::slice_assign(*slot, 4, 1, domain)?;
    }
    for (slot, _) in all.into_iter().flatten() {
        sys::unbind(slot)?;
    }
    Ok(())
}

/// Frames that nobody else has are zero and stay so.
fn stay_zero(session: &mut Session, first: u64, count: u64) -> Check {
    let view = session.take_addresses(count);
    session.map(session.environment, view, first, count, DATA)?;
    for _ in 0..3 {
        for at in (0..count * 4096).step_by(2048) {
            ensure_eq!(raw::read(view + at)?, 0, "word at {at:#x} of what was taken");
        }
        spin_ns(200_000);
    }
    session.unmap(session.environment, view, count)?;
    Ok(())
}

fn a_domain_ends_under_its_dispatcher(session: &mut Session) -> Check {
    for round in 0..8 {
        let event = event()?;
        let child = hostile(session, event, Attack::Count, Attack::Count)?;
        child.map(TARGET, 3, DATA)?;
        raw::dispatcher(child.environment, &child.parameters())?;
        give_cores(session, child.domain, 1)?;
        let started = call(Call::EventWait, &[event.0.into(), 2, patience()]);
        ensure_eq!(started, Ok(2), "round {round}: its start");
        spin_ns(50_000 * round);
        let (first, count) = (child.first, child.count);
        child.end()?;
        stay_zero(session, first, count)?;
        ensure_eq!(call(Call::EventWait, &[event.0.into(), 1, 0]), Ok(1), "its end was told");
        sys::unbind(event)?;
    }
    Ok(())
}

/// A frame is taken from a domain that writes to it all the time: zero when the call returns, and from then on.
fn frames_of_a_running_domain_are_taken(session: &mut Session) -> Check {
    for round in 0..8 {
        let event = event()?;
        let child = hostile(session, event, Attack::Count, Attack::Count)?;
        let unit = session.take_frames(1);
        let (delegation, _) = grant(session.frames, unit, 1, frame_rights(), child.domain)?;
        let map = [child.environment.0.into(), TARGET, delegation.0.into(), 0, 1, DATA.0];
        call(Call::MapRange, &map)?;
        raw::dispatcher(child.environment, &child.parameters())?;
        give_cores(session, child.domain, 1)?;
        let started = call(Call::EventWait, &[event.0.into(), 2, patience()]);
        ensure_eq!(started, Ok(2), "round {round}: its start");
        spin_ns(50_000 * round);
        until_done(Call::Revoke, delegation)?;
        stay_zero(session, unit, 1)?;
        // It has no fault entry.
        let ended = call(Call::EventWait, &[event.0.into(), 1, patience()]);
        ensure_eq!(ended, Ok(1), "round {round}: its end by a fault");
        child.end()?;
        sys::unbind(event)?;
    }
    Ok(())
}

/// One core takes faults, another writes nonsense where the kernel delivers them.
fn pages_rewritten_during_delivery_harm_only_their_domain(session: &mut Session) -> Check {
    for (round, second) in
        [Attack::Frames, Attack::Page, Attack::Frames, Attack::Page].iter().enumerate()
    {
        let event = event()?;
        let child = hostile(session, event, Attack::Fault, *second)?;
        let fault_entry = ATTACK + CODE_AT as u64 + Attack::Fault.offset();
        let parameters = DispatcherParameters { fault_entry, ..child.parameters() };
        raw::dispatcher(child.environment, &parameters)?;
        let other = child.second_environment()?;
        let map = |address: u64, unit: u64, flags: MapFlags| {
            call(
                Call::MapRange,
                &[other.0.into(), address, child.frames.0.into(), unit, 1, flags.0],
            )
        };
        map(ATTACK, child.count - 1, MapFlags::default())?;
        map(serix_kernel_tests::child::PAGE, 2, DATA)?;
        sys::dispatcher_start(other, 0)?;
        give_cores(session, child.domain, 2)?;
        let started = call(Call::EventWait, &[event.0.into(), 2, patience()]);
        ensure_eq!(started, Ok(2), "round {round}: its start");
        let ended = call(Call::EventWait, &[event.0.into(), 1, now_ns() + 100_000_000]);
        if *second == Attack::Frames {
            ensure_eq!(
                ended,
                Err(Error::TimedOut),
                "round {round}: frames are not the kernel's to read"
            );
        }
        let (first, count) = (child.first, child.count);
        child.end()?;
        stay_zero(session, first, count)?;
        sys::unbind(event)?;
    }
    Ok(())
}

/// Revokes the delegation in a slot.
fn revoke(who: u64) {
    let delegation = Slot(shared(8 + who as usize).load(SeqCst) as u32);
    shared(0).fetch_add(1, SeqCst);
    let _ = comes(|| shared(0).load(SeqCst) >= 4);
    if until_done(Call::Revoke, delegation).is_ok() {
        shared(1).fetch_add(1, SeqCst);
    }
}

/// Four cores revoke a range each: none waits for ever for the others.
fn revocations_at_once_all_end(session: &mut Session) -> Check {
    const FRAMES: u64 = 200;
    let first = session.take_frames(4 * FRAMES);
    for round in 0..3 {
        clear_shared();
        let domain = Slot(sys::domain_create(Slot::NONE, 0, 0)? as u32);
        for who in 0..4 {
            let at = first + who * FRAMES;
            let (delegation, _) = grant(session.frames, at, FRAMES, frame_rights(), domain)?;
            shared(8 + who as usize).store(delegation.0.into(), SeqCst);
        }
        with_crew(session, revoke, |_| {
            revoke(3);
            Ok(())
        })?;
        ensure_eq!(shared(1).load(SeqCst), 4, "round {round}: revocations that ended");
        until_done(Call::DomainDestroy, domain)?;
    }
    Ok(())
}
