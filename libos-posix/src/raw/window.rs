//! The page-table window: what is mapped in the calling environment.
//!
//! The entry for an address is at the window's start plus eight times its page number, and the same again gives
//! the entry of the table above. Read-only, and only of the environment that runs.
use super::user::load_window;
use serix_session::WINDOW_ADDRESS;
use serix_sys::abi::map::MapFlags;
use serix_sys::abi::{PAGE_SHIFT, PAGE_SIZE};

const PAGES_PER_TABLE: u64 = 512;

#[inline(always)]
const fn entry_address(address: u64) -> u64 {
    WINDOW_ADDRESS + (address >> PAGE_SHIFT) * 8
}

/// The page-table entry for a program address; zero if nothing is mapped there.
#[inline]
#[must_use]
pub fn entry(address: u64) -> u64 {
    debug_assert!(address < super::PROGRAM_END);
    // Where there is no table the load faults and answers zero: rarer than it costs to look first.
    load_window(entry_address(address))
}

/// Whether there is a leaf table for an address. A walk that is `far` may lead through much that is not there, so it
/// looks from the top; for others the two levels above the table do, of which a load faults if there is not even the
/// first.
#[inline]
fn table_exists(address: u64, far: bool) -> bool {
    let table = entry_address(address);
    let directory = entry_address(table);
    let pointers = entry_address(directory);
    let is_present = |at| load_window(at) & MapFlags::PRESENT.0 != 0;
    (!far || is_present(entry_address(pointers))) && is_present(pointers) && is_present(directory)
}

/// Calls `visit` with address and entry of each present page in `start..end`, both page-aligned program
/// addresses. Costs little where whole tables are missing. The caller holds the layout's lock, so tables stay.
#[inline]
pub fn walk(start: u64, end: u64, mut visit: impl FnMut(u64, u64)) {
    let table_span = PAGES_PER_TABLE * PAGE_SIZE as u64;
    let far = end - start > table_span;
    let mut at = start;
    while at < end {
        let stop = end.min((at | (table_span - 1)) + 1);
        if !table_exists(at, far) {
            at = skip_missing(at, stop);
            continue;
        }
        let (mut slot, last) = (entry_address(at), entry_address(stop));
        while slot < last {
            let entry = read_entry(slot);
            if entry & MapFlags::PRESENT.0 != 0 {
                visit(((slot - WINDOW_ADDRESS) / 8) << PAGE_SHIFT, entry);
            }
            slot += 8;
        }
        at = stop;
    }
}

/// The end of the largest table span around `at` that is missing.
fn skip_missing(at: u64, stop: u64) -> u64 {
    let directory = entry_address(entry_address(at));
    let pointers = entry_address(directory);
    let top = entry_address(pointers);
    if load_window(top) & MapFlags::PRESENT.0 == 0 {
        (at | ((1 << 39) - 1)) + 1
    } else if load_window(pointers) & MapFlags::PRESENT.0 == 0 {
        (at | ((1 << 30) - 1)) + 1
    } else {
        stop
    }
}

/// The entry at an address of the window, which must be there.
#[inline(always)]
pub(super) fn read_entry(address: u64) -> u64 {
    // SAFETY: the caller names an entry of a table that exists; the window shows it for as long as that.
    unsafe { (address as *const u64).read_volatile() }
}
