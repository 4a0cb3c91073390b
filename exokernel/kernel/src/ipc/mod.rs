//! Events: words of bits to wait for.
pub(crate) mod event;
pub(crate) mod gate;
