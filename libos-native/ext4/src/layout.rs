//! The on-disk format: where each field lies and what it means.
//!
//! Owns offsets, magic numbers and conversions between bytes and values; does no I/O and keeps no
//! state. Its functions take checked lengths: a slice that is too short is the caller's bug.
pub(crate) mod attributes;
pub(crate) mod bytes;
pub(crate) mod directory;
pub(crate) mod extent;
pub(crate) mod features;
pub(crate) mod group;
pub(crate) mod htree;
pub(crate) mod inode;
pub(crate) mod journal;
pub(crate) mod superblock;
