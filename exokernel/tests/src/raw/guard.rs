//! Which calls would take away or overwrite memory of the calling program.

use core::sync::atomic::{AtomicU64, Ordering};
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::layout::{TOP_SLOT_SIZE, USER_END};
use serix_abi::map::MapRequest;
use serix_abi::{Call, PAGE_SIZE};
use serix_session::{IMAGE_ADDRESS, SessionStart};
use serix_sys::Slot;

use super::entry::{fault_stub, foreign_stub};
use crate::arena;

/// First address after image, start block and stack.
static MEMORY_END: AtomicU64 = AtomicU64::new(IMAGE_ADDRESS + TOP_SLOT_SIZE);
/// Frames before this one hold the program.
static FIRST_FREE_UNIT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Slices that a test keeps for itself.
const SLICES_KEPT: u64 = 4;
/// The slot that is known to be the own environment.
static ENVIRONMENT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Latest deadline that a test waits for, in nanoseconds: six days of uptime, which no test reaches.
const PATIENCE: u64 = 1 << 49;
/// Nothing is ever mapped here, so that nothing can be read from here.
pub const NOWHERE: u64 = 0x10_0000_0000;
/// First top-level slot of the libOS: dispatcher page; then window, session memory, information page.
const OWN_TOP_SLOT: u64 = 252;
const PAGE: u64 = PAGE_SIZE as u64;

/// Tells how much of session memory is in use, which frames, and which slot is the own environment.
pub(super) fn set_program(start: &SessionStart, environment: Slot) {
    MEMORY_END.store(start.memory_end, Ordering::Relaxed);
    FIRST_FREE_UNIT.store(start.frames_used, Ordering::Relaxed);
    ENVIRONMENT.store(environment.0.into(), Ordering::Relaxed);
}

fn bytes_in_use() -> u64 {
    MEMORY_END.load(Ordering::Relaxed) - IMAGE_ADDRESS
}

/// Whether an address is in session memory in use, or of a dispatcher page.
pub(super) fn is_program(address: u64) -> bool {
    let (slot, offset) = (address / TOP_SLOT_SIZE, address % TOP_SLOT_SIZE);
    slot == OWN_TOP_SLOT || (slot == IMAGE_ADDRESS / TOP_SLOT_SIZE && offset < bytes_in_use())
}

/// Whether a slot is the one that is known to be the own environment.
pub(super) fn is_own_environment(slot: Slot) -> bool {
    u64::from(slot.0) == ENVIRONMENT.load(Ordering::Relaxed)
}

/// Whether mapping calls on pages from `address` on could hit the program. In the environment only where it is; a
/// slot of unknown kind may be a subtree, to which the top-level slot of an address means nothing.
fn is_own(space: u64, address: u64, pages: u64) -> bool {
    let end = pages.checked_mul(PAGE).and_then(|size| address.checked_add(size));
    // The kernel refuses what wraps or leaves the user half.
    let Some(end) = end.filter(|end| *end <= USER_END) else { return false };
    let (first, last) = (address / TOP_SLOT_SIZE, end.saturating_sub(1) / TOP_SLOT_SIZE);
    if space == ENVIRONMENT.load(Ordering::Relaxed) {
        let overlaps = |start: u64, stop: u64| address < stop && start < end;
        let dispatchers = OWN_TOP_SLOT * TOP_SLOT_SIZE;
        return overlaps(dispatchers, dispatchers + TOP_SLOT_SIZE)
            || overlaps(IMAGE_ADDRESS, IMAGE_ADDRESS + bytes_in_use());
    }
    first != last || first == OWN_TOP_SLOT || address % TOP_SLOT_SIZE < bytes_in_use()
}

/// Whether the kernel could write an answer to memory of the program.
fn is_answered_into_program(address: u64, size: u64) -> bool {
    let arena = arena::address(0)..=arena::address(arena::SIZE) - size;
    let ends = [address, address.saturating_add(size)];
    !arena.contains(&address) && ends.iter().any(|end| is_program(*end))
}

/// Where arguments can be read: nowhere, or in the arena, as bytes from an offset on.
enum Source {
    Nowhere,
    Arena(usize),
    Elsewhere,
}

fn source(address: u64, size: u64) -> Source {
    let start = arena::address(0);
    if (start..=arena::address(arena::SIZE) - size).contains(&address) {
        Source::Arena((address - start) as usize)
    } else if address >= USER_END || address / (1 << 36) == NOWHERE / (1 << 36) || address == 0 {
        Source::Nowhere
    } else {
        Source::Elsewhere
    }
}

/// Whether a call could change memory that the program uses, or not come back.
#[must_use]
pub fn harms(call: Call, arguments: &[u64; 6]) -> bool {
    let [a, b, c, d, e, _] = *arguments;
    let environment = ENVIRONMENT.load(Ordering::Relaxed);
    match call {
        Call::Exit | Call::EnvironmentLeave => true,
        Call::EventWait => c > PATIENCE,
        Call::SliceAssign => b < SLICES_KEPT,
        Call::RingCreate | Call::RecordSet => b < FIRST_FREE_UNIT.load(Ordering::Relaxed),
        Call::MapRange => is_own(a, b, e),
        Call::Unmap | Call::Protect => is_own(a, b, c),
        Call::CopyRange => is_own(environment, c, d),
        Call::InfoMap => is_own(environment, b, 1),
        Call::Attach => (OWN_TOP_SLOT..256).contains(&b),
        Call::Grant => is_answered_into_program(c, 48),
        Call::SlotQuery => is_answered_into_program(b, 24),
        Call::Map => is_harmful_map(a, b, c),
        Call::DispatcherCreate => is_harmful_dispatcher(b),
        Call::DispatcherEntries => is_harmful_dispatcher(c),
        _ => false,
    }
}

fn is_harmful_map(space: u64, requests: u64, count: u64) -> bool {
    const SIZE: u64 = size_of::<MapRequest>() as u64;
    match source(requests, SIZE) {
        Source::Nowhere => false,
        Source::Elsewhere => true,
        Source::Arena(start) => {
            let readable = (arena::SIZE - start) as u64 / SIZE;
            let address = |index: u64| arena::word(start + (index * SIZE) as usize);
            (0..count.min(readable)).any(|index| is_own(space, address(index), 1))
        }
    }
}

/// Of the own environment, entries must be stubs, or such that the kernel refuses them.
fn is_harmful_dispatcher(parameters: u64) -> bool {
    match source(parameters, size_of::<DispatcherParameters>() as u64) {
        Source::Nowhere => false,
        Source::Elsewhere => true,
        Source::Arena(start) => {
            // From `fault_entry` on: three entries, the restart range, rip.
            let word = |index: usize| arena::word(start + 16 + index * 8);
            let entries = [word(0), word(1), word(2), word(5)];
            let is_known = |entry: &u64| [0, fault_stub(), foreign_stub()].contains(entry);
            !entries.iter().any(|entry| *entry >= USER_END) && !entries.iter().all(is_known)
        }
    }
}
