//! Calls about memory.
use crate::memory::UserAddress;
use crate::memory::space::{Behind, MapRequest, Placement, SharedPages};
use crate::memory::vma::Access;
use crate::process::{Resource, current_process};
use crate::raw::{PROGRAM_END, PROGRAM_START};
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec;
use linux_raw_sys::general as linux;
use serix_block::PAGE_SIZE;
use serix_chroma::{FileKind, OpenFlags};

const PAGE: u64 = PAGE_SIZE as u64;
/// Which kind of mapping, in the flags of `mmap`.
const MAP_TYPE: u32 = 0xf;
/// Lowest address that `MAP_FIXED` may name (`vm.mmap_min_addr`).
const LOWEST: u64 = PROGRAM_START + 0xF000;

/// A length in whole pages.
fn whole_pages(length: u64) -> Option<u64> {
    Some(length.checked_add(PAGE - 1)? & !(PAGE - 1))
}

fn check_access(protection: u32) -> Result<Access> {
    // The two bits about growing mappings mean nothing to areas that are found by address.
    let known = protection & !(linux::PROT_GROWSDOWN | linux::PROT_GROWSUP);
    Access::from_bits(known).ok_or(Errno::EINVAL)
}

/// `mmap`
///
/// # Errors
/// As mmap(2).
pub(super) fn mmap(
    address: u64,
    length: u64,
    protection: u32,
    flags: u32,
    descriptor: i32,
    offset: u64,
) -> Result<u64> {
    let access = Access::from_bits_truncate(protection);
    if !offset.is_multiple_of(PAGE) || length == 0 {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length).ok_or(Errno::ENOMEM)?;
    let shared = match flags & MAP_TYPE {
        linux::MAP_PRIVATE => false,
        linux::MAP_SHARED | linux::MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    let place = placement(address, flags)?;
    let is_anonymous = flags & linux::MAP_ANONYMOUS != 0;
    let backing = match (is_anonymous, shared) {
        (true, false) => Behind::Nothing,
        (true, true) => Behind::Shared(Arc::new(SharedPages::default()), 0),
        (false, _) => file_behind(descriptor, offset, length, access, shared)?,
    };
    if is_anonymous && flags & linux::MAP_NORESERVE == 0 {
        check_frames(length)?;
    }
    let process = current_process();
    let limit = process.state.lock().limits.soft(Resource::AddressSpace);
    let grows_down = flags & linux::MAP_GROWSDOWN != 0;
    let request = MapRequest { place, length, access, shared, grows_down, backing, limit };
    let start = process.with_space(|space| space.map(request))?;
    if flags & (linux::MAP_POPULATE | linux::MAP_LOCKED) != 0 {
        populate(start, length);
    }
    Ok(start)
}

fn placement(address: u64, flags: u32) -> Result<Placement> {
    let replace = flags & linux::MAP_FIXED != 0;
    if replace || flags & linux::MAP_FIXED_NOREPLACE != 0 {
        if !address.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        if address < LOWEST {
            return Err(Errno::EPERM);
        }
        return Ok(Placement::Fixed { address, replace });
    }
    let hint = address & !(PAGE - 1);
    Ok(if hint == 0 { Placement::Anywhere } else { Placement::Hint(hint) })
}

fn file_behind(
    descriptor: i32,
    offset: u64,
    length: u64,
    access: Access,
    shared: bool,
) -> Result<Behind> {
    let description = crate::file::current::descriptor(descriptor)?;
    let file = description.file(Errno::ENODEV)?;
    let flags = file.flags();
    if flags.contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    if !flags.contains(OpenFlags::READ)
        || (shared && access.contains(Access::WRITE) && !flags.contains(OpenFlags::WRITE))
    {
        return Err(Errno::EACCES);
    }
    if file.node().kind() != FileKind::Regular {
        return zero_device(file, shared);
    }
    if offset.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Errno::EOVERFLOW);
    }
    Ok(Behind::File(file.clone(), offset))
}

/// `/dev/zero` can be mapped too, and is then anonymous memory.
fn zero_device(file: &crate::file::description::File, shared: bool) -> Result<Behind> {
    let metadata = crate::file::wait(file.node().metadata())?;
    let is_zero = metadata.kind == FileKind::CharDevice
        && (metadata.device.major, metadata.device.minor) == (1, 5);
    match (is_zero, shared) {
        (false, _) => Err(Errno::ENODEV),
        (true, false) => Ok(Behind::Nothing),
        (true, true) => Ok(Behind::Shared(Arc::new(SharedPages::default()), 0)),
    }
}

/// Refuses what no memory of the session could ever hold, and what the limits forbid.
fn check_limit(length: u64) -> Result<()> {
    let process = current_process();
    let limit = process.state.lock().limits.soft(Resource::AddressSpace);
    let mapped = process.space().layout().areas.total();
    if mapped.saturating_add(length) > limit {
        return Err(Errno::ENOMEM);
    }
    check_frames(length)
}

/// Refuses what no memory of the session could ever hold.
#[inline]
fn check_frames(length: u64) -> Result<()> {
    let (_, frames) = crate::memory::usage();
    if length / PAGE > frames as u64 { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// Touches the pages of a range, as far as there is memory.
fn populate(start: u64, length: u64) {
    for at in (start..start + length).step_by(PAGE_SIZE) {
        if UserAddress(at).read::<u8>().is_err() {
            break;
        }
    }
}

/// `munmap`
pub(super) fn munmap(address: u64, length: u64) -> Result<()> {
    let length = whole_pages(length).filter(|length| *length != 0).ok_or(Errno::EINVAL)?;
    if !address.is_multiple_of(PAGE) || address >= PROGRAM_END || length > PROGRAM_END - address {
        return Err(Errno::EINVAL);
    }
    let start = address.max(PROGRAM_START);
    if start >= address + length {
        return Ok(());
    }
    current_process().with_space(|space| space.unmap(start..address + length))
}

/// `mprotect`
pub(super) fn mprotect(address: u64, length: u64, protection: u32) -> Result<()> {
    let access = check_access(protection)?;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length).ok_or(Errno::ENOMEM)?;
    if length == 0 {
        return Ok(());
    }
    if address >= PROGRAM_END || length > PROGRAM_END - address {
        return Err(Errno::ENOMEM);
    }
    current_process().with_space(|space| space.protect(address..address + length, access))
}

/// `brk`: never fails, but tells where the heap ends.
pub(super) fn brk(address: u64) -> Result<u64> {
    let process = current_process();
    let limit = process.state.lock().limits.soft(Resource::Data);
    let space = process.space();
    let heap = space.layout().heap.clone();
    let wanted = match whole_pages(address) {
        Some(end) if address >= heap.start && end - heap.start <= limit => end,
        _ => return Ok(heap.end),
    };
    let end = whole_pages(heap.end).unwrap_or(heap.end);
    let done = if wanted > end {
        let request = MapRequest {
            place: Placement::Fixed { address: end, replace: false },
            length: wanted - end,
            access: Access::READ | Access::WRITE,
            shared: false,
            grows_down: false,
            backing: Behind::Nothing,
            limit: u64::MAX,
        };
        check_limit(wanted - end).and_then(|()| space.map(request)).map(drop)
    } else if wanted < end {
        space.unmap(wanted..end)
    } else {
        Ok(())
    };
    if done.is_err() {
        return Ok(heap.end);
    }
    space.layout().heap.end = address;
    Ok(address)
}

/// `mremap`
pub(super) fn mremap(
    address: u64,
    old_length: u64,
    new_length: u64,
    flags: u32,
    new_address: u64,
) -> Result<u64> {
    let known = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED;
    let (old, new) = match (whole_pages(old_length), whole_pages(new_length)) {
        (Some(old), Some(new)) if new != 0 => (old, new),
        _ => return Err(Errno::EINVAL),
    };
    let fixed = flags & linux::MREMAP_FIXED != 0;
    if flags & !known != 0
        || !address.is_multiple_of(PAGE)
        || (fixed && (flags & linux::MREMAP_MAYMOVE == 0 || !new_address.is_multiple_of(PAGE)))
    {
        return Err(Errno::EINVAL);
    }
    if address >= PROGRAM_END || old > PROGRAM_END - address {
        return Err(Errno::EFAULT);
    }
    check_limit(new.saturating_sub(old))?;
    let target = match (fixed, flags & linux::MREMAP_MAYMOVE != 0) {
        (true, _) => Some(Some(new_address)),
        (false, true) => Some(None),
        (false, false) => None,
    };
    current_process().space().remap(address..address + old, new, target)
}

/// `madvise`: what frees memory is done, hints are taken note of by doing nothing.
pub(super) fn madvise(address: u64, length: u64, advice: u32) -> Result<()> {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length).ok_or(Errno::EINVAL)?;
    if length == 0 {
        return Ok(());
    }
    if address >= PROGRAM_END || length > PROGRAM_END - address {
        return Err(Errno::ENOMEM);
    }
    let range = address..address + length;
    let space = current_process().space();
    match advice {
        linux::MADV_DONTNEED | linux::MADV_FREE => space.discard(range),
        linux::MADV_REMOVE => Err(Errno::EINVAL),
        0..=3 | 10..=25 => match space.layout().areas.covers(range) {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        },
        _ => Err(Errno::EINVAL),
    }
}

/// `msync`
pub(super) fn msync(address: u64, length: u64, flags: u32) -> Result<()> {
    let known = linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC;
    let both = linux::MS_ASYNC | linux::MS_SYNC;
    if !address.is_multiple_of(PAGE) || flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length).ok_or(Errno::ENOMEM)?;
    if address >= PROGRAM_END || length > PROGRAM_END - address {
        return Err(Errno::ENOMEM);
    }
    let range = address..address + length;
    let space = current_process().space();
    let (files, covered) = {
        let layout = space.layout();
        let files: vec::Vec<_> = layout
            .areas
            .overlapping(range.clone())
            .filter(|area| area.shared)
            .map(|area| area.clip(&range))
            .filter_map(|area| match &area.backing {
                Behind::File(file, offset) => Some((file.clone(), *offset, area.length())),
                _ => None,
            })
            .collect();
        (files, layout.areas.covers(range.clone()))
    };
    if flags & linux::MS_SYNC != 0 {
        for (file, offset, length) in files {
            crate::file::block_on(file.write_back(offset, offset + length))?;
            crate::file::block_on(file.sync(true))?;
        }
    }
    if covered { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// `mincore`
pub(super) fn mincore(address: u64, length: u64, vector: UserAddress) -> Result<()> {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length).ok_or(Errno::ENOMEM)?;
    if address >= PROGRAM_END
        || length > PROGRAM_END - address
        || !current_process().space().layout().areas.covers(address..address + length)
    {
        return Err(Errno::ENOMEM);
    }
    for (index, at) in (address..address + length).step_by(PAGE_SIZE).enumerate() {
        let present = crate::memory::space::present_frame(at).is_some();
        vector.add(index as u64).write(&u8::from(present))?;
    }
    Ok(())
}

fn check_covered(address: u64, length: u64) -> Result<()> {
    let start = address & !(PAGE - 1);
    let end = address.checked_add(length).and_then(whole_pages).ok_or(Errno::EINVAL)?;
    let covered = end <= PROGRAM_END
        && (start == end || current_process().space().layout().areas.covers(start..end));
    if covered { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// `mlock`, `munlock`: nothing is ever swapped out, so only the range is checked and touched.
pub(super) fn lock(address: u64, length: u64) -> Result<()> {
    check_covered(address, length)
}

/// `mlock2`
pub(super) fn lock_with_flags(address: u64, length: u64, flags: u32) -> Result<()> {
    if flags & !linux::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    check_covered(address, length)
}

/// `mlockall`
pub(super) fn lock_all(flags: u32) -> Result<()> {
    let known = linux::MCL_CURRENT | linux::MCL_FUTURE | linux::MCL_ONFAULT;
    if flags == 0 || flags & !known != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `munlockall`
pub(super) fn unlock_all() -> Result<()> {
    Ok(())
}
