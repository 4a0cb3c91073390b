//! Submissions, good and bad.

use serix_abi::Error;
use serix_abi::ring::{Segment, Submission, operation, status};
use serix_abi::token::{Caveat, Rights};
use serix_kernel_tests::attenuate::Token;
use serix_kernel_tests::child::{Child, Script, event};
use serix_kernel_tests::raw;
use serix_kernel_tests::ring::{BUFFER_FRAMES, TestRing};
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_session::Purpose;
use serix_sys::{Slot, call as sys};

use crate::disk;

pub(crate) const TESTS: &[Test] = tests!["submissions":
    segments_are_filled_in_order, bad_operations_are_refused, bad_lengths_are_refused,
    bad_segments_are_refused, targets_must_be_what_the_operation_wants, writing_needs_the_right,
    frames_need_their_rights, frames_must_be_own];

fn expect(ring: &mut TestRing, submission: Submission, wanted: u32, what: &str) -> Check {
    let outcome = ring.transfer(&submission)?;
    ensure_eq!(outcome.status, wanted, "{what}");
    ensure!(wanted == status::OK || outcome.length == 0, "{what}: {} bytes", outcome.length);
    Ok(())
}

fn end(ring: TestRing) -> Check {
    sys::ring_destroy(ring.slot)?;
    sys::unbind(ring.event)?;
    Ok(())
}

fn run(unit: u32, count: u32) -> Segment {
    Segment { unit, count }
}

/// The same sectors at once, and in pieces that start in the middle of a page and jump about.
fn segments_are_filled_in_order(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let view = session.take_addresses(BUFFER_FRAMES.into());
    let (first, buffer) = (u64::from(ring.buffer), ring.buffer);
    session.map(session.environment, view, first, BUFFER_FRAMES.into(), DATA)?;
    let at_once = ring.read(disk, 0, 8192);
    expect(&mut ring, at_once, status::OK, "two pages at once")?;
    let mut whole = [0; 1024];
    for (at, word) in whole.iter_mut().enumerate() {
        *word = raw::read(view + at as u64 * 8)?;
    }
    let segments = [run(buffer + 6, 1), run(buffer + 2, 1), run(buffer + 4, 2), run(0, 0)];
    let pieces =
        Submission { offset: 3072, segment_count: 3, segments, ..ring.read(disk, 0, 8192) };
    expect(&mut ring, pieces, status::OK, "in three pieces")?;
    for (at, word) in whole.iter().enumerate() {
        let place = 3072 + at as u64 * 8;
        let page = [6, 2, 4][(place / 4096) as usize];
        ensure_eq!(raw::read(view + page * 4096 + place % 4096)?, *word, "word {at}");
    }
    end(ring)
}

fn bad_operations_are_refused(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    for operation in [0, 6, 7, 0x80, 0xFF] {
        let bad = Submission { operation, ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::BAD_ARGUMENT, "an unknown operation")?;
    }
    end(ring)
}

fn bad_lengths_are_refused(session: &mut Session) -> Check {
    let (disk, sectors) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    for length in [0, 1, 511, 513, 4095, 8 * 4096 + 512, 1 << 31, u32::MAX] {
        let bad = ring.read(disk, 0, length);
        expect(&mut ring, bad, status::BAD_ARGUMENT, "a bad length")?;
    }
    for offset in [1, 100, 511, 4096, 0x8000, 0xFFFF] {
        let bad = Submission { offset, ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::BAD_ARGUMENT, "a bad offset")?;
    }
    for sector in [sectors, sectors - 7, u64::MAX, 1 << 40, 1 << 55, 1 << 63] {
        let bad = ring.read(disk, sector, 4096);
        expect(&mut ring, bad, status::BAD_ARGUMENT, "a bad sector")?;
    }
    end(ring)
}

fn bad_segments_are_refused(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let (buffer, last) = (ring.buffer, session.frame_count as u32);
    for segment_count in [0, 5, 0x80, 0xFF] {
        let bad = Submission { segment_count, ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::BAD_ARGUMENT, "a bad number of segments")?;
    }
    for segment in [
        run(buffer, 0),
        run(last, 1),
        run(last - 1, 2),
        run(u32::MAX, 1),
        run(u32::MAX, 2),
        run(1, u32::MAX),
        run(u32::MAX, u32::MAX),
    ] {
        let bad = Submission { segments: [segment; 4], ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::BAD_ARGUMENT, "a bad segment")?;
        let segments = [run(buffer, 1), segment, run(buffer, 1), run(buffer, 1)];
        let second = Submission { segments, segment_count: 2, ..ring.read(disk, 0, 8192) };
        expect(&mut ring, second, status::BAD_ARGUMENT, "a bad second segment")?;
    }
    let short = Submission { segments: [run(buffer, 1); 4], ..ring.read(disk, 0, 4096 + 512) };
    expect(&mut ring, short, status::BAD_ARGUMENT, "too few frames")?;
    end(ring)
}

fn targets_must_be_what_the_operation_wants(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let no_disks = [session.frames, session.log, session.environment, ring.slot, ring.event];
    for target in no_disks.into_iter().chain([Slot(1000), Slot(u32::MAX)]) {
        let bad = ring.read(target, 0, 512);
        expect(&mut ring, bad, status::DENIED, "a read of no disk")?;
    }
    for target in [disk, session.log, session.frames, Slot(1000)] {
        for operation in [operation::STREAM_READ, operation::STREAM_WRITE] {
            let bad = Submission { operation, ..ring.read(target, 0, 512) };
            expect(&mut ring, bad, status::DENIED, "a stream of no link")?;
        }
    }
    end(ring)
}

fn writing_needs_the_right(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    for operation in [operation::WRITE, operation::FLUSH] {
        let bad = Submission { operation, ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::DENIED, "a change of a read-only extent")?;
    }
    end(ring)
}

fn frames_need_their_rights(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let token = session.token(Purpose::Frames).ok_or(Error::BadToken)?;
    let all = Rights::READ.with(Rights::WRITE).with(Rights::MAP).with(Rights::DMA);
    for missing in [Rights::DMA, Rights::WRITE] {
        let caveat = Caveat { rights: Rights(all.0 & !missing.0), ..Caveat::NOTHING };
        let token = Token::from_bytes(&token).and_then(|token| token.attenuate(&caveat));
        let slot = sys::bind(token.ok_or(Error::BadToken)?.as_bytes())?;
        let bad = Submission { frames: slot.0, ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::DENIED, "a read into frames without the right")?;
        sys::unbind(slot)?;
    }
    for slot in [session.log.0, session.environment.0, disk.0, 1000, u32::MAX] {
        let bad = Submission { frames: slot, ..ring.read(disk, 0, 512) };
        expect(&mut ring, bad, status::DENIED, "a read into no frames")?;
    }
    end(ring)
}

fn frames_must_be_own(session: &mut Session) -> Check {
    let (disk, _) = disk(session)?;
    let mut ring = TestRing::new(session)?;
    let event = event()?;
    let child = Child::new(session, event, 2, Script::default())?;
    let given = run((child.first + child.count - 1) as u32, 1);
    let bad = Submission { segments: [given; 4], ..ring.read(disk, 0, 512) };
    expect(&mut ring, bad, status::DENIED, "a read into a delegated frame")?;
    let last = run(child.count as u32 - 1, 1);
    let by_delegation =
        Submission { frames: child.frames.0, segments: [last; 4], ..ring.read(disk, 0, 512) };
    expect(&mut ring, by_delegation, status::DENIED, "by the delegation")?;
    child.end()?;
    let funded = session.take_frames(1);
    session.fund(Slot::NONE, session.frames, funded, 1)?;
    let bad = Submission { segments: [run(funded as u32, 1); 4], ..ring.read(disk, 0, 512) };
    expect(&mut ring, bad, status::DENIED, "a read into a frame of the kernel")?;
    sys::unbind(event)?;
    end(ring)
}
