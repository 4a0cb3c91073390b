//! Reading, writing and resizing regular files over their cached pages.
//!
//! Writers and resizers of one file exclude each other by its `changing` lock; readers take none.
//! No lock is held while data is copied to or from a program, except that sleeping one.
mod fresh;
mod range;
mod read;
mod resize;
mod write;

pub(crate) use write::WriteAt;

use serix_block::PAGE_SIZE;

/// Longest file: offsets are signed 64-bit numbers.
pub(crate) const SIZE_MAX: u64 = i64::MAX as u64;

const PAGE_BYTES: u64 = PAGE_SIZE as u64;

/// The part of a transfer that lies in one page.
#[derive(Clone, Copy)]
struct Chunk {
    index: u64,
    offset: usize,
    len: usize,
}

/// The chunk of `wanted` bytes at `position`, not none, if it is one and within a file of `size`.
#[inline]
fn in_page(size: u64, position: u64, wanted: usize) -> Option<Chunk> {
    let part = chunk(position, wanted);
    let fits = wanted > 0 && part.len == wanted && size >= wanted as u64;
    (fits && position <= size - wanted as u64).then_some(part)
}

/// The first chunk of `left` bytes at `position`.
#[inline]
fn chunk(position: u64, left: usize) -> Chunk {
    let offset = (position % PAGE_BYTES) as usize;
    Chunk { index: position / PAGE_BYTES, offset, len: left.min(PAGE_SIZE - offset) }
}
