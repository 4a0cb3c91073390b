//! What belongs to the dispatcher: its page, and in the libOS's part of it the thread that runs there.
//!
//! GS base is the page's address in every environment, so entries find it without a register. Other
//! environments reach a page through the frame map.
use super::frame_map;
use crate::memory::FrameNumber;
use crate::sched::Thread;
use alloc::sync::Arc;
use core::arch::asm;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ops::{Deref, Range};
use core::ptr::NonNull;
use serix_sys::abi::dispatcher::{LIBOS_OFFSET, offset as page};

/// The libOS's part of a dispatcher page, as far as assembly knows it.
#[repr(C)]
pub(super) struct Local {
    /// The thread that runs here.
    thread: *const Thread,
    /// Where a call's part of the trap frame begins on its libOS stack: [`offset::ABOVE_CALL`] below the top.
    call_stack: u64,
    /// rsp of the program's present call.
    program_rsp: u64,
    /// Non-zero: the way back to the program leads through the exit work. The dispatcher's pending word is set too.
    work: u64,
    /// The call table.
    table: u64,
    /// Where the way back to interrupted code goes on, for the one jump that needs it in memory.
    leave_rip: u64,
    /// Where the program of this environment may have bytes of ours: first address, and how many.
    patched_start: u64,
    patched_length: u64,
}

/// Offsets from GS base, for assembly.
pub(super) mod offset {
    use super::{LIBOS_OFFSET, Local, offset_of};
    pub(in crate::raw) const THREAD: usize = LIBOS_OFFSET + offset_of!(Local, thread);
    pub(in crate::raw) const CALL_STACK: usize = LIBOS_OFFSET + offset_of!(Local, call_stack);
    /// Bytes of a trap frame above the number of its call: rip, cs, rflags, rsp, ss.
    pub(in crate::raw) const ABOVE_CALL: usize = 40;
    pub(in crate::raw) const PROGRAM_RSP: usize = LIBOS_OFFSET + offset_of!(Local, program_rsp);
    pub(in crate::raw) const WORK: usize = LIBOS_OFFSET + offset_of!(Local, work);
    pub(in crate::raw) const PENDING: usize = serix_sys::abi::dispatcher::offset::PENDING;
    pub(in crate::raw) const TABLE: usize = LIBOS_OFFSET + offset_of!(Local, table);
    pub(in crate::raw) const LEAVE_RIP: usize = LIBOS_OFFSET + offset_of!(Local, leave_rip);
    pub(in crate::raw) const PATCHED_START: usize = LIBOS_OFFSET + offset_of!(Local, patched_start);
    pub(in crate::raw) const PATCHED_LENGTH: usize =
        LIBOS_OFFSET + offset_of!(Local, patched_length);
}

/// The running thread. Not sendable: it is valid as long as code runs on that thread's stack.
#[derive(Clone, Copy)]
pub struct Current {
    thread: NonNull<Thread>,
    not_send: PhantomData<*const ()>,
}

impl Current {
    /// A handle that may leave the thread.
    #[inline]
    #[must_use]
    pub fn arc(self) -> Arc<Thread> {
        // SAFETY: threads live in `Arc`s only, and the scheduler holds one of this thread, as in `deref`.
        unsafe {
            Arc::increment_strong_count(self.thread.as_ptr());
            Arc::from_raw(self.thread.as_ptr())
        }
    }
}

impl Deref for Current {
    type Target = Thread;
    #[inline(always)]
    fn deref(&self) -> &Thread {
        // SAFETY: 1. The scheduler holds an `Arc` of the running thread until it has switched away for the last
        // time. 2. `Current` cannot leave the thread, so the code that uses it runs on that thread.
        unsafe { self.thread.as_ref() }
    }
}

/// The thread that runs this code.
#[inline(always)]
#[must_use]
pub fn current() -> Current {
    let thread: *const Thread;
    // SAFETY: GS base is the dispatcher page, whose `thread` word is written before any thread runs.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) thread, const offset::THREAD,
            options(nostack, readonly, preserves_flags));
        Current { thread: NonNull::new_unchecked(thread.cast_mut()), not_send: PhantomData }
    }
}

/// The libOS's bit of the pending word, of which the way back looks at nothing else.
const WORK_WAITS: u64 = 2;

/// Sends the running thread through the exit work before it returns to its program.
#[inline]
pub fn request_work() {
    // SAFETY: as `current`; the words are this dispatcher's own. The kernel may store its bit at any time, in place of
    // ours: the way back looks at `work` whatever brought it there.
    unsafe {
        asm!("mov qword ptr gs:[{}], 1", "or qword ptr gs:[{}], {}",
            const offset::WORK, const offset::PENDING, const WORK_WAITS, options(nostack))
    };
}

/// Ends the request: the exit work looks at everything after this.
#[inline]
pub fn clear_work() {
    // SAFETY: as `request_work`.
    unsafe {
        asm!("mov qword ptr gs:[{}], 0", const offset::WORK, options(nostack, preserves_flags))
    };
}

/// Whether the exit work is requested.
#[inline]
#[must_use]
pub fn work_requested() -> bool {
    let work: u64;
    // SAFETY: as `request_work`.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) work, const offset::WORK,
            options(nostack, readonly, preserves_flags));
    }
    work != 0
}

/// rsp of the program that made the running thread's present call.
#[must_use]
pub fn program_stack_pointer() -> u64 {
    let rsp: u64;
    // SAFETY: as `current`.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) rsp, const offset::PROGRAM_RSP,
            options(nostack, readonly, preserves_flags));
    }
    rsp
}

/// Where the program goes on after the running thread's present call.
#[cold]
#[must_use]
pub fn program_instruction_pointer() -> u64 {
    let rip: u64;
    // SAFETY: as `current`.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) rip, const page::FOREIGN_RIP,
            options(nostack, readonly, preserves_flags));
    }
    rip
}

/// Tells a dispatcher page (of any environment) which thread runs there next.
pub(super) fn install(page: FrameNumber, thread: *const Thread, stack_top: u64, work: bool) {
    let local = (frame_map::address(page) as usize + LIBOS_OFFSET) as *mut Local;
    // SAFETY: 1. The frame is a dispatcher page, mapped in the frame map, of which `Local` is the libOS's part.
    // 2. That dispatcher does not run: this core runs the caller, or it is the caller's own.
    unsafe {
        (*local).thread = thread;
        (*local).call_stack = stack_top - offset::ABOVE_CALL as u64;
        (*local).work = u64::from(work);
        if work {
            let pending = (frame_map::address(page) as usize + offset::PENDING) as *mut u64;
            *pending |= WORK_WAITS;
        }
    }
}

/// Tells a dispatcher page where its program may have bytes of ours.
pub(crate) fn set_patched(page: FrameNumber, range: &Range<u64>) {
    let local = (frame_map::address(page) as usize + LIBOS_OFFSET) as *mut Local;
    // SAFETY: as `install`.
    unsafe {
        (*local).patched_start = range.start;
        (*local).patched_length = range.end - range.start;
    }
}

/// Whether an address of the program may be one of ours.
#[inline(always)]
pub(crate) fn is_patched(address: u64) -> bool {
    let (start, length): (u64, u64);
    // SAFETY: as `current`.
    unsafe {
        asm!("mov {}, gs:[{}]", "mov {}, gs:[{}]", out(reg) start, const offset::PATCHED_START,
            out(reg) length, const offset::PATCHED_LENGTH,
            options(nostack, readonly, preserves_flags));
    }
    address.wrapping_sub(start) < length
}

/// A word of this dispatcher's page, of the libOS's own.
fn word<const AT: usize>() -> u64 {
    let value: u64;
    // SAFETY: as `current`; the callers name words of `Local` or of the kernel's part.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) value, const AT, options(nostack, readonly, preserves_flags));
    }
    value
}

/// Where the way back of a call and that of a whole frame were going.
pub(super) fn ways_back() -> (u64, u64) {
    (word::<{ serix_sys::abi::dispatcher::offset::FOREIGN_RIP }>(), word::<{ offset::LEAVE_RIP }>())
}

/// Sets the call table of a dispatcher page.
pub(super) fn install_table(page: FrameNumber, table: u64) {
    let local = (frame_map::address(page) as usize + LIBOS_OFFSET) as *mut Local;
    // SAFETY: as `install`.
    unsafe { (*local).table = table };
}

/// Points GS at the dispatcher page of the calling environment.
pub(super) fn load_gs() {
    // SAFETY: FSGSBASE is required of the CPU (docs/decisions/0002-kernel-abi.md); nothing else uses GS.
    unsafe {
        asm!("wrgsbase {}", in(reg) serix_session::DISPATCHER_ADDRESS,
            options(nostack, nomem, preserves_flags));
    }
}
