//! A slow disk: domains take turns at it, and it is reset when it does not let go of frames. The machine's disk answers 100 requests a
//! second, and 200,000 bytes.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod reader;

use reader::Reader;
use serix_abi::ring::{SUBMISSIONS, Segment, Submission, operation, status};
use serix_abi::{Call, Error};
use serix_kernel_tests::child::until_done;
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, program, run, tests};
use serix_session::SessionStart;
use serix_sys::Slot;

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(start, &[TESTS])
}

const TESTS: &[Test] = tests!["slow":
    domains_take_turns, a_ring_with_a_place_in_the_queue_ends, a_disk_that_keeps_frames_is_reset];

fn disk(session: &Session) -> Result<Slot, Error> {
    session.disk.map(|(disk, _)| disk).ok_or(Error::Unsupported)
}

/// The test keeps two rings full; another domain's one read is done after what was in flight before it, and no later.
fn domains_take_turns(session: &mut Session) -> Check {
    let disk = disk(session)?;
    let (mut first, mut second) = (TestRing::new(session)?, TestRing::new(session)?);
    for ring in [&mut first, &mut second] {
        for sector in 0..SUBMISSIONS as u64 {
            ring.put(&ring.read(disk, sector, 512))?;
        }
        ring.submit()?;
    }
    let reader = Reader::new(session, disk, 0, status::OK)?;
    let (mut done, mut late) = (0, 0);
    while !reader.has_ended()? {
        for ring in [&mut first, &mut second] {
            while ring.has_completed()? {
                let outcome = ring.complete()?;
                match outcome.status {
                    status::OK => done += 1,
                    // A second ring of a domain that waits already.
                    status::BUSY => late += 1,
                    other => ensure!(false, "status {other} of a read of the test's own"),
                }
                ring.put(&ring.read(disk, 0, 512))?;
            }
            ring.submit()?;
        }
        let pause = [first.event.0.into(), 1, raw::now_ns() + 5_000_000];
        match call(Call::EventWait, &pause) {
            Ok(_) | Err(Error::TimedOut) => {}
            Err(other) => return Err(other.into()),
        }
    }
    ensure_eq!(reader.status()?, 0, "the other's script");
    // 32 in flight, a turn each, and what comes while the reader starts and ends.
    ensure!(
        done <= 3 * SUBMISSIONS as u64,
        "{done} reads of the test's own before the other's one"
    );
    ensure!(done > 0 && late > 0, "the disk was not full: {done} reads, {late} late");
    reader.end()?;
    for mut ring in [first, second] {
        while call(Call::RingDestroy, &[ring.slot.0.into()]) == Err(Error::Busy) {
            ring.complete()?;
        }
    }
    Ok(())
}

/// Neither what waits nor the queue is harmed when a domain ends that has a place in it.
fn a_ring_with_a_place_in_the_queue_ends(session: &mut Session) -> Check {
    let disk = disk(session)?;
    let mut ring = TestRing::new(session)?;
    for sector in 0..SUBMISSIONS as u64 {
        ring.put(&ring.read(disk, sector, 512))?;
    }
    ring.submit()?;
    let doomed = Reader::new(session, disk, 0, status::OK)?;
    let other = Reader::new(session, disk, 1, status::OK)?;
    doomed.await_submission()?;
    other.await_submission()?;
    doomed.end()?;
    while !other.has_ended()? {
        if ring.has_completed()? {
            ensure_eq!(ring.complete()?.status, status::OK);
        }
    }
    ensure_eq!(other.status()?, 0, "the one behind it in the queue");
    other.end()?;
    while call(Call::RingDestroy, &[ring.slot.0.into()]) == Err(Error::Busy) {
        ring.complete()?;
    }
    Ok(())
}

/// Frames that are read into are taken back while the disk has 20 seconds of work.
fn a_disk_that_keeps_frames_is_reset(session: &mut Session) -> Check {
    const LARGE: u32 = 1024;
    let disk = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let unit = session.take_frames(LARGE.into()) as u32;
    let mut segments = [Segment::default(); 4];
    segments[0] = Segment { unit, count: LARGE };
    let large = Submission {
        operation: operation::READ,
        segment_count: 1,
        target: disk.0,
        length: LARGE * 4096,
        frames: session.frames.0,
        segments,
        ..Submission::default()
    };
    ring.put(&large)?;
    // What comes behind it waits, in the device.
    ring.put(&ring.read(disk, 0, 512))?;
    ring.submit()?;
    ensure_eq!(ring.complete()?.status, status::OK, "the large one");
    let reader = Reader::new(session, disk, 0, status::IO)?;
    reader.await_submission()?;
    let before = raw::now_ns();
    until_done(Call::Revoke, reader.buffer)?;
    let took = (raw::now_ns() - before) / 1_000_000;
    ensure!((4_000..15_000).contains(&took), "it took {took} ms");
    // Everybody's transfers failed; nobody else was harmed.
    ensure_eq!(ring.complete()?.status, status::IO, "the test's own");
    while !reader.has_ended()? {}
    ensure_eq!(reader.status()?, 0, "the script of whose frames were taken");
    reader.end()?;
    // The disk works on.
    ring.put(&ring.read(disk, 0, 512))?;
    ring.submit()?;
    let deadline = raw::now_ns() + 60_000_000_000;
    while !ring.has_completed()? {
        ensure!(raw::now_ns() < deadline, "nothing from the disk after its reset");
        let pause = [ring.event.0.into(), 1, raw::now_ns() + 100_000_000];
        let _ = call(Call::EventWait, &pause);
    }
    ensure_eq!(ring.complete()?.status, status::OK, "after the reset");
    ensure_eq!(call(Call::RingDestroy, &[ring.slot.0.into()]), Ok(0));
    Ok(())
}
