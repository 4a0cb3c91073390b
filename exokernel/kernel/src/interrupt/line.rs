//! Interrupt lines of ring 3: bound to bits of an event, masked from signal to acknowledgement.
use crate::capability::Found;
use crate::domain::Signal;
use crate::kernel::Kernel;
use alloc::vec::Vec;
use serix_abi::Error;
use serix_core::NodeId;
use serix_hal::boot::acpi::{Interrupts, Line as Pin};
use serix_hal::cpu::apic::{self, LINE_VECTOR, LINES};
use serix_hal::device::{ioapic, keyboard};

/// Who gets the signals of a line.
struct User {
    domain: u32,
    /// The grant through which it has the line.
    node: NodeId,
    signal: Signal,
    /// It was told, and has not acknowledged: the line is masked.
    told: bool,
}

/// A line that ring 3 may have.
pub(crate) struct Line {
    /// Its number, through all controllers: the unit of its capability.
    pub(crate) number: u32,
    /// The ISA's number of it.
    pub(crate) isa: u8,
    user: Option<User>,
}

/// Directs the lines that ring 3 may have to vectors of the boot core, masked. The controllers were found before.
pub(crate) fn route(interrupts: &Interrupts) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for isa in keyboard::INTERRUPTS.into_iter().filter(|_| keyboard::is_present()).take(LINES) {
        let pin: Pin = interrupts.isa(isa);
        let taken = lines.iter().any(|line| line.number == pin.number);
        if !taken && ioapic::route(&pin, LINE_VECTOR + lines.len() as u8, apic::id(0)) {
            lines.push(Line { number: pin.number, isa, user: None });
        }
    }
    lines
}

impl Kernel {
    fn line_of(&mut self, binding: &Found) -> Result<&mut Line, Error> {
        let number = binding.object;
        self.lines.iter_mut().find(|line| line.number == number).ok_or(Error::Dead)
    }

    /// Binds a line to bits of an event, in place of those that it was bound to through the same grant.
    pub(crate) fn line_bind(
        &mut self,
        domain: u32,
        binding: &Found,
        signal: Signal,
    ) -> Result<(), Error> {
        let line = self.line_of(binding)?;
        let node = binding.node;
        if line.user.as_ref().is_some_and(|user| (user.domain, user.node) != (domain, node)) {
            return Err(Error::Busy);
        }
        line.user = Some(User { domain, node, signal, told: false });
        ioapic::unmask(line.number);
        Ok(())
    }

    /// Lets a line signal again.
    pub(crate) fn line_acknowledge(&mut self, domain: u32, binding: &Found) -> Result<(), Error> {
        let line = self.line_of(binding)?;
        let user = line.user.as_mut();
        let user = user.filter(|user| (user.domain, user.node) == (domain, binding.node));
        user.ok_or(Error::BadArgument)?.told = false;
        ioapic::unmask(line.number);
        Ok(())
    }

    /// Takes those lines from their users of which this is true: nothing signals any more, and a signal that was not acknowledged
    /// is taken out of its event.
    fn lines_release(&mut self, mut of: impl FnMut(u32, u32, NodeId) -> bool) {
        for index in 0..self.lines.len() {
            let line = &mut self.lines[index];
            let number = line.number;
            let user = line.user.take_if(|user| of(number, user.domain, user.node));
            let Some(user) = user else { continue };
            ioapic::mask(number);
            if user.told {
                self.unsend(user.signal);
            }
        }
    }

    /// A grant of lines ends.
    pub(crate) fn lines_end_grant(&mut self, node: NodeId) {
        self.lines_release(|_, _, user| user == node);
    }

    /// A domain ends.
    pub(crate) fn lines_end_domain(&mut self, index: u32) {
        self.lines_release(|_, domain, _| domain == index);
    }

    /// A domain lets go of a line.
    pub(crate) fn line_unbind(&mut self, index: u32, binding: &Found) {
        let wanted = (binding.object, index, binding.node);
        self.lines_release(|line, domain, node| (line, domain, node) == wanted);
    }

    /// The line of a vector signals: masked, until its user acknowledges.
    pub(super) fn line_signals(&mut self, vector: u8) {
        let Some(line) = self.lines.get_mut(usize::from(vector - LINE_VECTOR)) else { return };
        ioapic::mask(line.number);
        if let Some(user) = &mut line.user {
            user.told = true;
            let signal = user.signal;
            self.send(signal);
        }
    }
}
