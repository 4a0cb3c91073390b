//! Transfer rings: one page shared between a domain and the kernel.

use core::sync::atomic::AtomicU32;

/// Submissions in a ring; at most so many transfers of a ring are in flight.
pub const SUBMISSIONS: usize = 32;
/// Completions in a ring.
pub const COMPLETIONS: usize = 64;
/// Runs of frames in a submission.
pub const SEGMENTS: usize = 4;
/// Bytes in a sector.
pub const SECTOR_SIZE: usize = 512;

/// What to do.
pub mod operation {
    /// Read sectors of an extent.
    pub const READ: u8 = 1;
    /// Write sectors of an extent.
    pub const WRITE: u8 = 2;
    /// Make completed writes durable.
    pub const FLUSH: u8 = 3;
    /// Read up to `length` bytes from a stream; completes when there is at least one.
    pub const STREAM_READ: u8 = 4;
    /// Write `length` bytes to a stream.
    pub const STREAM_WRITE: u8 = 5;
}

/// How a transfer ended.
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// The device reported an error or was reset.
    pub const IO: u32 = 1;
    /// The submission is malformed, or its range is outside the slot's.
    pub const BAD_ARGUMENT: u32 = 2;
    /// A slot is empty, stale, of another kind, or lacks a right.
    pub const DENIED: u32 = 3;
    /// The device has no room; submit again after a completion.
    pub const BUSY: u32 = 4;
}

/// A run of consecutive frames of the submission's frame slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Segment {
    /// First frame, relative to the slot.
    pub unit: u32,
    /// How many.
    pub count: u32,
}

/// One transfer. Bytes run through the segments in order, from `offset` in the first frame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Submission {
    /// One of [`operation`].
    pub operation: u8,
    /// How many of `segments` are used.
    pub segment_count: u8,
    /// First byte in the first frame; for blocks a multiple of 512.
    pub offset: u16,
    /// Slot of the extent or console.
    pub target: u32,
    /// First sector, relative to the extent; zero for streams.
    pub sector: u64,
    /// Comes back in the completion.
    pub cookie: u64,
    /// Bytes; for blocks a multiple of 512.
    pub length: u32,
    /// Slot of the frames.
    pub frames: u32,
    /// Where in those frames.
    pub segments: [Segment; SEGMENTS],
}

/// How one transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Completion {
    /// The submission's cookie.
    pub cookie: u64,
    /// One of [`status`].
    pub status: u32,
    /// Bytes transferred.
    pub length: u32,
}

/// The page. Indices run freely and are taken modulo the ring's size; each side writes its own two.
#[repr(C, align(4096))]
pub struct RingPage {
    /// Written by the domain: submissions made.
    pub submitted: AtomicU32,
    /// Written by the kernel: submissions taken.
    pub taken: AtomicU32,
    /// Written by the kernel: completions made.
    pub completed: AtomicU32,
    /// Written by the domain: completions seen.
    pub seen: AtomicU32,
    reserved: [u32; 12],
    /// Submissions.
    pub submissions: [Submission; SUBMISSIONS],
    /// Completions.
    pub completions: [Completion; COMPLETIONS],
    unused: [u8; crate::PAGE_SIZE - 64 - SUBMISSIONS * 64 - COMPLETIONS * 16],
}

const _: () = {
    assert!(size_of::<Submission>() == 64);
    assert!(size_of::<Completion>() == 16);
    assert!(size_of::<RingPage>() == crate::PAGE_SIZE);
};
