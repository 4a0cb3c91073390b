//! Faults: pages that come when they are touched, copies on write, stack growth, and the signals for the rest.
//!
//! Runs in the environment that faulted, on the libOS stack of its thread, and may wait for a file.
use super::space::{AddressSpace, Behind, Layout, ProgramArea, flags_of, frame_of};
use super::vma::Access;
use super::{FrameNumber, FramePage, pool};
use crate::process::{self, ExitStatus, current_process};
use crate::raw::entry::TrapFrame;
use crate::raw::{PROGRAM_END, frame_map, kernel, window};
use crate::signal::info::code;
use crate::signal::set::{SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGTRAP};
use crate::signal::{self, SignalInfo};
use serix_block::PAGE_SIZE;
use serix_sys::abi::map::MapFlags;

/// Vector of a page fault.
pub const PAGE_FAULT: u64 = 14;
/// Vector of a single step.
pub(crate) const STEP: u64 = 1;
const PAGE: u64 = PAGE_SIZE as u64;
/// Bits of a page fault's error code (Intel SDM vol. 3, 4.7).
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;
/// Unmapped pages that are left below a stack when it grows (`stack_guard_gap` of Linux).
const STACK_GAP: u64 = 256 * PAGE;
/// Pages of a file that one fault maps, if they are cached: around a first one, and at most in a run of faults.
const AROUND: u64 = 4;
const AROUND_MAX: u64 = 16;
/// Pages that are asked of the page cache at a time.
const SHRINK: u64 = 64;

/// Why a fault cannot be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Nothing is mapped there.
    NotMapped,
    /// The area does not allow it.
    NotAllowed,
    /// The file has no such page, or the disk failed.
    NoData,
    /// No frame.
    NoMemory,
}

/// A fault of the program.
pub(crate) fn from_program(frame: &mut TrapFrame, vector: u64, error_code: u64, address: u64) {
    let info = match vector {
        PAGE_FAULT => match resolve(error_code, address) {
            Ok(()) => return,
            Err(Failure::NoMemory) => return out_of_memory(),
            Err(Failure::NoData) => SignalInfo::fault(SIGBUS, code::BUS_ADDRESS, address),
            Err(Failure::NotAllowed) => SignalInfo::fault(SIGSEGV, code::SEGV_ACCESS, address),
            Err(Failure::NotMapped) => SignalInfo::fault(SIGSEGV, code::SEGV_MAP, address),
        },
        0 => SignalInfo::fault(SIGFPE, code::FPE_DIVIDE, frame.rip),
        1 => SignalInfo::fault(SIGTRAP, code::TRAP_TRACE, frame.rip),
        3 => SignalInfo::fault(SIGTRAP, code::TRAP_BREAKPOINT, frame.rip),
        6 => SignalInfo::fault(SIGILL, code::ILLEGAL_OPERAND, frame.rip),
        16 | 19 => SignalInfo::fault(SIGFPE, code::FPE_INVALID, frame.rip),
        17 => SignalInfo::fault(SIGBUS, 1, address),
        _ => SignalInfo::kernel(SIGSEGV),
    };
    signal::post_fault(info);
}

/// A page fault of a copy between libOS and program; whether it is resolved.
pub(crate) fn from_copy(error_code: u64, address: u64) -> bool {
    address < PROGRAM_END && resolve(error_code, address).is_ok()
}

fn out_of_memory() {
    let process = current_process();
    crate::session::log_line(format_args!("libos: out of memory, process {} ends", process.pid));
    process::terminate(ExitStatus::Signalled { signal: SIGKILL, core: false });
}

fn resolve(error_code: u64, address: u64) -> Result<(), Failure> {
    if address >= PROGRAM_END {
        return Err(Failure::NotMapped);
    }
    let wanted = match () {
        () if error_code & FETCH != 0 => Access::EXECUTE,
        () if error_code & WRITE != 0 => Access::WRITE,
        () => Access::READ,
    };
    let space = current_process().space();
    let page = address & !(PAGE - 1);
    loop {
        match step(&space, page, wanted) {
            Step::Done(outcome) => return outcome,
            Step::Load(load) => {
                if load.run(&space, wanted)? {
                    return Ok(());
                }
            }
            Step::Shrink => {
                if crate::fs::vfs().shrink(SHRINK) == 0 && pool().free_count() == 0 {
                    return Err(Failure::NoMemory);
                }
            }
        }
    }
}

/// How a fault goes on.
enum Step {
    Done(Result<(), Failure>),
    Load(Load),
    Shrink,
}

/// A page of a file that is to be had without the layout's lock.
struct Load {
    file: alloc::sync::Arc<crate::file::description::File>,
    index: u64,
    page: u64,
    for_writing: bool,
    generation: u64,
}

fn step(space: &AddressSpace, page: u64, wanted: Access) -> Step {
    let mut layout = space.layout();
    if layout.patched.contains(&page)
        && let Some(trampolines) = layout.overlay.as_ref().and_then(|found| found.trampolines(page))
    {
        let allowed = wanted != Access::WRITE && window::entry(page) & MapFlags::PRESENT.0 == 0;
        let trampolines = trampolines.frame.clone();
        if !allowed {
            return Step::Done(Err(Failure::NotMapped));
        }
        return done_or_shrink(map_unseen(space, page, trampolines));
    }
    let index = match layout.areas.index_of(page) {
        Some(index) => index,
        None if grow_stack(&mut layout, page) => match layout.areas.index_of(page) {
            Some(index) => index,
            None => return Step::Done(Err(Failure::NotMapped)),
        },
        None => return Step::Done(Err(Failure::NotMapped)),
    };
    let area = layout.areas.at(index);
    // What may be written may be read, as the CPU has it.
    let readable = wanted == Access::READ && !area.access.is_empty();
    if !area.access.contains(wanted) && !readable {
        return Step::Done(Err(Failure::NotAllowed));
    }
    let entry = window::entry(page);
    let is_write = wanted == Access::WRITE;
    if entry & MapFlags::PRESENT.0 != 0 {
        return present(space, &mut layout, index, page, entry, is_write);
    }
    if !layout.parked.is_empty()
        && let Some(frame) = layout.parked.remove(&page)
    {
        return unpark(space, &mut layout, index, page, frame);
    }
    absent(space, &mut layout, index, page, is_write)
}

/// Makes the stack's area reach down to a page, if it may.
fn grow_stack(layout: &mut Layout, page: u64) -> bool {
    let Some(stack) = layout.areas.find_from(page) else { return false };
    if !stack.grows_down || stack.end - page > layout.stack_limit {
        return false;
    }
    let start = stack.start;
    let gap = page.saturating_sub(STACK_GAP);
    if layout.areas.overlapping(gap..start).next().is_some() {
        return false;
    }
    layout.areas.grow_down(start, page);
    true
}

/// A page that is there but not as wanted.
fn present(
    space: &AddressSpace,
    layout: &mut Layout,
    index: usize,
    page: u64,
    entry: u64,
    is_write: bool,
) -> Step {
    let area = layout.areas.at(index);
    if !is_write || MapFlags(entry).has(MapFlags::WRITE) {
        // Its flags are behind those of the area, or another thread was faster.
        let flags = flags_of(area, MapFlags(entry).has(MapFlags::WRITE));
        kernel::protect(space.place().environment, page, 1, flags);
        return Step::Done(Ok(()));
    }
    if area.shared {
        return shared_write(space, layout, page, area.clone());
    }
    let frame = frame_of(entry);
    let flags = flags_of(area, true);
    if pool().holders(frame) == 1 {
        kernel::protect(space.place().environment, page, 1, flags);
    } else {
        let Some(copy) = FramePage::allocate() else { return Step::Shrink };
        frame_map::copy(frame, copy.frame());
        if !map(space, page, copy, flags) {
            return Step::Shrink;
        }
        pool().release(frame);
        space.count_resident(-1);
    }
    layout.areas.at_mut(index).changed = true;
    Step::Done(Ok(()))
}

/// The first write to a page of a shared mapping.
fn shared_write(space: &AddressSpace, layout: &Layout, page: u64, area: ProgramArea) -> Step {
    match area.backing_at(page) {
        Behind::File(file, offset) => Step::Load(Load {
            file,
            index: offset / PAGE,
            page,
            for_writing: true,
            generation: layout.generation,
        }),
        _ => {
            kernel::protect(space.place().environment, page, 1, flags_of(&area, true));
            Step::Done(Ok(()))
        }
    }
}

/// A page that was kept while nothing was allowed.
fn unpark(
    space: &AddressSpace,
    layout: &mut Layout,
    index: usize,
    page: u64,
    frame: FrameNumber,
) -> Step {
    let area = layout.areas.at(index);
    let flags = flags_of(area, !area.shared && pool().holders(frame) == 1);
    match kernel::map_one(space.place().environment, page, frame, flags) {
        // The fault comes again if it was a write to a shared page.
        Ok(()) => Step::Done(Ok(())),
        Err(_) => {
            layout.parked.insert(page, frame);
            Step::Shrink
        }
    }
}

fn absent(
    space: &AddressSpace,
    layout: &mut Layout,
    index: usize,
    page: u64,
    is_write: bool,
) -> Step {
    let area = layout.areas.at(index);
    if layout.patched.contains(&page)
        && let Some(found) = layout.overlay.as_ref().and_then(|found| found.page(page))
        && !is_write
    {
        return done_or_shrink(map(space, page, found.patched.clone(), flags_of(area, false)));
    }
    // The most frequent case needs nothing of what is behind it.
    if matches!(area.backing, Behind::Nothing) {
        return fresh(space, page, area);
    }
    match area.backing_at(page) {
        Behind::Nothing => fresh(space, page, area),
        Behind::Shared(pages, offset) => {
            let mut pages = pages.0.lock();
            let fresh = match pages.get(&(offset / PAGE)) {
                Some(there) => there.clone(),
                None => {
                    let Some(fresh) = FramePage::zeroed() else { return Step::Shrink };
                    pages.insert(offset / PAGE, fresh.clone());
                    fresh
                }
            };
            done_or_shrink(map(space, page, fresh, flags_of(area, true)))
        }
        Behind::Page(there) if !is_write => {
            done_or_shrink(map(space, page, there, flags_of(area, false)))
        }
        Behind::Page(there) => {
            let Some(copy) = FramePage::allocate() else { return Step::Shrink };
            frame_map::copy(there.frame(), copy.frame());
            let flags = flags_of(area, true);
            layout.areas.at_mut(index).changed = true;
            done_or_shrink(map(space, page, copy, flags))
        }
        Behind::File(file, offset) => Step::Load(Load {
            file,
            index: offset / PAGE,
            page,
            for_writing: area.shared && is_write,
            generation: layout.generation,
        }),
    }
}

/// A page of zeroes.
#[inline]
fn fresh(space: &AddressSpace, page: u64, area: &ProgramArea) -> Step {
    let Some(fresh) = FramePage::zeroed() else { return Step::Shrink };
    done_or_shrink(map(space, page, fresh, flags_of(area, true)))
}

fn done_or_shrink(mapped: bool) -> Step {
    if mapped { Step::Done(Ok(())) } else { Step::Shrink }
}

/// Maps a page that the program does not know of.
fn map_unseen(space: &AddressSpace, at: u64, page: FramePage) -> bool {
    let mapped = kernel::map_one(space.place().environment, at, page.frame(), MapFlags(0)).is_ok();
    if mapped {
        let _ = page.into_mapping();
    }
    mapped
}

/// Maps a page and leaves its hold to the mapping; false if a page table could not be had.
#[inline]
fn map(space: &AddressSpace, at: u64, page: FramePage, flags: MapFlags) -> bool {
    let mapped = kernel::map_one(space.place().environment, at, page.frame(), flags).is_ok();
    if mapped {
        let _ = page.into_mapping();
        space.count_resident(1);
    }
    mapped
}

impl Load {
    /// Gets the page, waiting if need be, and maps it unless the layout changed meanwhile: then the fault is
    /// looked at again. Whether it was mapped.
    fn run(self, space: &AddressSpace, wanted: Access) -> Result<bool, Failure> {
        let found = crate::file::wait(self.file.map_page(self.index, self.for_writing));
        let found = match found {
            Ok(page) => page,
            Err(crate::Errno::ENOMEM) => return Err(Failure::NoMemory),
            Err(_) => return Err(Failure::NoData),
        };
        let mut layout = space.layout();
        if layout.generation != self.generation {
            return Ok(false);
        }
        let Some(index) = layout.areas.index_of(self.page) else { return Ok(false) };
        let area = layout.areas.at(index).clone();
        let entry = window::entry(self.page);
        let is_present = entry & MapFlags::PRESENT.0 != 0;
        if area.shared {
            let held = is_present.then(|| frame_of(entry));
            let mapped = map(space, self.page, found, flags_of(&area, self.for_writing));
            if mapped && let Some(held) = held {
                pool().release(held);
                space.count_resident(-1);
            }
            return Ok(mapped);
        }
        if is_present {
            return Ok(false);
        }
        if wanted == Access::WRITE {
            let Some(copy) = FramePage::allocate() else { return self.shrink(layout) };
            frame_map::copy(found.frame(), copy.frame());
            layout.areas.at_mut(index).changed = true;
            let mapped = map(space, self.page, copy, flags_of(&area, true));
            return if mapped { Ok(true) } else { self.shrink(layout) };
        }
        if !map(space, self.page, found, flags_of(&area, false)) {
            return self.shrink(layout);
        }
        let around = self.around(&mut layout);
        // Patched pages come by faults of their own.
        if layout.overlay.is_none() {
            self.map_around(space, &area, around);
        }
        Ok(true)
    }

    fn shrink(&self, layout: spin::MutexGuard<'_, Layout>) -> Result<bool, Failure> {
        drop(layout);
        if crate::fs::vfs().shrink(SHRINK) == 0 && pool().free_count() == 0 {
            return Err(Failure::NoMemory);
        }
        Ok(false)
    }

    /// Which pages to map besides: those around, or more and more of those that follow where faults come in a row.
    fn around(&self, layout: &mut Layout) -> core::ops::Range<u64> {
        let (next, count) = layout.run;
        let (first, count) = if self.page == next {
            (self.page, (count * 2).min(AROUND_MAX))
        } else {
            (self.page & !(AROUND * PAGE - 1), AROUND)
        };
        let end = first + count * PAGE;
        layout.run = (end, count);
        first..end
    }

    /// Maps the cached pages around one that was read: programs touch several, and a fault costs more.
    fn map_around(&self, space: &AddressSpace, area: &ProgramArea, around: core::ops::Range<u64>) {
        let first = around.start.max(area.start);
        let last = around.end.min(area.end);
        let flags = flags_of(area, false);
        let mut pages = [(0, FrameNumber(0), flags); AROUND_MAX as usize];
        let mut count = 0;
        for at in (first..last).step_by(PAGE_SIZE) {
            if at == self.page || window::entry(at) & MapFlags::PRESENT.0 != 0 {
                continue;
            }
            let index = self.index + at / PAGE - self.page / PAGE;
            let serix_chroma::Pending::Ready(Ok(page)) = self.file.map_page(index, false) else {
                continue;
            };
            pages[count] = (at, page.into_mapping(), flags);
            count += 1;
        }
        if count > 0 && kernel::map(space.place().environment, &pages[..count]).is_err() {
            // How many were mapped is not known; unmapping makes it certain.
            for (at, frame, _) in &pages[..count] {
                kernel::unmap(space.place().environment, *at, 1);
                pool().release(*frame);
            }
            return;
        }
        space.count_resident(count as i64);
    }
}
