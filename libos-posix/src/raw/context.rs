//! What is saved of a thread that does not run, and the switch.
//!
//! Every native call that may give up the CPU leaves the vector registers dead, so a thread's are saved before and
//! loaded after. The switch puts the next stack pointer in one word of session memory: whichever environment
//! resumes takes it from there, so a switch leads straight to the thread wanted, and a new environment and one
//! that was parked start the same way.
use super::entry::{self, TrapFrame};
use super::frame_map;
use super::local;
use crate::memory::FrameNumber;
use crate::sched::Thread;
use alloc::alloc::{alloc, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::arch::{asm, naked_asm};
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use serix_sys::Slot;
use serix_sys::abi::dispatcher::offset as page;

/// rsp of the thread that runs next, read by whichever dispatcher resumes.
static NEXT_STACK: AtomicU64 = AtomicU64::new(0);
/// Bytes of the XSAVE area, and the features saved.
static VECTOR_SIZE: AtomicU32 = AtomicU32::new(0);
static VECTOR_FEATURES: AtomicU64 = AtomicU64::new(0);

/// Offset of MXCSR in an XSAVE area (Intel SDM vol. 1, 13.4).
const MXCSR: usize = 24;

/// Offset of the header.
const HEADER: usize = 512;

/// Bytes of the legacy region and the header.
const XSAVE_MIN: usize = 576;

/// Areas of threads that ended, for the next ones.
static SPARE_AREAS: spin::Mutex<Vec<VectorState>> = spin::Mutex::new(Vec::new());
/// Most of them.
const SPARE_AREAS_MAX: usize = 32;

/// Extended state of a thread, in the layout of XSAVE.
#[derive(Debug)]
pub struct VectorState(*mut u8);

// SAFETY: the area is owned by the handle.
unsafe impl Send for VectorState {}

fn vector_layout() -> Layout {
    let size = VECTOR_SIZE.load(Ordering::Relaxed) as usize;
    Layout::from_size_align(size.max(XSAVE_MIN), 64).unwrap_or(Layout::new::<[u64; 72]>())
}

impl VectorState {
    /// The state of a program that starts: all initial.
    #[must_use]
    pub fn new() -> Self {
        let spare = SPARE_AREAS.lock().pop();
        let state = spare.unwrap_or_else(Self::make);
        state.reset();
        state
    }

    #[cold]
    fn make() -> Self {
        // SAFETY: the layout's size is not zero. `reset` initialises what is looked at before a `save`.
        let area = unsafe { alloc(vector_layout()) };
        if area.is_null() {
            alloc::alloc::handle_alloc_error(vector_layout());
        }
        Self(area)
    }

    /// Back to the state of a program that starts.
    pub fn reset(&self) {
        // Of what the header says to be in its initial state, nothing but MXCSR is read (Intel SDM vol. 1, 13.8).
        // SAFETY: the area has at least the legacy region and the header, 576 bytes.
        unsafe {
            self.0.add(HEADER).cast::<[u64; 8]>().write([0; 8]);
            self.0.add(MXCSR).cast::<u32>().write(0x1F80);
        }
    }

    /// Stores the registers of the CPU.
    #[inline]
    pub fn save(&mut self) {
        let features = VECTOR_FEATURES.load(Ordering::Relaxed);
        // SAFETY: the area has the size that the features need, and is aligned to 64.
        unsafe {
            asm!("xsave64 [{}]", in(reg) self.0, in("eax") features as u32, in("edx") (features >> 32) as u32,
                options(nostack, preserves_flags));
        }
    }

    /// Loads the registers of the CPU.
    #[inline]
    pub fn load(&self) {
        let features = VECTOR_FEATURES.load(Ordering::Relaxed);
        // SAFETY: 1. As `save`. 2. The area comes from XSAVE or `reset`, so no reserved bit is set. 3.
        // libOS code is soft-float: no value of its own is in those registers.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) self.0, in("eax") features as u32, in("edx") (features >> 32) as u32,
                options(nostack, preserves_flags));
        }
    }

    /// The features that the CPU saves, as programs may use them, and the size of the area.
    #[must_use]
    pub fn features() -> (u64, usize) {
        (VECTOR_FEATURES.load(Ordering::Relaxed), VECTOR_SIZE.load(Ordering::Relaxed) as usize)
    }
}

impl Default for VectorState {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for VectorState {
    fn drop(&mut self) {
        let mut spare = SPARE_AREAS.lock();
        if spare.len() < SPARE_AREAS_MAX {
            spare.push(Self(self.0));
            return;
        }
        // SAFETY: allocated by `new` with this layout, which does not change after start.
        unsafe { dealloc(self.0, vector_layout()) };
    }
}

/// Says once what the CPU saves.
pub(super) fn set_vector_size(size: u32, features: u64) {
    VECTOR_SIZE.store(size, Ordering::Relaxed);
    VECTOR_FEATURES.store(features, Ordering::Relaxed);
}

/// Where a thread runs: an environment and the dispatcher page in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The environment.
    pub environment: Slot,
    /// Frame of its dispatcher page.
    pub page: FrameNumber,
}

/// The saved part of a thread.
#[derive(Debug)]
pub struct Context {
    stack_pointer: Cell<u64>,
    stack_top: u64,
    fs_base: Cell<u64>,
    place: Cell<Place>,
    vectors: UnsafeCell<VectorState>,
}

// SAFETY: contexts are touched by the scheduler, on one core at a time, and by the thread itself.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// The context of a thread that starts as `frame` says when it is first switched to.
    #[must_use]
    pub fn new(stack_top: u64, place: Place, frame: &TrapFrame, fs_base: u64) -> Self {
        let at = stack_top - size_of::<TrapFrame>() as u64;
        // Below the frame: where `resume` returns to, and the nine words that it pops.
        let stack_pointer = at - 10 * 8;
        // SAFETY: the stack was just allocated for this thread, which does not run yet.
        unsafe {
            (at as *mut TrapFrame).write(*frame);
            core::ptr::write_bytes(stack_pointer as *mut u64, 0, 9);
            ((at - 8) as *mut u64).write(entry::thread_start as *const () as u64);
        }
        Self {
            stack_pointer: Cell::new(stack_pointer),
            stack_top,
            fs_base: Cell::new(fs_base),
            place: Cell::new(place),
            vectors: UnsafeCell::new(VectorState::new()),
        }
    }

    /// Where the thread runs.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place.get()
    }

    /// Top of the libOS stack; the trap frame of the thread's present call ends there.
    #[must_use]
    pub fn stack_top(&self) -> u64 {
        self.stack_top
    }

    /// Gives a thread that does not run the vector registers of the running program, as `fork` does.
    pub fn adopt_vectors(&self) {
        // SAFETY: the thread does not run, so nothing else touches its area.
        unsafe { (*self.vectors.get()).save() };
    }

    /// Puts the program's vector registers in their initial state.
    pub fn reset_vectors(&self) {
        // SAFETY: the running thread's own area.
        let vectors = unsafe { &*self.vectors.get() };
        vectors.reset();
        vectors.load();
    }

    /// FS base while the thread does not run.
    pub fn set_fs_base(&self, base: u64) {
        self.fs_base.set(base);
    }

    /// Waits for a bit of an event or the deadline, with the vector registers saved meanwhile.
    pub(crate) fn wait_event(&self, event: Slot, deadline_ns: u64) {
        self.save();
        // Nothing to do about an error but to look again.
        let _ = serix_sys::call::event_wait(event, u64::MAX, deadline_ns);
        self.load();
    }

    fn save(&self) {
        self.fs_base.set(read_fs_base());
        // SAFETY: the running thread's own area.
        unsafe { (*self.vectors.get()).save() };
    }

    /// Loads what the switch itself does not.
    pub(crate) fn load(&self) {
        write_fs_base(self.fs_base.get());
        // SAFETY: the running thread's own area.
        unsafe { (*self.vectors.get()).load() };
    }
}

/// The program's FS base, which the libOS itself does not use.
#[must_use]
pub fn read_fs_base() -> u64 {
    let base;
    // SAFETY: FSGSBASE is required of the CPU.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nostack, nomem, preserves_flags)) };
    base
}

/// Sets the program's FS base.
///
/// Non-canonical addresses are refused by the caller: the instruction would fault.
pub fn write_fs_base(base: u64) {
    debug_assert!(base < super::PROGRAM_END);
    // SAFETY: FSGSBASE is required of the CPU; the libOS does not use FS.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, nomem, preserves_flags)) };
}

/// Leaves `from` and runs `to`; comes back when something switches to `from`.
///
/// `work`: whether `to` goes through the exit work before it enters its program.
///
/// `to` is kept alive by the scheduler, which knows it as the running thread.
pub(crate) fn switch_to(from: &Context, to: *const Context, thread: *const Thread, work: bool) {
    // SAFETY: the scheduler holds the thread, and its context with it.
    let to = unsafe { &*to };
    from.save();
    let (here, there) = (from.place.get(), to.place.get());
    local::install(there.page, thread, to.stack_top, work);
    let environment = if here == there { Slot::NONE } else { there.environment };
    // SAFETY: 1. `to` was made by `Context::new` or saved by this function, so its stack holds what `resume` pops.
    // 2. The vector registers are saved. 3. One core: nothing else uses `NEXT_STACK`.
    unsafe {
        switch_stacks(
            from.stack_pointer.as_ptr(),
            to.stack_pointer.get(),
            environment.0.into(),
            NEXT_STACK.as_ptr(),
        );
    }
    from.load();
}

/// Moves the running thread to another environment, in which it goes on.
pub(crate) fn migrate(context: &Context, place: Place, thread: *const Thread) {
    let work = local::work_requested();
    context.save();
    local::install(place.page, thread, context.stack_top, work);
    context.place.set(place);
    // SAFETY: as `switch_to`; the target stack pointer is the one that `switch_stacks` is about to store.
    unsafe {
        migrate_stack(
            context.stack_pointer.as_ptr(),
            0,
            place.environment.0.into(),
            NEXT_STACK.as_ptr(),
        );
    }
    context.load();
}

/// Saves rsp to `*save`, with where the present call came from on top of the stack, makes `stack` the next one, and takes it: here, or in `environment`.
#[unsafe(naked)]
unsafe extern "sysv64" fn switch_stacks(
    save: *mut u64,
    stack: u64,
    environment: u64,
    next: *mut u64,
) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr gs:[{rip}]",
        "push qword ptr gs:[{rflags}]",
        "push qword ptr gs:[{rsp}]",
        "mov [rdi], rsp",
        "mov [rcx], rsi",
        "cmp edx, -1",
        "je {resume}",
        "mov rdi, rdx",
        "lea rbx, [rip + {resume}]",
        "jmp {yield_to}",
        yield_to = sym serix_sys::raw::yield_to_and_jump,
        resume = sym resume,
        rip = const page::FOREIGN_RIP,
        rflags = const page::FOREIGN_RFLAGS,
        rsp = const local::offset::PROGRAM_RSP,
    )
}

/// As `switch_stacks`, to the stack that was just saved.
#[unsafe(naked)]
unsafe extern "sysv64" fn migrate_stack(
    save: *mut u64,
    unused: u64,
    environment: u64,
    next: *mut u64,
) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr gs:[{rip}]",
        "push qword ptr gs:[{rflags}]",
        "push qword ptr gs:[{rsp}]",
        "mov [rdi], rsp",
        "mov [rcx], rsp",
        "mov rdi, rdx",
        "lea rbx, [rip + {resume}]",
        "jmp {yield_to}",
        yield_to = sym serix_sys::raw::yield_to_and_jump,
        resume = sym resume,
        rip = const page::FOREIGN_RIP,
        rflags = const page::FOREIGN_RFLAGS,
        rsp = const local::offset::PROGRAM_RSP,
    )
}

/// Where every dispatcher goes on: takes the next stack.
#[unsafe(naked)]
pub(super) extern "sysv64" fn resume() {
    naked_asm!(
        "mov rsp, [rip + {next}]",
        "pop qword ptr gs:[{rsp}]",
        "pop qword ptr gs:[{rflags}]",
        "pop qword ptr gs:[{rip}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        next = sym NEXT_STACK,
        rip = const page::FOREIGN_RIP,
        rflags = const page::FOREIGN_RFLAGS,
        rsp = const local::offset::PROGRAM_RSP,
    )
}

/// Leaves the first stack for ever and runs the first thread, which is in the same environment.
pub(super) fn enter_first(to: &Context, thread: *const Thread) -> ! {
    let place = to.place.get();
    local::install(place.page, thread, to.stack_top, false);
    NEXT_STACK.store(to.stack_pointer.get(), Ordering::Relaxed);
    // SAFETY: as `switch_to`; nothing of the first stack is needed any more.
    unsafe { asm!("jmp {}", sym resume, options(noreturn)) }
}

/// Makes an environment's dispatcher page ready before its first run.
pub(super) fn prepare_page(page: FrameNumber, table: u64) {
    frame_map::zero(page);
    local::install_table(page, table);
}

/// CPUID leaf 1, edx: what programs know as `AT_HWCAP`.
#[must_use]
pub fn hardware_capabilities() -> u64 {
    u64::from(core::arch::x86_64::__cpuid(1).edx)
}
