//! Filling the first domain's memory, before ring 3 exists.
use super::frames::FrameTable;
use crate::address::{DIRECT_MAP, FrameNumber};
use crate::boot::BootModule;
use serix_abi::PAGE_SIZE;
use serix_abi::start::StartInfo;

/// The bytes of a module.
#[must_use]
pub fn read_module(module: &BootModule) -> &'static [u8] {
    let start = (DIRECT_MAP + module.frame.start().0) as *const u8;
    // SAFETY: the loader put the file there, in whole frames that nothing writes: the first domain maps them read-only. Used
    // during boot only.
    unsafe { core::slice::from_raw_parts(start, module.size) }
}

fn page(frames: &mut FrameTable, frame: FrameNumber) -> &'static mut [u8; PAGE_SIZE] {
    assert!(frames.zero_user(frame), "a frame for the first domain is in use");
    // SAFETY: RAM that is not mapped, pinned or claimed, before ring 3 exists.
    unsafe { &mut *frame.pointer::<[u8; PAGE_SIZE]>() }
}

/// Fills a frame with the part of `bytes` that begins at `offset` (negative: the frame begins before the bytes do); the rest
/// is zero.
pub fn write_frame(frames: &mut FrameTable, frame: FrameNumber, bytes: &[u8], offset: i64) {
    let page = page(frames, frame);
    let skip = usize::try_from(-offset).unwrap_or(0);
    let from = usize::try_from(offset).unwrap_or(0);
    if skip < PAGE_SIZE && from < bytes.len() {
        let length = (PAGE_SIZE - skip).min(bytes.len() - from);
        page[skip..skip + length].copy_from_slice(&bytes[from..from + length]);
    }
}

/// Writes the start page.
pub fn write_start_info(frames: &mut FrameTable, frame: FrameNumber, info: &StartInfo) {
    let page = page(frames, frame);
    // SAFETY: the page is 4096 bytes, aligned, and a `StartInfo` fits in it (checked where it is declared).
    unsafe { page.as_mut_ptr().cast::<StartInfo>().write(*info) };
}
