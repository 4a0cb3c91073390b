//! Ports of the keyboard controller.

use serix_abi::token::Rights;
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{BYTES, Child, Operation, event, grant, until_done};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::{Check, Failure, Session, Test, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

use crate::{bind, narrowed, refuses_other_kinds, token};

pub(crate) const TESTS: &[Test] = tests!["ports":
    the_controller_answers, arguments_have_bounds, rights_are_asked_for, nothing_resets_the_machine,
    other_kinds_are_refused, they_are_taken_back];

/// Data and command port of the controller.
pub(crate) struct Controller {
    pub(crate) data: Slot,
    pub(crate) command: Slot,
}

/// The controller has a byte.
const OUTPUT_FULL: u64 = 1;
/// The controller has not taken the last byte.
const INPUT_FULL: u64 = 2;

impl Controller {
    pub(crate) fn bind(session: &Session) -> Result<Self, Failure> {
        let port = |place| bind(session, Purpose::Ports, "keyboard", place);
        Ok(Self { data: port(0)?, command: port(1)? })
    }

    pub(crate) fn unbind(&self) -> Check {
        sys::unbind(self.data)?;
        sys::unbind(self.command)?;
        Ok(())
    }

    /// Waits until a status bit is as wanted.
    fn wait(&self, bit: u64, wanted: u64) -> Check {
        let deadline = raw::now_ns() + 2_000_000_000;
        while sys::port_read(self.command, 0)? & bit != wanted {
            ensure!(raw::now_ns() < deadline, "the controller does not get ready");
        }
        Ok(())
    }

    pub(crate) fn command(&self, byte: u64) -> Check {
        self.wait(INPUT_FULL, 0)?;
        sys::port_write(self.command, 0, byte)?;
        Ok(())
    }

    pub(crate) fn write(&self, byte: u64) -> Check {
        self.wait(INPUT_FULL, 0)?;
        sys::port_write(self.data, 0, byte)?;
        Ok(())
    }

    pub(crate) fn read(&self) -> Result<u64, Failure> {
        self.wait(OUTPUT_FULL, OUTPUT_FULL)?;
        Ok(sys::port_read(self.data, 0)?)
    }

    /// Takes what is there.
    pub(crate) fn drain(&self) -> Check {
        for _ in 0..64 {
            if sys::port_read(self.command, 0)? & OUTPUT_FULL == 0 {
                return Ok(());
            }
            sys::port_read(self.data, 0)?;
        }
        Err(Failure::new(format_args!("the controller has always more")))
    }

    /// Both interrupts on, scan codes translated, as a keyboard driver sets it.
    pub(crate) fn configure(&self) -> Check {
        self.drain()?;
        self.command(0x60)?;
        self.write(0x47)?;
        self.command(0x20)?;
        ensure_eq!(self.read()?, 0x47, "the configuration");
        Ok(())
    }
}

fn the_controller_answers(session: &mut Session) -> Check {
    let controller = Controller::bind(session)?;
    controller.drain()?;
    controller.command(0xAA)?;
    ensure_eq!(controller.read()?, 0x55, "self-test");
    controller.configure()?;
    controller.unbind()
}

fn arguments_have_bounds(session: &mut Session) -> Check {
    let controller = Controller::bind(session)?;
    for unit in [1, 4, 0xFFFF, 1 << 16, 1 << 32, u64::MAX] {
        for port in [controller.data, controller.command] {
            let read = call(Call::PortRead, &[port.0.into(), unit]);
            ensure!(read == Err(Error::BadArgument), "read of {unit:#x}: {read:?}");
            let write = call(Call::PortWrite, &[port.0.into(), unit, 0]);
            ensure!(write == Err(Error::BadArgument), "write to {unit:#x}: {write:?}");
        }
    }
    for value in [256, 1 << 32, u64::MAX] {
        let write = call(Call::PortWrite, &[controller.data.0.into(), 0, value]);
        ensure!(write == Err(Error::BadArgument), "{value:#x}: {write:?}");
    }
    controller.unbind()
}

fn rights_are_asked_for(session: &mut Session) -> Check {
    let sealed = token(session, Purpose::Ports, "keyboard", 1)?;
    let (read, write) = (narrowed(&sealed, Rights::READ)?, narrowed(&sealed, Rights::WRITE)?);
    ensure!(call(Call::PortRead, &[read.0.into(), 0]).is_ok(), "status");
    ensure_eq!(call(Call::PortWrite, &[read.0.into(), 0, 0xAE]), Err(Error::Denied), "write");
    ensure_eq!(call(Call::PortRead, &[write.0.into(), 0]), Err(Error::Denied), "read");
    ensure_eq!(call(Call::PortWrite, &[write.0.into(), 0, 0xAE]), Ok(0), "enable the keyboard");
    sys::unbind(read)?;
    sys::unbind(write)?;
    Ok(())
}

/// Pulses of the reset line, the output port with reset and address line 20, and what is not known.
fn nothing_resets_the_machine(session: &mut Session) -> Check {
    let controller = Controller::bind(session)?;
    let allowed = [0x20, 0x60, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD, 0xAE, 0xD2, 0xD3, 0xD4];
    for byte in (0..256).filter(|byte| !allowed.contains(byte)) {
        let write = call(Call::PortWrite, &[controller.command.0.into(), 0, byte]);
        ensure!(write == Err(Error::Denied), "command {byte:#x}: {write:?}");
    }
    controller.unbind()
}

fn other_kinds_are_refused(session: &mut Session) -> Check {
    refuses_other_kinds(session, Call::PortRead, [0, 0])?;
    refuses_other_kinds(session, Call::PortWrite, [0, 0])?;
    let controller = Controller::bind(session)?;
    let page = session.take_addresses(1);
    let map = [session.environment.0.into(), page, controller.data.0.into(), 0, 1, 0];
    ensure_eq!(call(Call::MapRange, &map), Err(Error::BadSlot), "mapped");
    controller.unbind()
}

fn they_are_taken_back(session: &mut Session) -> Check {
    let (controller, ended) = (Controller::bind(session)?, event()?);
    // It polls the status until somebody objects.
    let read = |answer| Operation::Call(Call::PortRead, [0; 6], answer);
    let operations = [
        Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], None),
        read(None),
        Operation::Call(Call::PortWrite, [0, 0, 0xAE, 0, 0, 0], Some(Error::Denied)),
        Operation::Call(Call::EventCreate, [0; 6], None),
        Operation::Call(
            Call::EventWait,
            [1, 1, raw::now_ns() + 300_000_000, 0, 0, 0],
            Some(Error::TimedOut),
        ),
        read(Some(Error::Stale)),
        Operation::Call(Call::Bind, [BYTES, 48, 0, 0, 0, 0], Some(Error::Stale)),
    ];
    let command = controller.command;
    let (child, delegation) = Child::with_bytes(session, ended, &operations, |_, domain| {
        let (delegation, token) = grant(command, 0, 1, Rights::READ, domain)?;
        Ok((token, delegation))
    })?;
    let other = grant(command, 0, 1, Rights::READ, child.domain);
    ensure_eq!(other.map(drop), Err(Error::Busy), "given twice");
    raw::dispatcher(child.environment, &child.parameters())?;
    child.give_slice(session)?;
    // Until it waits.
    let pause = event()?;
    let moment = call(Call::EventWait, &[pause.0.into(), 1, raw::now_ns() + 50_000_000]);
    ensure_eq!(moment, Err(Error::TimedOut));
    until_done(Call::Revoke, delegation)?;
    call(Call::EventWait, &[ended.0.into(), 1, raw::now_ns() + 5_000_000_000])?;
    ensure_eq!(call(Call::DomainStatus, &[child.domain.0.into()])?, 1 << 32, "its script");
    child.end()?;
    sys::unbind(pause)?;
    sys::unbind(ended)?;
    controller.unbind()
}
