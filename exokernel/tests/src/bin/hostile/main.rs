//! A session that tries every name there is, and gets nothing that is not its own.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod leaks;

use serix_abi::ring::status;
use serix_abi::token::{Kind, ROOT_SIZE};
use serix_abi::{Call, Error};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Random, Session, arena, ensure, ensure_eq, program, run, tests};
use serix_session::{Purpose, SessionStart};
use serix_sys::{Slot, call as sys};

program!(session);

fn session(start: &'static SessionStart) -> i32 {
    run(
        start,
        &[
            tests!["hostile":
            every_slot_number, every_slot_number_for_each_call, every_frame_number, every_token,
            every_extent, every_address, every_window_entry],
            leaks::TESTS,
        ],
    )
}

/// Only the slots that tokens were bound in, or that a call made, answer.
fn every_slot_number(session: &mut Session) -> Check {
    let answer = arena::address(0);
    let mut found = 0;
    let high = [u32::MAX.into(), 1 << 32, 1 << 63, u64::MAX];
    for slot in (0..1 << 17).chain((17..32).map(|bit| 1 << bit)).chain(high) {
        match call(Call::SlotQuery, &[slot, answer]) {
            Ok(_) => found += 1,
            Err(error) => ensure!(error == Error::BadSlot, "slot {slot:#x}: {error:?}"),
        }
    }
    let bound = [session.link.is_some(), session.disk.is_some(), session.slices.is_some()];
    ensure_eq!(found, 4 + bound.iter().filter(|bound| **bound).count(), "slots in use");
    Ok(())
}

/// No call finds anything in a slot that is not its own.
fn every_slot_number_for_each_call(_: &mut Session) -> Check {
    const FIRST: u64 = 64;
    let buffer = arena::address(0);
    for slot in (FIRST..4096).chain([1 << 16, u64::from(u32::MAX) - 1, 1 << 40, u64::MAX]) {
        for (what, rest) in [
            (Call::Write, [buffer, 1, 0, 0, 0]),
            (Call::YieldTo, [0; 5]),
            (Call::Unbind, [0; 5]),
            (Call::Revoke, [0; 5]),
            (Call::Map, [raw::NOWHERE, 1, 0, 0, 0]),
            (Call::Unmap, [raw::NOWHERE, 1, 0, 0, 0]),
            (Call::Protect, [raw::NOWHERE, 1, 0, 0, 0]),
            (Call::CopyRange, [slot, raw::NOWHERE, 1, 0, 0]),
            (Call::SubtreeDestroy, [0; 5]),
            (Call::EnvironmentDestroy, [0; 5]),
            (Call::DomainDestroy, [0; 5]),
            (Call::DomainStatus, [0; 5]),
            (Call::EventSignal, [1, 0, 0, 0, 0]),
            (Call::EventWait, [1, 0, 0, 0, 0]),
            (Call::RingSubmit, [0; 5]),
            (Call::RingDestroy, [0; 5]),
            (Call::LedgerCheck, [0; 5]),
            (Call::MappingCount, [0; 5]),
        ] {
            let [b, c, d, e, f] = rest;
            let answer = call(what, &[slot, b, c, d, e, f]);
            ensure!(answer == Err(Error::BadSlot), "{what:?} of slot {slot:#x}: {answer:?}");
        }
    }
    Ok(())
}

/// Each frame of the machine, named relative to the own range, before it and after it.
fn every_frame_number(session: &mut Session) -> Check {
    const FRAMES: u64 = 1 << 18;
    let info = sys::slot_query(session.frames)?;
    let (space, frames) = (session.environment.0.into(), session.frames.0.into());
    let address = session.take_addresses(1);
    let own = info.base..info.base + info.count;
    for frame in (0..FRAMES).filter(|frame| !own.contains(frame)) {
        let unit = frame.wrapping_sub(info.base);
        let answer = call(Call::MapRange, &[space, address, frames, unit, 1, DATA.0]);
        ensure!(answer == Err(Error::BadArgument), "map of frame {frame:#x}: {answer:?}");
        let answer = call(Call::Fund, &[u32::MAX.into(), frames, unit, 1]);
        ensure!(answer == Err(Error::BadArgument), "fund of frame {frame:#x}: {answer:?}");
        let count = call(Call::MappingCount, &[frames, unit]);
        ensure!(count == Err(Error::BadArgument), "mappings of frame {frame:#x}: {count:?}");
    }
    ensure!(raw::read(address).is_err(), "something was mapped");
    Ok(())
}

/// Random tokens: wholly so, and with a header that makes sense.
fn every_token(session: &mut Session) -> Check {
    let count = session.number_option("tokens").unwrap_or(1_000_000);
    let seed = session.number_option("seed").unwrap_or_else(raw::now_ns);
    line(format_args!("SEED {seed} for {count} tokens"));
    let mut random = Random::new(seed);
    let real = session.token(Purpose::Frames).ok_or(Error::BadToken)?;
    for round in 0..count {
        let bytes = token(&mut random, &real, round % 4);
        let answer = sys::bind(&bytes);
        let refused = matches!(answer, Err(Error::BadToken | Error::Stale));
        ensure!(refused, "token {round} of seed {seed}: {answer:?}");
    }
    Ok(())
}

fn token(random: &mut Random, real: &[u8; ROOT_SIZE], shape: u64) -> [u8; ROOT_SIZE] {
    let mut bytes = *real;
    let random_from = if shape == 0 { 0 } else { 32 };
    for piece in bytes[random_from..].chunks_mut(8) {
        piece.copy_from_slice(&random.word().to_le_bytes()[..piece.len()]);
    }
    if shape > 1 {
        bytes[0] = random.of(Kind::ALL) as u8;
        bytes[4..8].copy_from_slice(&(random.below(1024) as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&random.below(1 << 18).to_le_bytes());
    }
    bytes
}

/// Every sector of every slot, from the first on and past the end of what was given.
fn every_extent(session: &mut Session) -> Check {
    let mut ring = TestRing::new(session)?;
    let own = session.disk;
    for slot in (0..256).map(Slot).filter(|slot| own.is_none_or(|(disk, _)| disk != *slot)) {
        let outcome = ring.transfer(&ring.read(slot, 0, 512))?;
        ensure_eq!(outcome.status, status::DENIED, "read of slot {}", slot.0);
    }
    let Some((disk, sectors)) = own else { return Ok(()) };
    let outcome = ring.transfer(&ring.read(disk, sectors - 1, 512))?;
    ensure_eq!(outcome.status, status::OK, "the last own sector");
    let beyond = [(sectors - 1, 1024), (sectors, 512), (sectors + 1, 512), (u64::MAX, 512)];
    let wrapping = (1..64).map(|bit| ((1_u64 << bit).wrapping_neg(), 512));
    let high = (20..64).map(|bit| (1 << bit, 512)).filter(|(sector, _)| *sector >= sectors);
    for (sector, length) in beyond.into_iter().chain(wrapping).chain(high) {
        let outcome = ring.transfer(&ring.read(disk, sector, length))?;
        ensure_eq!(outcome.status, status::BAD_ARGUMENT, "{length} bytes at {sector:#x}");
    }
    Ok(())
}

/// The kernel half of the address space, and the hole below it: one look into each gigabyte.
fn every_address(_: &mut Session) -> Check {
    let kernel = (256_u64..512).flat_map(|slot| (0..512).map(move |part| (slot, part)));
    for (slot, part) in kernel {
        let address = 0xFFFF_0000_0000_0000 | slot << 39 | part << 30;
        ensure!(raw::read(address).is_err(), "{address:#x} was read");
    }
    for bit in 47..64 {
        ensure!(raw::read(1 << bit).is_err(), "{:#x} was read", 1_u64 << bit);
    }
    Ok(())
}

/// What the page-table window shows are own frames.
fn every_window_entry(session: &mut Session) -> Check {
    use serix_abi::map::MapFlags;
    use serix_session::{DISPATCHER_ADDRESS, IMAGE_ADDRESS, WINDOW_ADDRESS};
    let info = sys::slot_query(session.frames)?;
    let own = info.base..info.base + info.count;
    for start in [DISPATCHER_ADDRESS, IMAGE_ADDRESS, 0x20_0000_0000] {
        for page in 0..512 {
            let entry = raw::read(WINDOW_ADDRESS + ((start >> 12) + page) * 8)?;
            let frame = (entry & MapFlags::FRAME_MASK) >> 12;
            let is_start_block = (session.start_block_pages()).contains(&(start + page * 4096));
            let is_own = entry == 0 || own.contains(&frame) || is_start_block;
            ensure!(is_own, "page {page} of {start:#x} shows frame {frame:#x}");
        }
    }
    Ok(())
}
