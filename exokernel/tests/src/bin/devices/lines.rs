//! Interrupt lines: the keyboard controller is told to answer as if a key had been pressed.

use serix_abi::token::Rights;
use serix_abi::{Call, Error, FOREVER, NO_SLOT};
use serix_kernel_tests::child::{BYTES, Child, Operation, event, grant, until_done};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::{Check, Failure, Session, Test, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

use crate::ports::Controller;
use crate::{bind, narrowed, refuses_other_kinds, token};

pub(crate) const TESTS: &[Test] = tests!["lines":
    keyboard_and_mouse_signal, a_line_is_masked_until_it_is_acknowledged,
    bits_go_where_they_were_bound_last, who_lets_go_hears_nothing_more, emptied_slots_let_go,
    arguments_and_rights_are_checked, an_event_that_ended_is_no_harm, one_holder_at_a_time,
    taken_while_bound, the_end_of_a_domain_lets_go, lines_are_not_divided];

/// A bound line, its event and the controller that makes it signal.
struct Bench {
    controller: Controller,
    line: Slot,
    event: Slot,
}

const BIT: u64 = 1 << 9;
const SOON_NS: u64 = 2_000_000_000;
const MOMENT_NS: u64 = 30_000_000;

impl Bench {
    fn new(session: &Session) -> Result<Self, Failure> {
        let controller = Controller::bind(session)?;
        controller.configure()?;
        let line = bind(session, Purpose::Interrupt, "keyboard", 0)?;
        let event = event()?;
        sys::interrupt_bind(line, event, BIT)?;
        let bench = Self { controller, line, event };
        // The configuration's own answer may have signalled before.
        bench.quiet()?;
        Ok(bench)
    }

    /// Makes the controller say a byte that came from the keyboard.
    fn press(&self, byte: u64) -> Check {
        self.controller.command(0xD2)?;
        self.controller.write(byte)
    }

    fn wait(&self, within_ns: u64) -> Result<u64, Error> {
        call(Call::EventWait, &[self.event.0.into(), u64::MAX, raw::now_ns() + within_ns])
    }

    /// Until nothing is told any more.
    fn quiet(&self) -> Check {
        for _ in 0..64 {
            sys::interrupt_acknowledge(self.line)?;
            self.controller.drain()?;
            if self.wait(MOMENT_NS) == Err(Error::TimedOut) {
                return Ok(());
            }
        }
        Err(Failure::new(format_args!("the line signals without end")))
    }

    fn end(self) -> Check {
        self.controller.drain()?;
        sys::unbind(self.line)?;
        sys::unbind(self.event)?;
        self.controller.unbind()
    }
}

fn keyboard_and_mouse_signal(session: &mut Session) -> Check {
    let bench = Bench::new(session)?;
    for byte in [0x1E, 0x9E, 0x30, 0xFA] {
        bench.press(byte)?;
        ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "key {byte:#x}");
        sys::interrupt_acknowledge(bench.line)?;
        ensure_eq!(bench.controller.read()?, byte, "the byte");
    }
    let mouse = bind(session, Purpose::Interrupt, "mouse", 0)?;
    sys::interrupt_bind(mouse, bench.event, BIT << 1)?;
    bench.controller.command(0xD3)?;
    bench.controller.write(0x55)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT << 1), "mouse");
    ensure_eq!(bench.controller.read()?, 0x55, "its byte");
    sys::unbind(mouse)?;
    bench.end()
}

fn a_line_is_masked_until_it_is_acknowledged(session: &mut Session) -> Check {
    let bench = Bench::new(session)?;
    bench.press(1)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "the first");
    ensure_eq!(bench.controller.read()?, 1);
    bench.press(2)?;
    ensure_eq!(bench.wait(MOMENT_NS), Err(Error::TimedOut), "not acknowledged");
    sys::interrupt_acknowledge(bench.line)?;
    ensure_eq!(bench.controller.read()?, 2);
    bench.press(3)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "acknowledged");
    bench.end()
}

fn bits_go_where_they_were_bound_last(session: &mut Session) -> Check {
    let bench = Bench::new(session)?;
    sys::interrupt_bind(bench.line, bench.event, 1 << 63 | 1)?;
    bench.press(1)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(1 << 63 | 1));
    bench.end()
}

fn who_lets_go_hears_nothing_more(session: &mut Session) -> Check {
    let bench = Bench::new(session)?;
    bench.press(1)?;
    // Told, and not asked for yet: the signal goes with the line.
    let deadline = raw::now_ns() + MOMENT_NS;
    while raw::now_ns() < deadline {}
    sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
    ensure_eq!(bench.wait(0), Err(Error::TimedOut), "a signal of before");
    bench.controller.drain()?;
    bench.press(2)?;
    ensure_eq!(bench.wait(MOMENT_NS), Err(Error::TimedOut), "a signal of after");
    let acknowledged = call(Call::InterruptAcknowledge, &[bench.line.0.into()]);
    ensure_eq!(acknowledged, Err(Error::BadArgument), "acknowledged");
    sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
    bench.controller.drain()?;
    sys::interrupt_bind(bench.line, bench.event, BIT)?;
    bench.press(3)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "bound again");
    bench.end()
}

fn emptied_slots_let_go(session: &mut Session) -> Check {
    let bench = Bench::new(session)?;
    sys::unbind(bench.line)?;
    bench.press(1)?;
    ensure_eq!(bench.wait(MOMENT_NS), Err(Error::TimedOut), "after the slot was emptied");
    bench.controller.drain()?;
    let line = bind(session, Purpose::Interrupt, "keyboard", 0)?;
    let answer = call(Call::InterruptAcknowledge, &[line.0.into()]);
    ensure_eq!(answer, Err(Error::BadArgument), "it is bound still");
    Bench { line, ..bench }.end()
}

fn arguments_and_rights_are_checked(session: &mut Session) -> Check {
    let (event, sealed) = (event()?, token(session, Purpose::Interrupt, "keyboard", 0)?);
    refuses_other_kinds(session, Call::InterruptBind, [event.0.into(), 1])?;
    refuses_other_kinds(session, Call::InterruptAcknowledge, [0, 0])?;
    let line = bind(session, Purpose::Interrupt, "keyboard", 0)?;
    let bound = |event: u64, bits| call(Call::InterruptBind, &[line.0.into(), event, bits]);
    ensure_eq!(bound(event.0.into(), 0), Err(Error::BadArgument), "no bits");
    for other in [session.frames.0.into(), line.0.into(), 1000, 1 << 32, u64::MAX] {
        ensure_eq!(bound(other, 1), Err(Error::BadSlot), "event {other:#x}");
    }
    let (waits, token) = grant(event, 0, 1, Rights::WAIT, Slot(NO_SLOT))?;
    let waiting = sys::bind(&token)?;
    ensure_eq!(bound(waiting.0.into(), 1), Err(Error::Denied), "an event without SIGNAL");
    let weak = narrowed(&sealed, Rights::GRANT)?;
    let answer = call(Call::InterruptBind, &[weak.0.into(), event.0.into(), 1]);
    ensure_eq!(answer, Err(Error::Denied), "a line without CONTROL");
    let answer = call(Call::InterruptAcknowledge, &[weak.0.into()]);
    ensure_eq!(answer, Err(Error::Denied), "acknowledged without CONTROL");
    until_done(Call::Revoke, waits)?;
    let (signals, token) = grant(event, 0, 1, Rights::SIGNAL, Slot(NO_SLOT))?;
    let stale = sys::bind(&token)?;
    until_done(Call::Revoke, signals)?;
    ensure_eq!(bound(stale.0.into(), 1), Err(Error::Stale), "an event that was taken back");
    for slot in [waiting, stale, weak, line, event] {
        sys::unbind(slot)?;
    }
    Ok(())
}

fn an_event_that_ended_is_no_harm(session: &mut Session) -> Check {
    let bench = Bench::new(session)?;
    sys::unbind(bench.event)?;
    bench.press(1)?;
    let deadline = raw::now_ns() + MOMENT_NS;
    while raw::now_ns() < deadline {}
    // The next event has the ended one's place, and not its signals.
    let event = event()?;
    let bench = Bench { event, ..bench };
    ensure_eq!(bench.wait(0), Err(Error::TimedOut), "a signal for the one before");
    bench.controller.drain()?;
    sys::interrupt_bind(bench.line, event, BIT)?;
    bench.press(2)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "bound again");
    bench.end()
}

/// A child that binds the line to its own event and waits there; it ends when its line does.
fn holder(session: &mut Session, line: Slot, ended: Slot) -> Result<(Child, Slot), Failure> {
    let operations = [
        Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None),
        Operation::Call(Call::EventCreate, [0; 6], None),
        Operation::Call(Call::InterruptBind, [0, 1, 1, 0, 0, 0], None),
        Operation::Call(Call::EventWait, [1, 1, FOREVER, 0, 0, 0], None),
        Operation::Call(Call::InterruptAcknowledge, [0; 6], None),
        Operation::Call(Call::EventWait, [1, 2, FOREVER, 0, 0, 0], None),
    ];
    let (child, delegation) = Child::with_bytes(session, ended, &operations, |_, domain| {
        let (delegation, token) = grant(line, 0, 1, Rights::CONTROL, domain)?;
        Ok((token, delegation))
    })?;
    raw::dispatcher(child.environment, &child.parameters())?;
    child.give_slice(session)?;
    Ok((child, delegation))
}

/// Waits until the child has bound the line.
fn await_holder(bench: &Bench) -> Check {
    let deadline = raw::now_ns() + SOON_NS;
    let bound = [bench.line.0.into(), bench.event.0.into(), BIT];
    while call(Call::InterruptBind, &bound) != Err(Error::Busy) {
        // Let go of at once, so that the child can have it.
        sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
        ensure!(raw::now_ns() < deadline, "the child does not bind the line");
        ensure_eq!(bench.wait(MOMENT_NS), Err(Error::TimedOut), "a signal");
    }
    Ok(())
}

fn one_holder_at_a_time(session: &mut Session) -> Check {
    let (bench, ended) = (Bench::new(session)?, event()?);
    sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
    let (child, delegation) = holder(session, bench.line, ended)?;
    let other = grant(bench.line, 0, 1, Rights::CONTROL, child.domain);
    ensure_eq!(other.map(drop), Err(Error::Busy), "given twice");
    await_holder(&bench)?;
    let acknowledged = call(Call::InterruptAcknowledge, &[bench.line.0.into()]);
    ensure_eq!(acknowledged, Err(Error::BadArgument), "another's line");
    // Letting go of what another has changes nothing.
    sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
    bench.press(1)?;
    ensure_eq!(bench.wait(MOMENT_NS), Err(Error::TimedOut), "another's signal");
    until_done(Call::Revoke, delegation)?;
    child.end()?;
    sys::unbind(ended)?;
    bench.end()
}

fn taken_while_bound(session: &mut Session) -> Check {
    let (bench, ended) = (Bench::new(session)?, event()?);
    sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
    let (child, delegation) = holder(session, bench.line, ended)?;
    await_holder(&bench)?;
    until_done(Call::Revoke, delegation)?;
    sys::interrupt_bind(bench.line, bench.event, BIT)?;
    bench.press(1)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "the line is back");
    // The child heard nothing: it waits still.
    ensure_eq!(call(Call::DomainStatus, &[child.domain.0.into()]), Ok(0), "the child");
    child.end()?;
    sys::unbind(ended)?;
    bench.end()
}

fn the_end_of_a_domain_lets_go(session: &mut Session) -> Check {
    let (bench, ended) = (Bench::new(session)?, event()?);
    sys::interrupt_bind(bench.line, Slot(NO_SLOT), 0)?;
    let (child, delegation) = holder(session, bench.line, ended)?;
    await_holder(&bench)?;
    until_done(Call::DomainDestroy, child.domain)?;
    sys::interrupt_bind(bench.line, bench.event, BIT)?;
    bench.press(1)?;
    ensure_eq!(bench.wait(SOON_NS), Ok(BIT), "the line is back");
    until_done(Call::Revoke, delegation)?;
    until_done(Call::Revoke, child.frames)?;
    sys::unbind(ended)?;
    bench.end()
}

fn lines_are_not_divided(session: &mut Session) -> Check {
    let line = bind(session, Purpose::Interrupt, "keyboard", 0)?;
    let ended = event()?;
    let child = Child::new(session, ended, 0, serix_kernel_tests::child::Script::default())?;
    for (first, count) in [(0, 0), (0, 2), (1, 1), (u64::MAX, 1)] {
        let given = grant(line, first, count, Rights::CONTROL, child.domain).map(drop);
        ensure!(given == Err(Error::BadArgument), "{count} from {first}: {given:?}");
    }
    let bearer = grant(line, 0, 1, Rights::CONTROL, Slot(NO_SLOT)).map(drop);
    ensure_eq!(bearer, Err(Error::BadArgument), "for whoever holds it");
    child.end()?;
    sys::unbind(ended)?;
    sys::unbind(line)?;
    Ok(())
}
