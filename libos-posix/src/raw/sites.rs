//! Which call sites trap often, counted by the entry of reflected calls.
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use serix_patch::SYSCALL_LENGTH;

/// Traps after which a site is looked at, unless the session says otherwise.
const HOT: u16 = 256;
/// Counters, each for the sites whose addresses and pages together have the same low bits.
pub(super) const COUNTERS_COUNT: usize = 4096;

/// Traps that are left until the site of the last one is looked at.
pub(super) static COUNTERS: [AtomicU16; COUNTERS_COUNT] =
    [const { AtomicU16::new(HOT) }; COUNTERS_COUNT];
/// [`HOT`], or what the session says.
static THRESHOLD: AtomicU16 = AtomicU16::new(HOT);
/// Calls that came by the kernel.
pub(super) static REFLECTED: AtomicU64 = AtomicU64::new(0);
/// The same when a call was last asked about.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// A counter ran out; `rip` is behind the site. Runs before the call, whose registers are saved.
pub(super) extern "sysv64" fn hot(rip: u64) {
    let counter = &COUNTERS[(rip ^ rip >> 12) as usize % COUNTERS_COUNT];
    // While this waits for the file, others that come here need not.
    counter.store(u16::MAX, Ordering::Relaxed);
    let again = crate::patch::hot(rip.wrapping_sub(SYSCALL_LENGTH));
    counter.store(again.unwrap_or_else(|| THRESHOLD.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// Has sites looked at after so many traps.
pub(crate) fn set_threshold(traps: u16) {
    THRESHOLD.store(traps, Ordering::Relaxed);
    COUNTERS.iter().for_each(|counter| counter.store(traps, Ordering::Relaxed));
}

/// How many calls came by the kernel.
pub(crate) fn reflected() -> u64 {
    REFLECTED.load(Ordering::Relaxed)
}

/// Whether the present call came by the kernel: to be asked once at the beginning of each call, as tracing does.
#[must_use]
pub fn take_reflected() -> bool {
    let count = reflected();
    SEEN.swap(count, Ordering::Relaxed) != count
}

/// Where trampolines lead.
pub(crate) fn entry() -> u64 {
    super::entry::patched_entry as *const () as u64
}
