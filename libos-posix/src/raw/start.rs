//! The first instructions of a session: binds what its creator left, maps the frame map, makes the heap.
use super::context::{self, Place};
use super::{frame_map, kernel, window};
use crate::memory::{self, FrameNumber, FrameRange, RANGES_MAX};
use crate::session::Disk;
use crate::session::{self, Resources};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::ptr::NonNull;
use serix_session::{
    DISPATCHER_ADDRESS, NamedToken, Purpose, SESSION_MAGIC, SessionStart, WINDOW_ADDRESS,
};
use serix_sys::abi::map::MapFlags;
use serix_sys::abi::ring::RingPage;
use serix_sys::abi::token::Rights;
use serix_sys::abi::{Error, PAGE_SHIFT, PAGE_SIZE};
use serix_sys::{Slot, call, memory as native};
use serix_transfer::Ring;
use serix_transfer::raw::RingMemory;

/// Frames that the account needs for the heap, the first stacks and environments.
const FIRST_FUNDING: u64 = 96;
const FRAMES_PER_TABLE: u64 = 512;

/// Entry of the image.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
#[unsafe(naked)]
pub extern "sysv64" fn _start() {
    naked_asm!("xor ebp, ebp", "call {main}", "ud2", main = sym main)
}

extern "sysv64" fn main(start: *const SessionStart) -> ! {
    // SAFETY: the creator passes the address of the start block, which stays mapped and is not written again.
    let start: &'static SessionStart = unsafe { &*start };
    if start.magic != SESSION_MAGIC {
        call::exit(session::STATUS_BROKEN);
    }
    let tokens = &start.tokens[..(start.token_count as usize).min(start.tokens.len())];
    session::set_resources(bind(tokens));
    prepare_memory(tokens, start.frames_used);
    let info = kernel::info();
    context::set_vector_size(info.xsave_size, u64::from(info.xcr0));
    let place = first_place();
    if let Err(error) = kernel::adopt_first(place) {
        panic!("cannot register the entries: {error:?}");
    }
    // SAFETY: the creator left the manifest's bytes there, and nobody writes them.
    let manifest = unsafe {
        core::slice::from_raw_parts(
            start.manifest_address as *const u8,
            start.manifest_size as usize,
        )
    };
    let thread = session::start(manifest, tokens, &start.framebuffer, place);
    context::enter_first(&thread.context, &raw const *thread)
}

fn purpose_is(token: &NamedToken, purpose: Purpose) -> bool {
    token.purpose == purpose as u32
}

fn bind(tokens: &[NamedToken]) -> Resources {
    let mut resources = Resources::default();
    // The log first, so that a failure of the others can be told.
    for purpose in [Purpose::Log, Purpose::Environment, Purpose::SessionMemory, Purpose::Link] {
        let Some(token) = tokens.iter().find(|token| purpose_is(token, purpose)) else { continue };
        let slot = call::bind(&token.token).unwrap_or(Slot::NONE);
        match purpose {
            Purpose::Log => resources.log = slot,
            Purpose::Environment => resources.environment = slot,
            Purpose::SessionMemory => resources.session_memory = slot,
            _ => resources.link = slot,
        }
    }
    match call::event_create() {
        Ok(slot) => resources.event = Slot(slot as u32),
        Err(error) => panic!("no event: {error:?}"),
    }
    resources
}

/// Binds the frames, maps them, and gives the allocator its tables, which are the first of them.
fn prepare_memory(tokens: &[NamedToken], used: u64) {
    let mut ranges = [FrameRange::default(); RANGES_MAX];
    let mut count = 0;
    let mut total = 0;
    for token in tokens.iter().filter(|token| purpose_is(token, Purpose::Frames)).take(RANGES_MAX) {
        let Ok(slot) = call::bind(&token.token) else { continue };
        let Ok(info) = call::slot_query(slot) else { continue };
        ranges[count] =
            FrameRange { first: total, count: info.count as u32, slot, base: info.base };
        total += info.count as u32;
        count += 1;
    }
    let ranges = &ranges[..count];
    let Some(first) = ranges.first() else { panic!("no frames") };
    let funding = 2 * (u64::from(total) / FRAMES_PER_TABLE + RANGES_MAX as u64) + FIRST_FUNDING;
    let mut free = used + funding;
    // SAFETY: `used` frames of the first range are taken; those after it are mapped nowhere.
    if let Err(error) = unsafe { call::fund(Slot::NONE, first.slot, used, funding) } {
        panic!("cannot fund the account with {funding} frames after {used}: {error:?}");
    }
    for (index, range) in ranges.iter().enumerate() {
        let skip = if index == 0 { free } else { 0 };
        map_frames(range, skip, u64::from(range.count) - skip);
    }
    let tables = (u64::from(total) * 8).div_ceil(PAGE_SIZE as u64);
    let at = frame_map::address(FrameNumber(free as u32)) as *mut u32;
    // SAFETY: the first free frames, consecutive in the frame map, just mapped, zeroed by the kernel or their last
    // user, and never handed out, because the pool starts behind them.
    let (counts, stack) = unsafe {
        core::ptr::write_bytes(at, 0, total as usize * 2);
        (
            core::slice::from_raw_parts_mut(at, total as usize),
            core::slice::from_raw_parts_mut(at.add(total as usize), total as usize),
        )
    };
    free += tables;
    memory::start(ranges, free as u32, counts, stack);
}

fn map_frames(range: &FrameRange, unit: u64, count: u64) {
    let space = session::resources().session_memory;
    let address = frame_map::address(FrameNumber(range.first)) + unit * PAGE_SIZE as u64;
    let flags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);
    // SAFETY: the frame map's part of session memory, where nothing is mapped yet.
    if let Err(error) = unsafe { native::map_range(space, address, range.slot, unit, count, flags) }
    {
        panic!("cannot map {count} frames from {unit}: {error:?}");
    }
}

/// Where the first thread runs: the creator's environment. Its dispatcher page joins the frame map.
fn first_place() -> Place {
    let entry = first_entry();
    let number = (entry & MapFlags::FRAME_MASK) >> PAGE_SHIFT;
    let Some(page) = memory::frame_at(number) else {
        panic!("dispatcher page {number:#x} is foreign")
    };
    let (slot, unit) = memory::locate(page);
    let space = session::resources().session_memory;
    let flags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);
    let address = frame_map::address(page);
    // SAFETY: the frame's own place in the frame map, where nothing is mapped: it is one of those in use at start.
    let mapped = unsafe { native::map_range(space, address, slot, unit, 1, flags) };
    if let Err(error) = mapped {
        panic!("cannot map the dispatcher page: {error:?}");
    }
    Place { environment: session::resources().environment, page }
}

fn first_entry() -> u64 {
    window::read_entry(WINDOW_ADDRESS + (DISPATCHER_ADDRESS >> PAGE_SHIFT) * 8)
}

/// Binds the disks among the tokens.
pub(crate) fn disks(tokens: &[NamedToken]) -> Vec<Disk> {
    let mut disks = Vec::new();
    for token in tokens.iter().filter(|token| purpose_is(token, Purpose::Disk)) {
        let name = token.name.iter().take_while(|byte| **byte != 0).copied().collect();
        let Ok(slot) = call::bind(&token.token) else { continue };
        let Ok(info) = call::slot_query(slot) else { continue };
        let writable = info.rights & Rights::WRITE.0 != 0;
        disks.push(Disk { name, slot, sectors: info.count, writable });
    }
    disks
}

/// Makes the session's transfer ring, which lives as long as the session.
pub(crate) fn ring() -> serix_sys::Result<Arc<Ring>> {
    let Some(page) = memory::FramePage::zeroed() else { return Err(Error::NoFrames) };
    let frame = page.into_mapping();
    let (slot, unit) = memory::locate(frame);
    let event = session::resources().event;
    let ring = kernel::funded(|| call::ring_create(slot, unit, event, crate::io::EVENT_BITS))?;
    let Some(pointer) = NonNull::new(frame_map::address(frame) as *mut RingPage) else {
        return Err(Error::BadAddress);
    };
    // SAFETY: the frame is mapped in the frame map for ever, was just taken for the ring, and nothing else of the
    // libOS uses it.
    let memory = unsafe { RingMemory::new(pointer) };
    Ok(Ring::new(memory, Slot(ring as u32)))
}

/// Takes the call table over that tracing chose, in the first environment.
pub(crate) fn retrace(place: Place) {
    super::local::install_table(place.page, crate::syscall::table_address());
}
