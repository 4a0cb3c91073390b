//! Calls about memory.
use super::authority::bad_address;
use super::{Arguments, CallResult, Caller, done, optional_slot, slot, step, value};
use crate::kernel::{Kernel, Outcome};
use crate::memory::access::{PageRange, checked_flags};
use serix_abi::Error;
use serix_abi::map::MapRequest;
use serix_abi::token::{Kind, Rights};
use serix_hal::FrameNumber;
use serix_hal::memory::user;

/// Requests of one call.
const MAX_REQUESTS: u64 = 64;

#[inline(always)]
fn range(address: u64, count: u64) -> Result<PageRange, Error> {
    PageRange::new(address, count).ok_or(Error::BadArgument)
}

impl Kernel {
    pub(super) fn call_map(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [space, requests, count, ..] = arguments;
        let space = self.space(caller.domain, slot(space)?)?;
        if count == 0 || count > MAX_REQUESTS {
            return Err(Error::BadArgument);
        }
        for index in 0..count {
            let address = requests
                .checked_add(index * size_of::<MapRequest>() as u64)
                .ok_or(Error::BadAddress)?;
            let result = user::read(address)
                .map_err(bad_address)
                .and_then(|request: MapRequest| self.map(caller.domain, space, &request));
            match result {
                Ok(()) => {}
                Err(error) if index == 0 => return Err(error),
                Err(_) => return Ok(Outcome::Value(index)),
            }
        }
        Ok(Outcome::Value(count))
    }

    #[inline(always)]
    pub(super) fn call_map_range(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [space, address, frames, first, count, flags] = arguments;
        let domain = self.resources.domains.get(caller.domain).ok_or(Error::Dead)?;
        let space = self.resources.space(domain, slot(space)?)?;
        let flags = checked_flags(flags).ok_or(Error::BadArgument)?;
        let range = range(address, count)?;
        value(self.map_from(caller.domain, space, range, (slot(frames)?, first), flags))
    }

    #[inline(always)]
    pub(super) fn call_unmap(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [space, address, count, ..] = arguments;
        let space = self.space(caller.domain, slot(space)?)?;
        value(self.unmap(space, range(address, count)?))
    }

    pub(super) fn call_protect(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [space, address, count, flags, ..] = arguments;
        let space = self.space(caller.domain, slot(space)?)?;
        let flags = checked_flags(flags).ok_or(Error::BadArgument)?;
        value(self.protect(space, range(address, count)?, flags))
    }

    pub(super) fn call_copy_range(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [source, target, address, count, ..] = arguments;
        let source = self.environment(caller.domain, slot(source)?, Rights::MAP)?;
        let target = self.environment(caller.domain, slot(target)?, Rights::MAP)?;
        value(self.copy_range(source, target, range(address, count)?))
    }

    pub(super) fn call_subtree_create(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let owner = self.domain_or_own(caller, arguments[0])?;
        value(self.subtree_create(caller.domain, owner))
    }

    pub(super) fn call_subtree_destroy(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let slot = slot(arguments[0])?;
        let index = self.subtree_in(caller, slot, Rights::CONTROL)?;
        if self.subtrees.get(index).is_some_and(|tree| tree.attachments > 0) {
            return Err(Error::Busy);
        }
        let more = self.subtree_end_step(index);
        if !more {
            self.resources.clear_slot(caller.domain, slot)?;
        }
        step(more)
    }

    fn subtree_in(&self, caller: Caller, slot: u32, rights: Rights) -> Result<u32, Error> {
        let binding = self.resources.lookup(caller.domain, slot, Kind::Subtree, rights)?;
        Ok(binding.object)
    }

    pub(super) fn call_attach(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [environment, top_slot, subtree, writable, ..] = arguments;
        let environment = self.environment(caller.domain, slot(environment)?, Rights::MAP)?;
        let subtree = match optional_slot(subtree)? {
            None => None,
            Some(slot) => Some(self.subtree_in(caller, slot, Rights::MAP)?),
        };
        if writable > 1 {
            return Err(Error::BadArgument);
        }
        done(self.attach(environment, top_slot, subtree, writable == 1))
    }

    pub(super) fn call_fund(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [domain, frames, first, count, ..] = arguments;
        let domain = self.domain_or_own(caller, domain)?;
        if count == 0 {
            return Err(Error::BadArgument);
        }
        value(self.fund(caller.domain, domain, slot(frames)?, first, count))
    }

    pub(super) fn call_info_map(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let index = self.environment(caller.domain, slot(arguments[0])?, Rights::MAP)?;
        range(arguments[1], 1)?;
        done(self.map_info(index, arguments[1]))
    }

    pub(super) fn call_mapping_count(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let [frames, unit, ..] = arguments;
        let binding =
            self.resources.lookup(caller.domain, slot(frames)?, Kind::Frames, Rights::NONE)?;
        let frame = binding.range.unit(unit).ok_or(Error::BadArgument)? as u32;
        let owner = self.resources.domains.get(caller.domain).ok_or(Error::Dead)?.id;
        // Another domain's mappings are not the caller's to know.
        if !self.resources.ledger.is_mappable_by(serix_core::ids::Frame(frame), owner) {
            return Err(Error::Denied);
        }
        value(Ok::<u64, Error>(self.resources.frames.mappings(FrameNumber(frame)).into()))
    }
}
