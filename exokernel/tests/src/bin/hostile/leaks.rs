//! Places where something of others could show: fresh frames, registers after calls, what calls that fail answer, the information page,
//! rings, dispatcher pages. The session `victim` beside this one keeps the machine full of its secrets. (The window is in
//! `every_window_entry`, vector registers have a suite of their own.)

use serix_abi::dispatcher::offset;
use serix_abi::info::InfoPage;
use serix_abi::{Call, PAGE_SIZE};
use serix_kernel_tests::raw::{self, registers_after};
use serix_kernel_tests::ring::TestRing;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_session::{DISPATCHER_ADDRESS, INFO_ADDRESS};

pub(crate) const TESTS: &[Test] = tests!["leaks":
    fresh_frames_are_zero, registers_after_calls_are_own, the_information_page_is_what_it_says,
    rings_hold_own_completions, dispatcher_pages_hold_own_state];

const PAGE: u64 = PAGE_SIZE as u64;

/// Whether a word could be an address of the kernel's, or of its direct map.
fn is_kernels(word: u64) -> bool {
    (0xFFFF_8000_0000_0000..u64::MAX - 0xFFFF).contains(&word)
}

/// All words of a page.
fn words(page: u64) -> impl Iterator<Item = Result<(u64, u64), raw::Fault>> {
    (0..PAGE).step_by(8).map(move |at| raw::read(page + at).map(|word| (at, word)))
}

fn fresh_frames_are_zero(session: &mut Session) -> Check {
    let view = session.take_addresses(1);
    let units = session.next_frames();
    ensure!(units.end - units.start > 1000, "few fresh frames");
    for unit in units {
        session.map(session.environment, view, unit, 1, DATA)?;
        for word in words(view) {
            let (at, word) = word?;
            ensure!(word == 0, "frame {unit} holds {word:#x} at {at}");
        }
        session.unmap(session.environment, view, 1)?;
    }
    Ok(())
}

/// Of each call that comes back at once: nothing but the answer is in the registers, and with an error no value.
fn registers_after_calls_are_own(_: &mut Session) -> Check {
    const NO_CALL_BACK: [Call; 3] = [Call::Exit, Call::EnvironmentLeave, Call::Yield];
    const ARGUMENTS: [[u64; 6]; 3] = [[1000; 6], [u64::MAX; 6], [900, 1, 2, 3, 4, 5]];
    for what in Call::ALL.iter().filter(|what| !NO_CALL_BACK.contains(what)) {
        for arguments in ARGUMENTS.iter().filter(|arguments| !raw::harms(*what, arguments)) {
            let [status, value, rest @ ..] = registers_after(*what, *arguments);
            ensure_eq!(rest, [0; 5], "{what:?} {arguments:x?}: rdi, rsi, r8, r9, r10");
            ensure!(status == 0 || value == 0, "{what:?}: {value:#x} with error {status}");
            ensure!(!is_kernels(value), "{what:?} answers {value:#x}");
        }
    }
    Ok(())
}

fn the_information_page_is_what_it_says(_: &mut Session) -> Check {
    let cores = core::mem::offset_of!(InfoPage, cores) as u64;
    let core_size = size_of::<serix_abi::info::CoreInfo>() as u64;
    let counters = core::mem::offset_of!(InfoPage, counters) as u64;
    let core_count = raw::read(INFO_ADDRESS + core::mem::offset_of!(InfoPage, core_count) as u64)?;
    let first_absent = cores + (core_count & 0xFFFF_FFFF) * core_size;
    for word in words(INFO_ADDRESS) {
        let (at, word) = word?;
        ensure!(!is_kernels(word), "{word:#x} at {at}");
        ensure!(
            !(first_absent..counters).contains(&at) || word == 0,
            "{word:#x} at {at}, of a core that is not there"
        );
    }
    Ok(())
}

/// After transfers a ring page has what was written to it, indices and completions; nothing else.
fn rings_hold_own_completions(session: &mut Session) -> Check {
    use core::mem::offset_of;
    use serix_abi::ring::RingPage;
    let mut ring = TestRing::new(session)?;
    for word in words(ring.page) {
        ensure_eq!(word?.1, 0, "a fresh ring");
    }
    let slot = serix_sys::Slot(900);
    for _ in 0..3 {
        ring.transfer(&ring.read(slot, 0, 512))?;
    }
    let submissions = offset_of!(RingPage, submissions) as u64;
    let completions = offset_of!(RingPage, completions) as u64;
    for word in words(ring.page) {
        let (at, word) = word?;
        ensure!(!is_kernels(word), "{word:#x} at {at}");
        let used = at < 16
            || (submissions..submissions + 3 * 64).contains(&at)
            || (completions..completions + 3 * 16).contains(&at);
        ensure!(used || word == 0, "{word:#x} at {at}, where nothing was transferred");
    }
    Ok(())
}

/// The kernel writes upcall frames of this dispatcher, and nothing of its own or of others.
fn dispatcher_pages_hold_own_state(_: &mut Session) -> Check {
    for _ in 0..10 {
        ensure!(raw::read(raw::NOWHERE).is_err(), "something is there");
    }
    for word in words(DISPATCHER_ADDRESS) {
        let (at, word) = word?;
        ensure!(!is_kernels(word), "{word:#x} at {at}");
    }
    let depth = raw::read(DISPATCHER_ADDRESS + offset::UPCALLS_DISABLED as u64)? >> 32;
    ensure_eq!(depth, 0, "depth of upcalls");
    Ok(())
}
