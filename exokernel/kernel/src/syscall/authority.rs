//! Calls about authority: bind, grant, query, domains, slices.
use super::{Arguments, CallResult, Caller, done, optional_slot, slot, step, value};
use crate::domain::{Domain, State};
use crate::kernel::{Kernel, Outcome};
use serix_abi::map::{Grant, SlotInfo};
use serix_abi::start::EndReason;
use serix_abi::token::{Kind, MAX_TOKEN_SIZE, ROOT_SIZE, Rights};
use serix_abi::{Error, FOREVER};
use serix_core::NodeId;
use serix_hal::memory::user;

/// An address in ring 3 that could not be read or written.
pub(super) fn bad_address(_: user::BadAddress) -> Error {
    Error::BadAddress
}

impl Kernel {
    pub(super) fn call_bind(
        &mut self,
        caller: Caller,
        [address, length, ..]: Arguments,
    ) -> CallResult {
        let mut bytes = [0; MAX_TOKEN_SIZE];
        let length = usize::try_from(length).map_err(|_| Error::BadToken)?;
        if !(ROOT_SIZE..=MAX_TOKEN_SIZE).contains(&length) {
            return Err(Error::BadToken);
        }
        user::copy_in(address, &mut bytes[..length]).map_err(bad_address)?;
        value(self.bind(caller.domain, &bytes[..length]))
    }

    pub(super) fn call_unbind(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let slot = slot(arguments[0])?;
        let binding = self.resources.slot(caller.domain, slot)?;
        let current = self.resources.binding(caller.domain, slot).is_ok();
        // The object's own node is bound in its maker's slot alone: the maker ends the object first.
        let keeps = self.node_of_object(binding.kind, binding.object) == Some(binding.node);
        let more = match binding.kind {
            Kind::Event if current && keeps => self.event_end_step(binding.object),
            Kind::Gate if current && keeps => self.gate_end_step(binding.object),
            Kind::Interrupt if current && !binding.delegation => {
                self.line_unbind(caller.domain, &binding.into());
                false
            }
            _ if current && (binding.delegation || keeps) => return Err(Error::Busy),
            _ => false,
        };
        if more {
            return Err(Error::Again);
        }
        self.resources.clear_slot(caller.domain, slot)?;
        Ok(Outcome::Value(0))
    }

    /// The node that an object was made with.
    fn node_of_object(&self, kind: Kind, index: u32) -> Option<NodeId> {
        match kind {
            Kind::Environment => self.environments.get(index).map(|object| object.node),
            Kind::Subtree => self.subtrees.get(index).map(|object| object.node),
            Kind::Domain => self.resources.domains.get(index).map(|object| object.node),
            Kind::Ring => self.rings.get(index).map(|object| object.node),
            Kind::Event => self.events.get(index).map(|object| object.node),
            Kind::Gate => self.gates.get(index).map(|object| object.node),
            _ => None,
        }
    }

    pub(super) fn call_revoke(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [delegation, deadline, event, bits, ..] = arguments;
        let answer = match deadline {
            0 => None,
            _ => optional_slot(event)?
                .map(|event| self.signal_for(caller.domain, event, bits))
                .transpose()?,
        };
        done(self.revoke(caller.domain, slot(delegation)?, deadline, answer))
    }

    pub(super) fn call_record_set(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [frames, unit, event, bits, ..] = arguments;
        done(self.record_set(caller.domain, slot(frames)?, unit, slot(event)?, bits))
    }

    pub(super) fn call_grant(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [from, parameters, token, ..] = arguments;
        let wanted: Grant = user::read(parameters).map_err(bad_address)?;
        // Probe before acting: a token that cannot be delivered must not be made.
        user::copy_out(token, &[0; ROOT_SIZE]).map_err(bad_address)?;
        let (delegation, sealed) = self.grant(caller.domain, slot(from)?, &wanted)?;
        user::copy_out(token, &sealed).map_err(bad_address)?;
        Ok(Outcome::Value(delegation.into()))
    }

    pub(super) fn call_slot_query(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let binding = self.resources.binding(caller.domain, slot(arguments[0])?)?;
        let info = SlotInfo {
            base: binding.range.base(),
            count: binding.range.count(),
            rights: binding.rights.0,
            kind: binding.kind as u16,
            reserved: 0,
        };
        user::write(arguments[1], &info).map_err(bad_address)?;
        Ok(Outcome::Value(0))
    }

    /// A domain named by an optional slot, none being the caller's own.
    pub(super) fn domain_or_own(&self, caller: Caller, argument: u64) -> Result<u32, Error> {
        match optional_slot(argument)? {
            None => Ok(caller.domain),
            Some(slot) => self.domain_in(caller, slot),
        }
    }

    fn domain_in(&self, caller: Caller, slot: u32) -> Result<u32, Error> {
        let binding = self.resources.lookup(caller.domain, slot, Kind::Domain, Rights::CONTROL)?;
        Ok(binding.object)
    }

    pub(super) fn call_domain_create(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let signal = optional_slot(arguments[0])?
            .map(|slot| self.signal_for(caller.domain, slot, arguments[1]))
            .transpose()?;
        let share = u32::try_from(arguments[2]).map_err(|_| Error::BadArgument)?;
        let index = self.resources.domains.next().ok_or(Error::TableFull)?;
        let Some(id) = self.resources.next_id(index) else {
            // Ids are never given twice: this index has none left, the next one has.
            self.resources.domains.retire_next();
            return Err(Error::Again);
        };
        let node = self.object_node(caller.domain, Kind::Domain, index)?;
        let taken = self.resources.take_object(caller.domain);
        let frame = taken.inspect_err(|_| self.drop_node(node))?;
        let share = match self.resources.take_share(caller.domain, share) {
            Ok(share) => share,
            Err(error) => {
                self.resources.put_object(caller.domain, frame);
                self.drop_node(node);
                return Err(error);
            }
        };
        self.resources.insert_domain(frame, Domain::new(id, node, signal, share));
        self.resources.count_object(caller.domain, Kind::Domain, true);
        let rights = Rights::CONTROL.with(Rights::GRANT);
        value(self.resources.bind_node(caller.domain, node, rights, index).inspect_err(|_| {
            self.domain_free(index);
        }))
    }

    pub(super) fn call_domain_destroy(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let slot = slot(arguments[0])?;
        let index = self.domain_in(caller, slot)?;
        if self.is_ancestor(index, caller.domain) {
            return Err(Error::BadArgument);
        }
        self.domain_stop(index, EndReason::Destroyed, 0);
        if self.domain_end_step(index)? {
            return Err(Error::Again);
        }
        self.domain_free(index);
        self.resources.clear_slot(caller.domain, slot)?;
        Ok(Outcome::Value(0))
    }

    pub(super) fn call_domain_status(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let index = self.domain_in(caller, slot(arguments[0])?)?;
        let domain = self.resources.domains.get(index).ok_or(Error::Dead)?;
        Ok(Outcome::Value(match domain.state {
            State::Running => 0,
            State::Ended(reason, status) => u64::from(reason as u32) << 32 | u64::from(status),
        }))
    }

    pub(super) fn call_slice_assign(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [slices, first, count, domain, ..] = arguments;
        let binding =
            self.resources.lookup(caller.domain, slot(slices)?, Kind::Slices, Rights::GRANT)?;
        let units = binding.range.part(first, count).ok_or(Error::BadArgument)?;
        let domain = self.domain_in(caller, slot(domain)?)?;
        let from = self.resources.domains.get(caller.domain).ok_or(Error::Dead)?.id;
        let to = self.resources.domains.get(domain).ok_or(Error::Dead)?.id;
        done(self.assign_slices(units, from, to))
    }

    #[inline(always)]
    pub(super) fn call_event_signal(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let event = self.resources.lookup(
            caller.domain,
            slot(arguments[0])?,
            Kind::Event,
            Rights::SIGNAL,
        )?;
        let index = event.object;
        self.event_signal(index, arguments[1]);
        Ok(Outcome::Value(0))
    }

    #[inline(always)]
    pub(super) fn call_event_wait(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [event, mask, deadline, ..] = arguments;
        let event =
            self.resources.lookup(caller.domain, slot(event)?, Kind::Event, Rights::WAIT)?;
        let index = event.object;
        const { assert!(FOREVER == u64::MAX) };
        self.event_wait(caller, index, mask, deadline)
    }

    pub(super) fn call_gate_create(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [environment, number, entry, stack, ..] = arguments;
        let environment = self.environment(caller.domain, slot(environment)?, Rights::CONTROL)?;
        value(self.gate_create(caller.domain, environment, number, entry, stack))
    }

    #[inline(always)]
    pub(super) fn call_gate_call(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [gate, .., deadline] = arguments;
        self.gate_call(caller, slot(gate)?, deadline)
    }

    pub(super) fn call_ring_create(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [frames, unit, event, bits, ..] = arguments;
        value(self.ring_create(caller.domain, slot(frames)?, unit, slot(event)?, bits))
    }

    fn ring_in(&self, caller: Caller, argument: u64) -> Result<u32, Error> {
        let slot = slot(argument)?;
        let ring = self.resources.lookup(caller.domain, slot, Kind::Ring, Rights::CONTROL)?;
        Ok(ring.object)
    }

    pub(super) fn call_ring_submit(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let ring = self.ring_in(caller, arguments[0])?;
        value(self.ring_submit(ring))
    }

    pub(super) fn call_ring_destroy(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let ring = self.ring_in(caller, arguments[0])?;
        self.ring_end_step(ring)?;
        self.resources.clear_slot(caller.domain, slot(arguments[0])?)?;
        done(Ok(()))
    }

    pub(super) fn call_ledger_check(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        self.resources.lookup(
            caller.domain,
            slot(arguments[0])?,
            Kind::Console,
            Rights::CONTROL,
        )?;
        value(self.ledger_check_step())
    }

    pub(super) fn call_environment_destroy(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let slot = slot(arguments[0])?;
        let index = self.environment(caller.domain, slot, Rights::CONTROL)?;
        if index == caller.environment {
            return Err(Error::BadArgument);
        }
        let more = self.environment_end_step(index);
        if !more {
            self.resources.clear_slot(caller.domain, slot)?;
        }
        step(more)
    }
}
