//! The clock that deadlines are counted in.
use serix_abi::info::InfoPage;

/// The time stamp counter.
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: RDTSC is allowed in ring 3 (CR4.TSD is clear) and changes only rax and rdx.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds of the TSC clock.
#[inline]
#[must_use]
pub fn now_ns(info: &InfoPage) -> u64 {
    ((u128::from(ticks()) * u128::from(info.tsc_multiplier)) >> 32) as u64
}
