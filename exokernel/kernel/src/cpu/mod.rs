//! Cores: dispatchers, slices, and who runs next.
pub(crate) mod core;
pub(crate) mod dispatcher;
pub(crate) mod schedule;

/// Slices in a core's vector.
pub(crate) const SLICES: usize = 64;
/// Length of a slice, in nanoseconds.
pub(crate) const SLICE_NS: u32 = 10_000_000;
