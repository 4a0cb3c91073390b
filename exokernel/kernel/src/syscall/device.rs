//! Calls about devices of ring 3: interrupt lines and ports. Their frames are mapped as others are.
use super::{Arguments, CallResult, Caller, done, optional_slot, slot, value};
use crate::capability::Found;
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::token::{Kind, Rights};
use serix_hal::device::keyboard;

impl Kernel {
    fn interrupt_in(&self, caller: Caller, argument: u64) -> Result<Found, Error> {
        let rights = Rights::CONTROL;
        self.resources.lookup(caller.domain, slot(argument)?, Kind::Interrupt, rights)
    }

    pub(super) fn call_interrupt_bind(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let [interrupt, event, bits, ..] = arguments;
        let line = self.interrupt_in(caller, interrupt)?;
        let Some(event) = optional_slot(event)? else {
            self.line_unbind(caller.domain, &line);
            return done(Ok(()));
        };
        if bits == 0 {
            return Err(Error::BadArgument);
        }
        let signal = self.signal_for(caller.domain, event, bits)?;
        done(self.line_bind(caller.domain, &line, signal))
    }

    pub(super) fn call_interrupt_acknowledge(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let line = self.interrupt_in(caller, arguments[0])?;
        done(self.line_acknowledge(caller.domain, &line))
    }

    fn port_in(&self, caller: Caller, arguments: Arguments, right: Rights) -> Result<u16, Error> {
        let [ports, unit, ..] = arguments;
        let binding = self.resources.lookup(caller.domain, slot(ports)?, Kind::Ports, right)?;
        let port = binding.range.unit(unit).ok_or(Error::BadArgument)?;
        u16::try_from(port).map_err(|_| Error::BadArgument)
    }

    pub(super) fn call_port_read(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let port = self.port_in(caller, arguments, Rights::READ)?;
        value(keyboard::read(port).ok_or(Error::Denied))
    }

    pub(super) fn call_port_write(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let port = self.port_in(caller, arguments, Rights::WRITE)?;
        let byte = u8::try_from(arguments[2]).map_err(|_| Error::BadArgument)?;
        done(keyboard::write(port, byte).then_some(()).ok_or(Error::Denied))
    }
}
