//! The record page: what a domain is asked to give back, and what was taken from it.
//!
//! A domain names a frame for it with `RecordSet`; the kernel writes, the domain reads. Invariant: the kernel believes nothing that is
//! in the page.

use core::sync::atomic::AtomicU64;

/// Entries of the record; older ones are overwritten.
pub const RECORD_ENTRIES: usize = 64;

/// What the holder of a delegation is asked to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Asked {
    /// Generation of the grant, as in its token: what `Surrender` takes.
    pub generation: u64,
    /// First unit.
    pub base: u64,
    /// Units.
    pub count: u64,
    /// When it is taken by force, in nanoseconds of the TSC clock.
    pub deadline: u64,
    /// A [`crate::token::Kind`].
    pub kind: u64,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Taken {
    /// Generation of the grant.
    pub generation: u64,
    /// First unit.
    pub base: u64,
    /// Units.
    pub count: u64,
    /// A [`crate::token::Kind`].
    pub kind: u32,
    /// 1 if the domain had not let go of it.
    pub forced: u32,
}

/// The page.
#[repr(C, align(4096))]
pub struct RecordPage {
    /// Questions put so far; written after [`Self::asked`].
    pub asks: AtomicU64,
    /// The last question.
    pub asked: Asked,
    reserved: [u64; 2],
    /// Entries written so far; written after the entry, which is at this number less one, modulo [`RECORD_ENTRIES`].
    pub taken: AtomicU64,
    /// The record.
    pub entries: [Taken; RECORD_ENTRIES],
}

const _: () = assert!(size_of::<RecordPage>() == crate::PAGE_SIZE);
