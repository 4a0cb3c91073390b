//! Native calls that change address spaces, with the checks that make them safe, and funding on demand.
//!
//! Program addresses are checked against [`PROGRAM_END`]; session addresses come from the heap and the stack area alone.
use super::context::Place;
use super::{PROGRAM_END, entry, frame_map, local};
use crate::memory::{self, FrameNumber};
use crate::session::resources;
use serix_session::{DISPATCHER_ADDRESS, INFO_ADDRESS, SESSION_TOP_SLOT, WINDOW_TOP_SLOT};
use serix_sys::abi::dispatcher::DispatcherParameters;
use serix_sys::abi::info::InfoPage;
use serix_sys::abi::map::{MapFlags, MapRequest};
use serix_sys::abi::{Error, PAGE_SIZE};
use serix_sys::{Result, Slot, call, environment, memory as native};

/// Frames that an empty account gets at a time.
const FUNDING: usize = 32;
/// Requests of one call for session memory.
const BATCH: usize = 64;
/// Requests of one call for a program: mostly the few pages around one, and all are zeroed first.
const FEW: usize = 16;
/// Flags of libOS data.
const SESSION_FLAGS: MapFlags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);

/// Repeats a call that found the account empty, after filling it.
pub(super) fn funded<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match work() {
            Err(Error::NoFrames) if fund() => {}
            other => return other,
        }
    }
}

/// Gives frames to the account; false if there are none to spare.
fn fund() -> bool {
    let mut frames = [FrameNumber(0); FUNDING];
    let count = memory::take_frames(&mut frames);
    frames[..count].iter().for_each(|frame| give_frame(*frame));
    count > 0
}

fn give_frame(frame: FrameNumber) {
    let (slot, unit) = memory::locate(frame);
    // SAFETY: the frame was just allocated for this: the frame map is the only mapping, and nobody borrows it.
    let _ = unsafe {
        native::unmap(resources().session_memory, frame_map::address(frame), 1)
            .and_then(|()| call::fund(Slot::NONE, slot, unit, 1))
    };
}

fn request(address: u64, frame: FrameNumber, flags: MapFlags) -> MapRequest {
    let (slot, unit) = memory::locate(frame);
    MapRequest { address, flags: flags.0, frames: slot.0, unit: unit as u32 }
}

fn assert_program(address: u64, count: u64) {
    assert!(address.is_multiple_of(PAGE_SIZE as u64));
    assert!(address < PROGRAM_END && count <= (PROGRAM_END - address) / PAGE_SIZE as u64);
}

/// Maps frames at program addresses of an environment.
///
/// # Errors
/// `NoFrames` if the session has none left for page tables.
pub fn map(environment: Slot, pages: &[(u64, FrameNumber, MapFlags)]) -> Result<()> {
    for batch in pages.chunks(FEW) {
        let mut requests = [MapRequest::default(); FEW];
        for (to, (address, frame, flags)) in requests.iter_mut().zip(batch) {
            assert_program(*address, 1);
            *to = request(*address, *frame, *flags);
        }
        // SAFETY: program addresses hold no Rust objects.
        funded(|| unsafe { native::map(environment, &requests[..batch.len()]) })?;
    }
    Ok(())
}

/// Maps one frame at a program address.
///
/// # Errors
/// As [`map`].
#[inline]
pub fn map_one(environment: Slot, address: u64, frame: FrameNumber, flags: MapFlags) -> Result<()> {
    assert_program(address, 1);
    let (slot, unit) = memory::locate(frame);
    // SAFETY: program addresses hold no Rust objects.
    funded(|| unsafe { native::map_range(environment, address, slot, unit, 1, flags) })
}

/// Removes the mappings of program pages.
pub fn unmap(environment: Slot, address: u64, count: u64) {
    assert_program(address, count);
    // SAFETY: program addresses hold no Rust objects.
    let done = unsafe { native::unmap(environment, address, count) };
    debug_assert!(done.is_ok());
}

/// Sets the flags of the present pages among program pages.
pub fn protect(environment: Slot, address: u64, count: u64, flags: MapFlags) {
    assert_program(address, count);
    // SAFETY: program addresses hold no Rust objects.
    let done = unsafe { native::protect(environment, address, count, flags) };
    debug_assert!(done.is_ok());
}

/// Copy-on-write fork of program pages.
///
/// # Errors
/// As [`map`].
pub fn copy_range(from: Slot, to: Slot, address: u64, count: u64) -> Result<()> {
    assert_program(address, count);
    // SAFETY: program addresses hold no Rust objects; the fault entry handles marked pages.
    funded(|| unsafe { native::copy_range(from, to, address, count) })
}

/// Maps fresh frames one after the other in session memory.
///
/// # Errors
/// As [`map`].
pub(super) fn map_session(address: u64, frames: &[FrameNumber]) -> Result<()> {
    let mut requests = [MapRequest::default(); BATCH];
    for batch in frames.chunks(BATCH).enumerate() {
        let (index, batch) = batch;
        for (page, (to, frame)) in requests.iter_mut().zip(batch).enumerate() {
            let at = address + ((index * BATCH + page) * PAGE_SIZE) as u64;
            *to = request(at, *frame, SESSION_FLAGS);
        }
        let space = resources().session_memory;
        // SAFETY: the caller's part of session memory, where nothing was mapped.
        funded(|| unsafe { native::map(space, &requests[..batch.len()]) })?;
    }
    Ok(())
}

/// Maps a libOS stack, with nothing below it.
///
/// # Errors
/// As [`map`].
pub fn map_stack(address: u64, frames: &[FrameNumber]) -> Result<()> {
    assert!((super::STACKS_ADDRESS..serix_session::FRAME_MAP_ADDRESS).contains(&address));
    map_session(address, frames)
}

/// Makes an environment with its dispatcher, ready to be switched to.
///
/// # Errors
/// As [`map`], and `TableFull`.
pub fn environment_create(page: FrameNumber) -> Result<Place> {
    let slot = funded(|| call::environment_create(Slot::NONE, WINDOW_TOP_SLOT))?;
    let environment = Slot(slot as u32);
    match furnish(environment, page) {
        Ok(()) => Ok(Place { environment, page }),
        Err(error) => {
            environment_destroy(environment);
            Err(error)
        }
    }
}

fn furnish(environment: Slot, page: FrameNumber) -> Result<()> {
    super::context::prepare_page(page, crate::syscall::table_address());
    let (slot, unit) = memory::locate(page);
    let (restart_start, restart_end) = entry::restart_range();
    let parameters = DispatcherParameters {
        frames: slot.0,
        unit: unit as u32,
        page_address: DISPATCHER_ADDRESS,
        fault_entry: entry::upcall_entry as *const () as u64,
        foreign_entry: entry::foreign_entry as *const () as u64,
        event_entry: entry::upcall_entry as *const () as u64,
        restart_start,
        restart_end,
        rip: super::context::resume as *const () as u64,
        rsp: 0,
        argument: 0,
        gs_base: DISPATCHER_ADDRESS,
        upcalls_disabled: 1,
    };
    // SAFETY: 1. The environment is new, so nothing in it is in use. 2. The entries keep the contract of upcalls.
    // 3. The dispatcher page belongs to this environment alone.
    unsafe {
        funded(|| native::attach(environment, SESSION_TOP_SLOT, resources().session_memory, true))?;
        funded(|| native::map(environment, &[request(DISPATCHER_ADDRESS, page, SESSION_FLAGS)]))?;
        funded(|| native::info_map(environment, INFO_ADDRESS))?;
        funded(|| self::environment::dispatcher_create(environment, &parameters))?;
    }
    Ok(())
}

/// Destroys an environment other than the calling one.
pub fn environment_destroy(environment: Slot) {
    let done = call::environment_destroy(environment).and_then(|_| call::unbind(environment));
    debug_assert!(done.is_ok());
}

/// Registers the entries of the first dispatcher, which the session's creator made.
pub(super) fn adopt_first(place: Place) -> Result<()> {
    let (restart_start, restart_end) = entry::restart_range();
    let parameters = DispatcherParameters {
        fault_entry: entry::upcall_entry as *const () as u64,
        foreign_entry: entry::foreign_entry as *const () as u64,
        event_entry: entry::upcall_entry as *const () as u64,
        restart_start,
        restart_end,
        ..DispatcherParameters::default()
    };
    local::load_gs();
    local::install_table(place.page, crate::syscall::table_address());
    // SAFETY: the entries keep the contract of upcalls.
    unsafe { environment::dispatcher_entries(place.environment, 0, &parameters) }
}

/// The information page.
#[inline]
#[must_use]
pub fn info() -> &'static InfoPage {
    // SAFETY: mapped read-only at this address in every environment, for as long as the session lives.
    unsafe { &*(INFO_ADDRESS as *const InfoPage) }
}

/// Nanoseconds of the TSC clock.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    serix_sys::time::now_ns(info())
}

/// A number from the CPU's generator.
#[must_use]
pub fn random() -> u64 {
    loop {
        let value: u64;
        let valid: u8;
        // SAFETY: RDRAND is required of the CPU and changes only its operand and the flags.
        unsafe {
            core::arch::asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) valid,
                options(nostack, nomem));
        }
        if valid != 0 {
            return value;
        }
    }
}
