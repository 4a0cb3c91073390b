//! Cores: dispatchers, slices, and who runs next.
pub(crate) mod deadlines;
pub(crate) mod dispatcher;
pub(crate) mod schedule;
pub(crate) mod slices;
