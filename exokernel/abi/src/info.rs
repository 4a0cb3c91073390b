//! The information page: what any environment may read without a call.

use core::sync::atomic::AtomicU64;

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
    /// Cores with the same number share a last-level cache.
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
}

const _: () = assert!(size_of::<InfoPage>() == crate::PAGE_SIZE);
