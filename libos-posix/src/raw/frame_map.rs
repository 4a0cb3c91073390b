//! The frame map: all frames of the session, one after the other, in session memory.
//!
//! A frame's memory is reached by copying only, never borrowed: a device or a program may write it at any time.
use crate::memory::FrameNumber;
use serix_block::PAGE_SIZE;
use serix_session::FRAME_MAP_ADDRESS;

/// Address of a frame in the frame map.
#[inline(always)]
#[must_use]
pub fn address(frame: FrameNumber) -> u64 {
    FRAME_MAP_ADDRESS + u64::from(frame.0) * PAGE_SIZE as u64
}

#[inline(always)]
pub(super) fn pointer(frame: FrameNumber) -> *mut u8 {
    address(frame) as *mut u8
}

/// Whether `len` bytes at `offset` lie within a page.
#[inline(always)]
pub(super) fn in_page(offset: usize, len: usize) -> bool {
    offset <= PAGE_SIZE && len <= PAGE_SIZE - offset
}

/// Copies out of a frame.
///
/// # Panics
/// If the range leaves the frame.
#[inline]
pub fn read(frame: FrameNumber, offset: usize, into: &mut [u8]) {
    assert!(in_page(offset, into.len()));
    // SAFETY: 1. The range is inside one frame of the frame map. 2. The slice is not in program or frame memory.
    unsafe {
        core::ptr::copy_nonoverlapping(pointer(frame).add(offset), into.as_mut_ptr(), into.len())
    };
}

/// Copies into a frame.
///
/// # Panics
/// If the range leaves the frame.
#[inline]
pub fn write(frame: FrameNumber, offset: usize, from: &[u8]) {
    assert!(in_page(offset, from.len()));
    // SAFETY: as `read`.
    unsafe {
        core::ptr::copy_nonoverlapping(from.as_ptr(), pointer(frame).add(offset), from.len())
    };
}

/// Zeroes part of a frame.
///
/// # Panics
/// If the range leaves the frame.
#[inline]
pub fn zero_part(frame: FrameNumber, offset: usize, len: usize) {
    assert!(in_page(offset, len));
    // SAFETY: as `write`.
    unsafe { core::ptr::write_bytes(pointer(frame).add(offset), 0, len) };
}

/// Zeroes a frame.
#[inline]
pub fn zero(frame: FrameNumber) {
    // SAFETY: as `write`. Words, because each iteration of a string instruction costs the same.
    unsafe {
        core::arch::asm!("rep stosq", inout("rdi") pointer(frame) => _, inout("rcx") PAGE_SIZE / 8 => _,
            in("rax") 0, options(nostack, preserves_flags));
    }
}

/// Copies a whole frame.
#[inline]
pub fn copy(from: FrameNumber, to: FrameNumber) {
    // SAFETY: as `write`; both are frames of the frame map.
    unsafe {
        core::arch::asm!("rep movsq", inout("rsi") pointer(from) => _, inout("rdi") pointer(to) => _,
            inout("rcx") PAGE_SIZE / 8 => _, options(nostack, preserves_flags));
    }
}
