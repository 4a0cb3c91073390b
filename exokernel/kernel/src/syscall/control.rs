//! Calls about control: log, exit, yield, environments, dispatchers.
use super::authority::bad_address;
use super::{Arguments, CallResult, Caller, done, slot, value};
use crate::cpu::dispatcher::State;
use crate::debug::log;
use crate::kernel::{Kernel, Outcome};
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::start::EndReason;
use serix_abi::token::{Kind, Rights};
use serix_abi::{Error, WRITE_MAX};
use serix_hal::memory::user;

/// Bytes copied at a time on their way to the log.
const PIECE: usize = 256;

impl Kernel {
    pub(super) fn call_write(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [console, address, length, ..] = arguments;
        self.resources.lookup(caller.domain, slot(console)?, Kind::Console, Rights::LOG)?;
        if length > WRITE_MAX as u64 {
            return Err(Error::BadArgument);
        }
        let author = self.resources.domains.get(caller.domain).ok_or(Error::Dead)?.id;
        let is_first = caller.domain == self.first_domain;
        let mut piece = [0; PIECE];
        let mut done = 0;
        while done < length {
            let part = &mut piece[..(length - done).min(PIECE as u64) as usize];
            user::copy_in(address + done, part).map_err(bad_address)?;
            log::bytes(author, is_first, part);
            done += part.len() as u64;
        }
        Ok(Outcome::Value(length))
    }

    pub(super) fn call_exit(&mut self, arguments: Arguments) -> CallResult {
        self.end_running(EndReason::Exit, arguments[0] as u32);
        Ok(Outcome::Switch)
    }

    /// Replies success to the caller when it runs again.
    #[inline(always)]
    fn reply_later(&mut self, caller: Caller) {
        if let Some(dispatcher) = self.dispatchers.get_mut(caller.dispatcher) {
            dispatcher.context.set_reply(0, 0);
        }
    }

    pub(super) fn call_yield(&mut self, caller: Caller) -> CallResult {
        self.reply_later(caller);
        self.end_slice();
        Ok(Outcome::Switch)
    }

    #[inline(always)]
    pub(super) fn call_yield_to(&mut self, caller: Caller, arguments: Arguments) -> CallResult {
        let [environment, number, ..] = arguments;
        let target = self.environment(caller.domain, slot(environment)?, Rights::CONTROL)?;
        let environment = self.environments.get(target).ok_or(Error::Dead)?;
        if environment.domain != caller.domain {
            return Err(Error::Denied);
        }
        let target = environment.dispatcher(number)?;
        self.yield_to(caller, target)?;
        if target == caller.dispatcher {
            return Ok(Outcome::Value(0));
        }
        Ok(Outcome::Enter(target))
    }

    pub(super) fn call_environment_leave(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let [leaving, target, ..] = arguments;
        let leaving_slot = slot(leaving)?;
        let leaving = self.environment(caller.domain, leaving_slot, Rights::CONTROL)?;
        let target = self.environment(caller.domain, slot(target)?, Rights::CONTROL)?;
        let owner = self.environments.get(target).ok_or(Error::Dead)?.domain;
        if leaving != caller.environment || target == leaving || owner != caller.domain {
            return Err(Error::BadArgument);
        }
        let target = self.dispatcher_of(target, 0)?;
        if self.dispatchers.get(target).is_some_and(|at| at.state == State::Waiting) {
            return Err(Error::Busy);
        }
        self.yield_to(caller, target)?;
        // The rest is `EnvironmentDestroy` by whoever runs next: nothing runs in it any more.
        self.environment_end_step(leaving);
        Ok(Outcome::Switch)
    }

    pub(super) fn call_environment_create(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let owner = self.domain_or_own(caller, arguments[0])?;
        value(self.environment_create(caller.domain, owner, arguments[1]))
    }

    fn parameters(&self, address: u64) -> Result<DispatcherParameters, Error> {
        user::read(address).map_err(bad_address)
    }

    pub(super) fn call_dispatcher_create(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let environment = self.environment(caller.domain, slot(arguments[0])?, Rights::CONTROL)?;
        let parameters = self.parameters(arguments[1])?;
        value(self.dispatcher_create(caller.domain, environment, &parameters))
    }

    pub(super) fn call_dispatcher_start(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let environment = self.environment(caller.domain, slot(arguments[0])?, Rights::CONTROL)?;
        done(self.dispatcher_start(environment, arguments[1]))
    }

    pub(super) fn call_dispatcher_entries(
        &mut self,
        caller: Caller,
        arguments: Arguments,
    ) -> CallResult {
        let environment = self.environment(caller.domain, slot(arguments[0])?, Rights::CONTROL)?;
        let parameters = self.parameters(arguments[2])?;
        done(self.dispatcher_entries(environment, arguments[1], &parameters))
    }
}
