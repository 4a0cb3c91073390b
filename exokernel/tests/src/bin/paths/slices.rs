//! Switches that nobody asked for: the end of a slice.
//!
//! A program that spins sees them as gaps between two looks at the clock. Up to ten instructions of each loop are in the figures.

use super::measure::{LEAST_GAP, gap, print};
use serix_abi::{Call, Error};
use serix_kernel_tests::child::event;
use serix_kernel_tests::partner::{other_domain, runs};
use serix_kernel_tests::raw::{self, GAP, Server, call};
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};

pub(crate) const TESTS: &[Test] = tests!["paths": slice_switch, preempting_switch];

/// Rounds: each takes a slice or more.
const ROUNDS: usize = 11;
/// Slices that tests keep, from the first on.
const KEPT: u64 = 4;

/// The next slice is the same dispatcher's.
fn slice_switch(_: &mut Session) -> Check {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        let (before, after) = gap(LEAST_GAP)?;
        ensure!(after - before < GAP, "another domain ran");
        *place = after - before;
    }
    print("slice-switch", &mut all)
}

/// The next slice is another domain's, which was preempted itself: all registers and extended state of both are switched.
fn preempting_switch(session: &mut Session) -> Check {
    let mut all = [0; ROUNDS];
    for place in &mut all {
        *place = preempted(session)?;
    }
    print("preempting-switch", &mut all)
}

fn preempted(session: &mut Session) -> Result<u64, serix_kernel_tests::Failure> {
    let (slot, count) = session.slices_by_core()?[0].ok_or(Error::Denied)?;
    let event = event()?;
    let other = other_domain(session, event)?;
    raw::dispatcher(other.environment, &runs(&other, Server::Clock))?;
    // Every second slice.
    for unit in (KEPT..count).step_by(2) {
        call(Call::SliceAssign, &[slot.0.into(), unit, 1, other.domain.0.into()])?;
    }
    let (before, status) = loop {
        let (before, _) = gap(LEAST_GAP)?;
        let status = call(Call::DomainStatus, &[other.domain.0.into()])?;
        if status != 0 {
            break (before, status);
        }
    };
    ensure_eq!(status >> 32, serix_abi::start::EndReason::Exit as u64);
    other.end()?;
    serix_sys::call::unbind(event)?;
    serix_sys::call::unbind(slot)?;
    // The other's clock when its second slice began, which was after the last look here.
    Ok(u64::from((status as u32).wrapping_sub(before as u32)))
}
