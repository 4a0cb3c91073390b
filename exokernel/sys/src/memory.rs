//! Address spaces: map, unmap, protect, copy.
use crate::raw::native;
use crate::{Result, Slot};
use serix_abi::map::{MapFlags, MapRequest};
use serix_abi::{Call, PAGE_SIZE};

/// Maps the pages of `requests` in `space` (an environment or a subtree).
///
/// # Errors
/// The error of the first request that failed; those before it were mapped.
///
/// # Safety
/// If `space` is the caller's own, no request replaces memory that Rust code still uses.
pub unsafe fn map(space: Slot, requests: &[MapRequest]) -> Result<()> {
    let mut rest = requests;
    while !rest.is_empty() {
        let batch = &rest[..rest.len().min(64)];
        // SAFETY: the kernel reads exactly `batch`; the caller vouches for the addresses.
        let done = unsafe {
            native(Call::Map, [space.0.into(), batch.as_ptr() as u64, batch.len() as u64, 0, 0, 0])
        }?;
        rest = &rest[done as usize..];
    }
    Ok(())
}

/// Maps `count` frames of `frames`, from unit `first`, at consecutive pages from `address` on.
///
/// # Errors
/// As `serix_abi::Call::MapRange`; pages before the failing one were mapped.
///
/// # Safety
/// As [`map`].
pub unsafe fn map_range(
    space: Slot,
    address: u64,
    frames: Slot,
    first: u64,
    count: u64,
    flags: MapFlags,
) -> Result<()> {
    let mut done = 0;
    while done < count {
        // SAFETY: no pointers the kernel follows; the caller vouches for the addresses.
        done += unsafe {
            native(
                Call::MapRange,
                [
                    space.0.into(),
                    address + done * PAGE_SIZE as u64,
                    frames.0.into(),
                    first + done,
                    count - done,
                    flags.0,
                ],
            )
        }?;
    }
    Ok(())
}

/// Removes the mappings of `count` pages.
///
/// # Errors
/// As `serix_abi::Call::Unmap`.
///
/// # Safety
/// No Rust code uses that memory any more.
pub unsafe fn unmap(space: Slot, address: u64, count: u64) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { by_pages(Call::Unmap, address, count, |at, rest| [space.0.into(), at, rest, 0, 0, 0]) }
}

/// Sets the flags of the present pages among `count`.
///
/// # Errors
/// As `serix_abi::Call::Protect`.
///
/// # Safety
/// No Rust code relies on access that this takes away.
pub unsafe fn protect(space: Slot, address: u64, count: u64, flags: MapFlags) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        by_pages(Call::Protect, address, count, |at, rest| {
            [space.0.into(), at, rest, flags.0, 0, 0]
        })
    }
}

/// Copy-on-write fork of `count` pages from `address` on.
///
/// # Errors
/// As `serix_abi::Call::CopyRange`.
///
/// # Safety
/// Writable private pages of the range become read-only in both environments; the fault entry of the
/// environment copes with that.
pub unsafe fn copy_range(source: Slot, target: Slot, address: u64, count: u64) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        by_pages(Call::CopyRange, address, count, |at, rest| {
            [source.0.into(), target.0.into(), at, rest, 0, 0]
        })
    }
}

/// Repeats a range call until all of its pages were passed.
///
/// # Safety
/// As the call's wrapper says.
unsafe fn by_pages(
    call: Call,
    address: u64,
    count: u64,
    arguments: impl Fn(u64, u64) -> [u64; 6],
) -> Result<()> {
    let mut done = 0;
    while done < count {
        let at = address + done * PAGE_SIZE as u64;
        // SAFETY: the caller's promise.
        done += unsafe { native(call, arguments(at, count - done)) }?;
    }
    Ok(())
}

/// Attaches a subtree (`Slot::NONE`: detaches what is there) in a top-level slot of an environment.
///
/// # Errors
/// As `serix_abi::Call::Attach`.
///
/// # Safety
/// No Rust code uses memory that this takes away.
pub unsafe fn attach(
    environment: Slot,
    top_slot: u64,
    subtree: Slot,
    writable: bool,
) -> Result<()> {
    // SAFETY: no pointers; the caller vouches for the address space.
    unsafe {
        native(
            Call::Attach,
            [environment.0.into(), top_slot, subtree.0.into(), writable.into(), 0, 0],
        )
    }
    .map(drop)
}

/// Maps the information page read-only.
///
/// # Errors
/// As `serix_abi::Call::InfoMap`.
///
/// # Safety
/// As [`map`].
pub unsafe fn info_map(environment: Slot, address: u64) -> Result<()> {
    // SAFETY: no pointers; the caller vouches for the address space.
    unsafe { native(Call::InfoMap, [environment.0.into(), address, 0, 0, 0, 0]) }.map(drop)
}
