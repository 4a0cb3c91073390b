//! From the kernel's start information to the machine's last status.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serix_abi::start::EndReason;
use serix_link::Cause;
use serix_manifest::Manifest;
use serix_sys::{Slot, call};

use crate::disk::{self, Transfers};
use crate::error::Failure;
use crate::frames::{FramePool, Piece};
use crate::inventory::Inventory;
use crate::machine::{Account, Machine};
use crate::plan::{SessionPlan, Tables, devices, plan};
use crate::policy::STATUS_FAILED;
use crate::raw::{self, IoMemory, KernelInfo, Window};
use crate::report::{log, set_log};
use crate::supervise::{Outcome, Supervisor};

/// Frames that init keeps beside those for transfers, and for each session.
const RESERVE: u64 = 64;
const RESERVE_PER_SESSION: u64 = 16;

/// Runs the machine; the status that init ends with.
#[must_use]
pub fn run(info: &KernelInfo) -> i32 {
    let Some(inventory) = Inventory::new(info.page()) else {
        log(format_args!("{}", Failure::StartInfo));
        return STATUS_FAILED;
    };
    if let Some(slot) = inventory.log {
        set_log(slot);
    }
    run_sessions(info, inventory).unwrap_or_else(|failure| {
        log(format_args!("{failure}"));
        STATUS_FAILED
    })
}

fn run_sessions(info: &KernelInfo, inventory: Inventory) -> Result<i32, Failure> {
    let manifest = read_manifest(info, &inventory);
    let sessions = manifest.as_ref().map_or(0, |manifest| manifest.sessions.len() as u64);
    let mut pool = FramePool::new(inventory.frames.clone());
    let mut take = |count| pool.take_run(count).ok_or(Failure::NoReserve);
    let account = take(RESERVE + RESERVE_PER_SESSION * sessions)?;
    let io = take(disk::FRAMES)?;
    let (mut machine, transfers) = prepare(info, inventory, account, io)?;
    let link = machine.inventory.link;
    let result = manifest
        .and_then(|manifest| planned(info, &machine, &transfers, &mut pool, &manifest))
        .and_then(|plans| supervised(&mut machine, &plans));
    let end = result.unwrap_or_else(|failure| {
        log(format_args!("{failure}"));
        HostEnd::failed(&failure)
    });
    if end.is_ours_to_tell
        && let Some(link) = link
        && let Err(error) =
            transfers.send_status(link, end.status, end.cause, end.message.as_bytes())
    {
        log(format_args!("cannot tell the host: {error}"));
    }
    Ok(end.status)
}

fn read_manifest(info: &KernelInfo, inventory: &Inventory) -> Result<Manifest, Failure> {
    let index = inventory.module("manifest").ok_or(Failure::NoManifest)?;
    serix_manifest::parse(info.module(index)).map_err(Failure::Manifest)
}

/// Event, window, clock and ring.
fn prepare(
    info: &KernelInfo,
    inventory: Inventory,
    account: Piece,
    io: Piece,
) -> Result<(Machine, Transfers), Failure> {
    let failure = |step| move |error| Failure::Prepare(step, error);
    let mut account = Account::new(account);
    let event = account.paying(call::event_create).map_err(failure("make an event"))?;
    account.paying(|| raw::map_clock(info)).map_err(failure("map the clock"))?;
    let memory = IoMemory::new(info, &mut account, io).map_err(failure("map buffers"))?;
    let window = Window::new(info);
    let mut machine = Machine { inventory, account, window, event: Slot(event as u32) };
    let transfers =
        Transfers::new(&mut machine, memory, io).map_err(failure("make a transfer ring"))?;
    Ok((machine, transfers))
}

fn planned(
    info: &KernelInfo,
    machine: &Machine,
    transfers: &Transfers,
    pool: &mut FramePool,
    manifest: &Manifest,
) -> Result<Vec<SessionPlan<'static>>, Failure> {
    let tables: Tables = devices(manifest, &machine.inventory)
        .into_iter()
        .map(|(name, disk)| (name, (disk, transfers.table(disk))))
        .collect();
    plan(manifest, &machine.inventory, pool, &tables, |index| info.module(index))
}

/// What the host is to hear.
struct HostEnd {
    status: i32,
    cause: Cause,
    message: String,
    /// Whether no session tells it.
    is_ours_to_tell: bool,
}

impl HostEnd {
    fn failed(failure: &Failure) -> Self {
        Self {
            status: STATUS_FAILED,
            cause: Cause::Setup,
            message: format!("{failure}"),
            is_ours_to_tell: true,
        }
    }

    /// A session that has the link speaks for itself: a second HELLO in the middle of its frames would only confuse.
    fn of(outcome: Outcome, plans: &[SessionPlan<'_>]) -> Self {
        let session = &plans[outcome.session].session;
        let exited = outcome.end.reason == Some(EndReason::Exit);
        Self {
            status: outcome.status,
            cause: if exited { Cause::Exited } else { Cause::Setup },
            message: format!("session {} {}", session.name, outcome.end),
            is_ours_to_tell: !plans.iter().any(|plan| plan.session.console.link),
        }
    }
}

fn supervised(machine: &mut Machine, plans: &[SessionPlan<'_>]) -> Result<HostEnd, Failure> {
    let has_link = plans.iter().any(|plan| plan.session.console.link);
    match Supervisor::start(machine, plans) {
        Ok(supervisor) => match supervisor.run() {
            Ok(outcome) => Ok(HostEnd::of(outcome, plans)),
            Err(failure) => Ok(HostEnd { is_ours_to_tell: !has_link, ..HostEnd::failed(&failure) }),
        },
        Err(failure) => Err(failure),
    }
}
