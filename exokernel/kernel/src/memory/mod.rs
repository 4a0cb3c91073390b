//! Memory: environments' address spaces and subtrees over frames that their domain owns.
pub(crate) mod access;
pub(crate) mod environment;
mod fund;
pub(crate) mod information;
pub(crate) mod subtree;
