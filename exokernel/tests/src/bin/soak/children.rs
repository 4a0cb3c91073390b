//! Child domains: made, run on a core of their own choice, robbed, ended.

use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::{Grant, MapFlags};
use serix_abi::{Call, NO_SLOT};
use serix_kernel_tests::child::{ATTACK, PAGE, STACK_END, TARGET, frame_rights, until_done};
use serix_kernel_tests::raw::{self, Attack, attack_code, call};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Failure, Random};
use serix_sys::{Slot, call as sys};

use crate::actor::{Outcome, slot};
use crate::pages::{Pages, must};

/// Frames for the child's account.
const ACCOUNT: u64 = 20;
/// Code, dispatcher page, target; then the account, then one that is delegated alone.
const ROBBED: u64 = 3 + ACCOUNT;
/// Frames that a child takes.
pub(crate) const FRAMES: u64 = ROBBED + 1;
/// Slices before this one are the session's own.
const FIRST_SLICE: u64 = 4;
/// Slices of a child: it runs half of the time, so that it often runs when something is taken from it.
const SLICES: u64 = 4;

/// A child domain that writes for ever to two pages on one core.
pub(crate) struct Child {
    domain: Slot,
    environment: Slot,
    frames: Slot,
    /// The frame that is delegated alone, while it is.
    robbed: Option<Slot>,
    first: u64,
}

/// Delegates frames to a domain; the delegation.
fn delegate(first: u64, count: u64, domain: Slot) -> Result<Slot, Failure> {
    let parameters =
        Grant { first, count, rights: frame_rights().0, reserved: 0, domain: domain.0 };
    Ok(sys::grant(slot(1), &parameters)?.1)
}

impl Child {
    /// A child with the frames from `first` on, on the core of `slices`.
    pub(crate) fn new(
        first: u64,
        slices: Slot,
        pages: &mut Pages,
        event: Slot,
    ) -> Result<Self, Failure> {
        pages.fill(first, attack_code())?;
        // Its end sets a bit that nobody waits for.
        let domain = Slot(must(sys::domain_create(event, 1 << 40, 0), "domain")? as u32);
        let frames = delegate(first, ROBBED, domain)?;
        let robbed = delegate(first + ROBBED, 1, domain)?;
        let fund = [domain.0.into(), frames.0.into(), 3, ACCOUNT];
        must(call(Call::Fund, &fund), "fund")?;
        let environment = must(sys::environment_create(domain, NO_SLOT.into()), "environment")?;
        let map = |address: u64, of: Slot, unit: u64, flags: MapFlags| {
            let answer =
                call(Call::MapRange, &[environment, address, of.0.into(), unit, 1, flags.0]);
            must(answer, "map")
        };
        map(ATTACK, frames, 0, MapFlags::default())?;
        map(PAGE, frames, 1, DATA)?;
        map(TARGET, robbed, 0, DATA)?;
        let parameters = DispatcherParameters {
            frames: frames.0,
            unit: 1,
            page_address: PAGE,
            rip: ATTACK + Attack::Count.offset(),
            rsp: STACK_END,
            upcalls_disabled: 1,
            ..DispatcherParameters::default()
        };
        raw::dispatcher(Slot(environment as u32), &parameters)?;
        sys::slice_assign(slices, FIRST_SLICE, SLICES, domain)?;
        let environment = Slot(environment as u32);
        Ok(Self { domain, environment, frames, robbed: Some(robbed), first })
    }

    /// It runs on; or the page that it writes to is taken, and it ends by a fault.
    pub(crate) fn step(&mut self, random: &mut Random) -> Outcome {
        must(sys::domain_status(self.domain), "status")?;
        if random.below(3) == 0
            && let Some(robbed) = self.robbed.take()
        {
            must(until_done(Call::Revoke, robbed), "revoke")?;
        }
        Ok(())
    }

    /// Ends it, wherever it runs; all its frames come back zero.
    pub(crate) fn end(self, pages: &mut Pages) -> Outcome {
        must(until_done(Call::DomainDestroy, self.domain), "destroy")?;
        // The environment is gone; the slot that named it is not.
        must(sys::unbind(self.environment), "unbind")?;
        if let Some(robbed) = self.robbed {
            must(until_done(Call::Revoke, robbed), "revoke the one")?;
        }
        must(until_done(Call::Revoke, self.frames), "revoke")?;
        for unit in [0, 1, 2, 3, ROBBED] {
            pages.expect_zero(self.first + unit)?;
        }
        Ok(())
    }
}
