//! Workers: further dispatchers of the test program, which run Rust functions on whatever core they get.
//!
//! A worker has its dispatcher page and stack; GS base is the address of the page. Its fault stub finds everything it needs
//! in the page, so that each worker takes its own faults. It lives in the environment of the test or in one of its own, which
//! has the same session memory.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use serix_abi::dispatcher::{DispatcherParameters, LIBOS_OFFSET, offset};
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error, FOREVER, NATIVE_TAG, NO_SLOT, PAGE_SIZE};
use serix_session::{DISPATCHER_ADDRESS, INFO_ADDRESS, SESSION_TOP_SLOT};
use serix_sys::{Slot, call as sys, environment, memory};

use super::guard;
use crate::arena;
use crate::log;
use crate::session::{DATA, Session};

/// Most workers of a program.
pub const WORKERS: usize = 12;
/// Bytes of a worker's stack.
const STACK_SIZE: usize = 32 * 1024;

/// Words of the libOS's part of a worker's page.
mod word {
    use super::LIBOS_OFFSET;
    /// Reason, error code, address and rip of the last fault.
    pub(super) const NOTED: usize = LIBOS_OFFSET;
    /// Faults taken.
    pub(super) const FAULTS: usize = LIBOS_OFFSET + 32;
    /// Where a fault goes on; zero: it is an error of the test.
    pub(super) const RECOVER: usize = LIBOS_OFFSET + 40;
    /// End of the stack.
    pub(super) const STACK: usize = LIBOS_OFFSET + 48;
    /// Environment whose dispatcher 0 gets a slice that starts.
    pub(super) const SCHEDULER: usize = LIBOS_OFFSET + 56;
    /// Number of the worker.
    pub(super) const NUMBER: usize = LIBOS_OFFSET + 64;
}

global_asm!(
    r"
.global serix_worker_fault, serix_worker_slice, serix_worker_restart, serix_worker_restart_end, serix_worker_gate
// Notes what happened in the worker's own page, then goes on at RECOVER, with all registers but rip as they were.
serix_worker_fault:
    push rax
    push rcx
    mov rcx, rsp
    and rcx, -4096
    mov rax, [rsp + 16]
    mov [rcx + {NOTED}], rax
    mov rax, [rsp + 24]
    mov [rcx + {NOTED} + 8], rax
    mov rax, [rsp + 32]
    mov [rcx + {NOTED} + 16], rax
    mov rax, [rsp + 48]
    mov [rcx + {NOTED} + 24], rax
    inc qword ptr [rcx + {FAULTS}]
    mov rax, [rcx + {RECOVER}]
    test rax, rax
    jz 3f
    mov [rsp + 48], rax
    // As serix_worker_slice: what it pushed below, it has popped.
    jmp serix_worker_restart
3:  mov rdi, rcx
    mov rsp, [rcx + {STACK}]
    call {unexpected}
    ud2

// A slice starts: the scheduler decides whose it is.
serix_worker_slice:
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
4:  mov rcx, rsp
    and rcx, -4096
    mov qword ptr [rcx + {PENDING}], 0
    mov rdi, [rcx + {SCHEDULER}]
    xor esi, esi
    movabs rax, {YIELD_TO}
    syscall
    mov rcx, rsp
    and rcx, -4096
    cmp qword ptr [rcx + {PENDING}], 0
    jne 4b
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
// Below: rcx and rax pushed, then the frame from its reason on. Ends by `ret` through a word below the interrupted stack pointer,
// where soft-float code without a red zone keeps nothing. Asynchronous upcalls wait while rip is in here.
serix_worker_restart:
    mov rcx, rsp
    and rcx, -4096
    mov eax, [rsp + 40]
    mov [rcx + {DISABLED}], eax
    dec dword ptr [rcx + {DEPTH}]
    mov rax, [rsp + 72]
    sub rax, 8
    mov rcx, [rsp + 48]
    mov [rax], rcx
    mov [rsp + 72], rax
    pop rcx
    pop rax
    lea rsp, [rsp + 48]
    popfq
    pop rsp
    ret
serix_worker_restart_end:
    nop

// The entry of a gate: replies with what it was called with. Whoever goes on after that lost what it did before the call, and
// begins its job anew.
serix_worker_gate:
    mov r10, rcx
    movabs rax, {GATE_REPLY}
    syscall
    mov dword ptr gs:[{DEPTH}], 0
    mov dword ptr gs:[{DISABLED}], 0
    mov rdi, gs:[{NUMBER}]
    mov rsp, gs:[{STACK}]
    call {main}
    ud2
",
    NOTED = const word::NOTED,
    FAULTS = const word::FAULTS,
    RECOVER = const word::RECOVER,
    STACK = const word::STACK,
    SCHEDULER = const word::SCHEDULER,
    PENDING = const offset::PENDING,
    DISABLED = const offset::UPCALLS_DISABLED,
    DEPTH = const offset::DEPTH,
    YIELD_TO = const (NATIVE_TAG as u64) << 32 | Call::YieldTo as u64,
    NUMBER = const word::NUMBER,
    main = sym main,
    GATE_REPLY = const (NATIVE_TAG as u64) << 32 | Call::GateReply as u64,
    unexpected = sym unexpected,
);

unsafe extern "C" {
    static serix_worker_gate: u8;
    static serix_worker_fault: u8;
    static serix_worker_slice: u8;
    static serix_worker_restart: u8;
    static serix_worker_restart_end: u8;
}

#[repr(C, align(4096))]
struct Stack([AtomicU64; STACK_SIZE / 8]);
static STACKS: [Stack; WORKERS] =
    [const { Stack([const { AtomicU64::new(0) }; STACK_SIZE / 8]) }; WORKERS];

/// What a worker has to do, and how far it is.
struct Desk {
    job: AtomicPtr<()>,
    argument: AtomicU64,
    begun: AtomicU64,
    done: AtomicU64,
    taken: AtomicBool,
}
static DESKS: [Desk; WORKERS] = [const {
    Desk {
        job: AtomicPtr::new(core::ptr::null_mut()),
        argument: AtomicU64::new(0),
        begun: AtomicU64::new(0),
        done: AtomicU64::new(0),
        taken: AtomicBool::new(false),
    }
}; WORKERS];
/// The event by which jobs are given (bit n) and told to be done (bit 32 + n).
static EVENT: AtomicUsize = AtomicUsize::new(NO_SLOT as usize);

/// What a worker runs.
pub type Job = fn(u64);

/// What the CPU said to a worker's touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerFault {
    /// Exception vector.
    pub vector: u64,
    /// CR2 for a page fault.
    pub address: u64,
}

/// Where a worker lives, and whether it is told when a slice starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A further dispatcher of the test's environment.
    Own,
    /// An environment of its own, with the test's session memory; a slice that starts goes to the test's dispatcher 0.
    Apart,
}

/// A worker.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    /// Its environment.
    pub environment: Slot,
    /// Number of its dispatcher there.
    pub number: u64,
    /// Frame of its dispatcher page.
    pub page_unit: u64,
    desk: usize,
}

fn event() -> Result<Slot, Error> {
    let known = EVENT.load(Ordering::Relaxed) as u32;
    if known != NO_SLOT {
        return Ok(Slot(known));
    }
    let slot = sys::event_create()?;
    EVENT.store(slot as usize, Ordering::Relaxed);
    Ok(Slot(slot as u32))
}

/// An environment with the test's session memory and the information page.
fn apart(session: &Session) -> Result<Slot, Error> {
    let slot = Slot(sys::environment_create(Slot::NONE, NO_SLOT.into())? as u32);
    // SAFETY: nothing of the caller's own environment changes.
    unsafe {
        memory::attach(slot, SESSION_TOP_SLOT, session.memory, true)?;
        memory::info_map(slot, INFO_ADDRESS)?;
    }
    Ok(slot)
}

impl Worker {
    /// A worker that begins with a job; nobody lets it run yet.
    ///
    /// # Errors
    /// Of the call that failed.
    ///
    /// # Panics
    /// If there are more than [`WORKERS`].
    pub fn new(
        session: &mut Session,
        place: Place,
        job: Job,
        argument: u64,
    ) -> Result<Self, Error> {
        event()?;
        let desk = DESKS.iter().position(|desk| !desk.taken.swap(true, Ordering::Relaxed));
        let desk = desk.expect("a program has few workers");
        let environment = match place {
            Place::Own => session.environment,
            Place::Apart => apart(session)?,
        };
        let page_unit = session.take_frames(1);
        let page = match place {
            // The first page there is the test's own.
            Place::Own => DISPATCHER_ADDRESS + (desk as u64 + 1) * PAGE_SIZE as u64,
            Place::Apart => DISPATCHER_ADDRESS,
        };
        let view = session.take_addresses(1);
        session.map(session.environment, view, page_unit, 1, DATA)?;
        for at in (0..PAGE_SIZE as u64).step_by(8) {
            super::write(view + at, 0).map_err(|_| Error::BadAddress)?;
        }
        let stack = STACKS[desk].0.as_ptr_range().end.addr() as u64 - 64;
        for (at, value) in [
            (word::STACK, stack),
            (word::SCHEDULER, session.environment.0.into()),
            (word::NUMBER, desk as u64),
        ] {
            super::write(view + at as u64, value).map_err(|_| Error::BadAddress)?;
        }
        session.unmap(session.environment, view, 1)?;
        let flags = MapFlags(DATA.0 | MapFlags::SHARED.0);
        // SAFETY: nothing is mapped there: pages of dispatchers are given once.
        unsafe { memory::map_range(environment, page, session.frames, page_unit, 1, flags)? };
        let event_entry =
            if place == Place::Apart { address(&raw const serix_worker_slice) } else { 0 };
        let parameters = DispatcherParameters {
            frames: session.frames.0,
            unit: page_unit as u32,
            page_address: page,
            fault_entry: address(&raw const serix_worker_fault),
            foreign_entry: 0,
            event_entry,
            restart_start: address(&raw const serix_worker_restart),
            restart_end: address(&raw const serix_worker_restart_end),
            rip: main as *const () as u64,
            // As after a call.
            rsp: stack - 8,
            argument: desk as u64,
            gs_base: page,
            upcalls_disabled: 0,
        };
        let worker = Self { environment, number: 0, page_unit, desk };
        worker.put(job, argument);
        // SAFETY: the entries are the stubs above, which keep the contract; the page is theirs alone.
        let number = unsafe { environment::dispatcher_create(environment, &parameters)? };
        Ok(Self { number, ..worker })
    }

    fn put(&self, job: Job, argument: u64) {
        let desk = &DESKS[self.desk];
        desk.argument.store(argument, Ordering::Relaxed);
        desk.job.store(job as *mut (), Ordering::Relaxed);
        desk.begun.fetch_add(1, Ordering::Release);
    }

    /// A new worker that runs on any core.
    ///
    /// # Errors
    /// As [`Self::new`] and `DispatcherStart`.
    pub fn start(
        session: &mut Session,
        place: Place,
        job: Job,
        argument: u64,
    ) -> Result<Self, Error> {
        let worker = Self::new(session, place, job, argument)?;
        sys::dispatcher_start(worker.environment, worker.number)?;
        Ok(worker)
    }

    /// Gives it the next job, when it has finished the one before.
    ///
    /// # Errors
    /// As `EventSignal`.
    ///
    /// # Panics
    /// If it has not finished.
    pub fn begin(&self, job: Job, argument: u64) -> Result<(), Error> {
        assert!(self.is_done(), "a worker has one job at a time");
        self.put(job, argument);
        sys::event_signal(event()?, 1 << self.desk).map(drop)
    }

    /// Destroys the environment of a worker that lives apart, wherever it is; how often the kernel answered `Again`.
    ///
    /// # Errors
    /// As `EnvironmentDestroy`.
    ///
    /// # Panics
    /// If it lives in the test's environment.
    pub fn destroy(self) -> Result<u64, Error> {
        let mut rounds = 0;
        loop {
            match super::call(Call::EnvironmentDestroy, &[self.environment.0.into()]) {
                Err(Error::Again) => rounds += 1,
                other => break other.map(drop)?,
            }
        }
        let desk = &DESKS[self.desk];
        desk.done.store(desk.begun.load(Ordering::Relaxed), Ordering::Relaxed);
        desk.taken.store(false, Ordering::Relaxed);
        Ok(rounds)
    }

    /// Whether it has finished all jobs.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let desk = &DESKS[self.desk];
        desk.done.load(Ordering::Acquire) == desk.begun.load(Ordering::Acquire)
    }

    /// Entry and stack for a gate into it, which replies at once with the words that it is called with. The far end of its own
    /// stack serves: the upcall that a slice begins with needs a word there.
    #[must_use]
    pub fn gate(&self) -> (u64, u64) {
        let stack = STACKS[self.desk].0.as_ptr_range().start.addr() as u64 + 64;
        (address(&raw const serix_worker_gate), stack)
    }

    /// Waits until it has finished.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn finish(&self, deadline: u64) -> Result<(), Error> {
        while !self.is_done() {
            sys::event_wait(event()?, 1 << (32 + self.desk), deadline)?;
        }
        Ok(())
    }
}

fn address(symbol: *const u8) -> u64 {
    symbol.addr() as u64
}

/// Workers besides the test's own dispatcher in a crew of four.
pub const CREW: usize = 3;
static CREW_MADE: AtomicBool = AtomicBool::new(false);
static CREW_FIRST_UNIT: AtomicU64 = AtomicU64::new(0);

/// The program's first three workers, idle, made when they are first asked for: with the caller's dispatcher, one for each of
/// four cores.
///
/// # Errors
/// As [`Worker::start`]; `TimedOut` if one does not come to its first wait.
///
/// # Panics
/// If other workers were made before.
pub fn crew(session: &mut Session) -> Result<[Worker; CREW], Error> {
    if !CREW_MADE.swap(true, Ordering::Relaxed) {
        for index in 0..CREW {
            let worker = Worker::start(session, Place::Own, |_| {}, 0)?;
            assert!(
                worker.desk == index && worker.number == index as u64 + 1,
                "the crew comes first"
            );
            // Frames are taken one after the other.
            if index == 0 {
                CREW_FIRST_UNIT.store(worker.page_unit, Ordering::Relaxed);
            }
            worker.finish(super::now_ns() + 5_000_000_000)?;
        }
    }
    let (environment, first) = (session.environment, CREW_FIRST_UNIT.load(Ordering::Relaxed));
    Ok([0, 1, 2].map(|desk| Worker {
        environment,
        number: desk as u64 + 1,
        page_unit: first + desk as u64,
        desk,
    }))
}

/// A worker's life.
extern "C" fn main(number: u64) -> ! {
    let desk = &DESKS[number as usize];
    loop {
        let begun = desk.begun.load(Ordering::Acquire);
        if desk.done.load(Ordering::Relaxed) < begun {
            let job = desk.job.load(Ordering::Relaxed);
            // SAFETY: only `put` stores there, what is a `Job`, before it counts the job as begun.
            let job = unsafe { core::mem::transmute::<*mut (), Job>(job) };
            job(desk.argument.load(Ordering::Relaxed));
            desk.done.fetch_add(1, Ordering::Release);
            let _ = event().and_then(|event| sys::event_signal(event, 1 << (32 + number)));
        }
        let _ = event().and_then(|event| sys::event_wait(event, 1 << number, FOREVER));
    }
}

/// A fault of a worker itself: said and ended.
extern "C" fn unexpected(page: u64) -> ! {
    let word = |at: usize| {
        // SAFETY: the page is the worker's own, and all words in it are numbers.
        unsafe { ((page + at as u64) as *const u64).read_volatile() }
    };
    log::line(format_args!(
        "FAIL worker {}: fault {}, error {:#x}, address {:#x}, at {:#x}",
        word(word::NUMBER),
        word(word::NOTED),
        word(word::NOTED + 8),
        word(word::NOTED + 16),
        word(word::NOTED + 24)
    ));
    sys::exit(100)
}

/// A word of the calling worker's page.
macro_rules! own {
    ($at:expr) => {{
        let value: u64;
        // SAFETY: GS base of a worker is its page.
        unsafe {
            asm!("mov {}, gs:[{}]", out(reg) value, const $at, options(nostack, readonly, preserves_flags));
        }
        value
    }};
}

fn outcome(before: u64) -> Result<(), WorkerFault> {
    // SAFETY: as in `own`.
    unsafe {
        asm!("mov qword ptr gs:[{}], 0", const word::RECOVER, options(nostack, preserves_flags))
    };
    if own!(word::FAULTS) == before {
        return Ok(());
    }
    Err(WorkerFault { vector: own!(word::NOTED), address: own!(word::NOTED + 16) })
}

/// Reads a word, in a worker.
///
/// # Errors
/// The fault.
pub fn worker_read(address: u64) -> Result<u64, WorkerFault> {
    let before = own!(word::FAULTS);
    let value;
    // SAFETY: a fault goes on at the label; any value is a `u64`; GS base of a worker is its page.
    unsafe {
        asm!(
            "lea {value}, [rip + 2f]",
            "mov gs:[{recover}], {value}",
            "mov {value}, [{address}]",
            "2:",
            value = out(reg) value,
            address = in(reg) address,
            recover = const word::RECOVER,
            options(nostack),
        );
    }
    outcome(before).map(|()| value)
}

/// Writes a word to an address, which is not memory of the program, in a worker.
///
/// # Errors
/// The fault.
///
/// # Panics
/// If it is memory of the program.
pub fn worker_write(address: u64, value: u64) -> Result<(), WorkerFault> {
    let in_arena = (arena::address(0)..=arena::address(arena::SIZE - 8)).contains(&address);
    assert!(in_arena || !guard::is_program(address), "{address:#x} is memory of the test");
    let before = own!(word::FAULTS);
    // SAFETY: the address is outside of the program's memory; a fault goes on at the label; GS base of a worker is its page.
    unsafe {
        asm!(
            "lea {place}, [rip + 2f]",
            "mov gs:[{recover}], {place}",
            "mov [{address}], {value}",
            "2:",
            place = out(reg) _,
            value = in(reg) value,
            address = in(reg) address,
            recover = const word::RECOVER,
            options(nostack),
        );
    }
    outcome(before)
}

/// The APIC id of the core that this runs on, at some moment.
#[must_use]
pub fn core_number() -> u32 {
    let features: u64;
    // SAFETY: CPUID changes eax to edx alone; rbx, which LLVM reserves, is put back.
    unsafe {
        asm!(
            "mov {keep}, rbx",
            "cpuid",
            "xchg {keep}, rbx",
            keep = out(reg) features,
            inout("eax") 1 => _, out("ecx") _, out("edx") _,
            options(nostack, nomem),
        );
    }
    (features >> 24) as u32 & 0xFF
}
