//! The information page: what any environment may read without a call.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Identifies an [`InfoPage`].
pub const INFO_MAGIC: u64 = u64::from_le_bytes(*b"serixinf");
/// Cores that the page describes.
pub const MAX_CORES: usize = 32;

/// Class of a core (CPUID leaf 0x1A, Intel SDM vol. 2A).
pub mod core_class {
    /// The CPU does not tell.
    pub const UNKNOWN: u32 = 0;
    /// Performance core.
    pub const PERFORMANCE: u32 = 1;
    /// Efficiency core.
    pub const EFFICIENCY: u32 = 2;
}

/// One core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct CoreInfo {
    /// APIC id.
    pub apic_id: u32,
    /// One of [`core_class`].
    pub class: u32,
    /// Cores with the same number share a last-level cache: the lowest APIC id of those that do. A core tells class and cache when it
    /// begins to run slices.
    pub cache_group: u32,
    /// 1 if the core runs slices.
    pub running: u32,
}

/// Counters since boot, for tests and measurements.
#[repr(C)]
#[derive(Default)]
pub struct Counters {
    /// Foreign calls reflected, up to the last switch of environment.
    pub foreign_calls: AtomicU64,
    /// Faults delivered.
    pub faults: AtomicU64,
    /// Switches of environment.
    pub switches: AtomicU64,
    /// Timer interrupts.
    pub timer_interrupts: AtomicU64,
    /// Device interrupts.
    pub device_interrupts: AtomicU64,
    /// Times a core went to `hlt`.
    pub halts: AtomicU64,
    /// Block transfers completed.
    pub block_transfers: AtomicU64,
    /// Stream transfers completed.
    pub stream_transfers: AtomicU64,
    /// Pages mapped.
    pub pages_mapped: AtomicU64,
    /// Tokens that did not verify.
    pub bad_tokens: AtomicU64,
    /// The longest time that a slice began after the one before it was over, in nanoseconds.
    pub latest_slice_ns: AtomicU64,
    /// Bytes of the kernel's own heap in use. Nothing that ring 3 does changes them.
    pub heap_bytes: AtomicU64,
}

/// Rows of [`InfoPage::histograms`]: a native call has that of its number, these have the last ones.
pub mod row {
    /// Stays in the kernel from a fault to the upcall for it.
    pub const UPCALL: usize = super::HISTOGRAMS - 4;
    /// Stays in the kernel that left to another dispatcher than they came from; they are in another row too.
    pub const SWITCH: usize = super::HISTOGRAMS - 3;
    /// Waits until other cores have forgotten translations; part of a stay.
    pub const SHOOTDOWN: usize = super::HISTOGRAMS - 2;
    /// Interrupts of ring 3.
    pub const INTERRUPT: usize = super::HISTOGRAMS - 1;
}

/// Rows of [`InfoPage::histograms`].
pub const HISTOGRAMS: usize = 64;
/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 12;
/// The first bucket holds what took fewer ticks than two to this power, each further one what took up to twice as long
/// as the one before it, the last all the rest.
pub const FIRST_BUCKET_SHIFT: u32 = 6;

/// How often something took how long, in ticks of the TSC, by powers of two.
#[repr(C)]
#[derive(Default)]
pub struct Histogram {
    /// Counts.
    pub buckets: [AtomicU32; BUCKETS],
}

impl Histogram {
    /// The bucket of a duration.
    #[must_use]
    pub const fn bucket(ticks: u64) -> usize {
        let width = (64 - ticks.leading_zeros()).saturating_sub(FIRST_BUCKET_SHIFT) as usize;
        if width < BUCKETS { width } else { BUCKETS - 1 }
    }

    /// Adds a duration.
    pub fn note(&self, ticks: u64) {
        self.buckets[Self::bucket(ticks)].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.load(Ordering::Relaxed))).sum()
    }
}

/// The page.
#[repr(C, align(4096))]
pub struct InfoPage {
    /// [`INFO_MAGIC`].
    pub magic: u64,
    /// TSC ticks per second.
    pub tsc_hz: u64,
    /// Nanoseconds = (TSC * `tsc_multiplier`) >> 32.
    pub tsc_multiplier: u64,
    /// Unix time in nanoseconds when the TSC was zero.
    pub epoch_ns: u64,
    /// Cores described.
    pub core_count: u32,
    /// Length of a slice, in nanoseconds.
    pub slice_ns: u32,
    /// Frames of RAM.
    pub frame_count: u64,
    /// Bytes of extended state that the CPU saves (CPUID leaf 0xD, for the features in XCR0).
    pub xsave_size: u32,
    /// Low half of XCR0.
    pub xcr0: u32,
    /// Cores.
    pub cores: [CoreInfo; MAX_CORES],
    /// Counters.
    pub counters: Counters,
    /// 1 if the kernel fills the histograms (word `histograms` of its command line), else 0.
    pub histograms_on: u64,
    /// Native calls by number, and the rows of [`row`].
    pub histograms: [Histogram; HISTOGRAMS],
}

const _: () = assert!(size_of::<InfoPage>() == crate::PAGE_SIZE);
const _: () = assert!(crate::Call::ALL.len() <= row::UPCALL);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_double() {
        let buckets = [0, 63, 64, 127, 128, 65_535, 65_536, u64::MAX].map(Histogram::bucket);
        assert_eq!(buckets, [0, 0, 1, 1, 2, 10, 11, 11]);
        let histogram = Histogram::default();
        [1, 70, 1 << 40].into_iter().for_each(|ticks| histogram.note(ticks));
        assert_eq!(histogram.count(), 3);
    }
}
