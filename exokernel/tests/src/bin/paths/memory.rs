//! Faults, mappings, address spaces, and a block of the disk.

use super::measure::{LEAST_GAP, gap, measure, print};
use serix_abi::ring::status;
use serix_abi::{Call, Error};
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, raw, tests};
use serix_sys::time::ticks;

pub(crate) const TESTS: &[Test] = tests!["paths":
    fault_and_resume, fault_map_resume, map_one, map_batch, unmap_one, unmap_batch,
    create_and_destroy, disk_block];

/// A fault that the stub answers at once: the kernel's share, plus about 25 instructions of the stub.
fn fault_and_resume(_: &mut Session) -> Check {
    measure("fault-resume", 1, || {
        let before = ticks();
        let fault = raw::read(raw::NOWHERE);
        let cost = ticks() - before;
        fault.map_or(Ok(cost), |_| Err(Error::BadAddress))
    })
}

/// As a libOS handles a fault of a program: fault, map, and the access again.
fn fault_map_resume(session: &mut Session) -> Check {
    let (unit, address) = (session.take_frames(1), session.take_addresses(1));
    let (environment, frames) = (session.environment.0.into(), session.frames.0.into());
    measure("fault-map-resume", 1, || {
        session.unmap(session.environment, address, 1)?;
        let before = ticks();
        let fault = raw::read(address);
        raw::call(Call::MapRange, &[environment, address, frames, unit, 1, DATA.0])?;
        let value = raw::read(address);
        let cost = ticks() - before;
        if fault.is_ok() || value.is_err() { Err(Error::BadAddress) } else { Ok(cost) }
    })
}

fn map_one(session: &mut Session) -> Check {
    map(session, "map-one", 1)
}

fn map_batch(session: &mut Session) -> Check {
    map(session, "map-per-page-of-64", 64)
}

fn map(session: &mut Session, name: &str, count: u64) -> Check {
    let (unit, address) = (session.take_frames(count), session.take_addresses(count));
    let (environment, frames) = (session.environment.0.into(), session.frames.0.into());
    measure(name, count, || {
        session.unmap(session.environment, address, count)?;
        let map = [environment, address, frames, unit, count, DATA.0];
        let cost = raw::measured(Call::MapRange, map)?;
        let last = address + (count - 1) * serix_abi::PAGE_SIZE as u64;
        raw::write(last, count)
            .and_then(|()| raw::read(last))
            .map_or(Err(Error::BadAddress), |_| Ok(cost))
    })
}

fn unmap_one(session: &mut Session) -> Check {
    unmap(session, "unmap-one", 1)
}

fn unmap_batch(session: &mut Session) -> Check {
    unmap(session, "unmap-per-page-of-64", 64)
}

fn unmap(session: &mut Session, name: &str, count: u64) -> Check {
    let (unit, address) = (session.take_frames(count), session.take_addresses(count));
    let environment = session.environment.0.into();
    measure(name, count, || {
        session.map(session.environment, address, unit, count, DATA)?;
        raw::write(address, count).map_err(|_| Error::BadAddress)?;
        let cost = raw::measured(Call::Unmap, [environment, address, count, 0, 0, 0])?;
        if raw::read(address).is_ok() { Err(Error::BadAddress) } else { Ok(cost) }
    })
}

/// An environment without anything in it, made and destroyed.
fn create_and_destroy(_: &mut Session) -> Check {
    measure("create-destroy-environment", 1, raw::environment_measured)
}

/// Rounds of the disk row: the machine waits for its host in each.
const READS: usize = 41;
/// Bytes of a block.
const BLOCK: u32 = 4096;

/// A block of the root file system, whose superblock it is: submission, interrupt, and completion. How long the host takes in between
/// is not in it: a program that spins sees the interrupt as a gap.
fn disk_block(session: &mut Session) -> Check {
    // Where there is no disk there is no row, which `bench` would miss.
    let Some((disk, _)) = session.disk else { return Ok(()) };
    let mut ring = TestRing::new(session)?;
    let view = session.take_addresses(1);
    session.map(session.environment, view, ring.buffer.into(), 1, DATA)?;
    let mut all = [0; READS];
    for place in &mut all {
        raw::write(view + 1080, 0)?;
        let read = ring.read(disk, 0, BLOCK);
        let start = ticks();
        ring.put(&read)?;
        ring.submit()?;
        *place = ticks() - start;
        while !ring.has_completed()? {
            let (before, after) = gap(LEAST_GAP)?;
            // The last one is the interrupt.
            if ring.has_completed()? {
                *place += after - before;
            }
        }
        let start = ticks();
        serix_sys::call::event_wait(ring.event, 1, 0)?;
        let completion = ring.complete()?;
        *place += ticks() - start;
        ensure_eq!(completion.status, status::OK);
        ensure!(raw::read(view + 1080)? & 0xFFFF == 0xEF53, "no superblock was read");
    }
    print("disk-block-read", &mut all)?;
    serix_sys::call::ring_destroy(ring.slot)?;
    serix_sys::call::unbind(ring.event)?;
    Ok(())
}
