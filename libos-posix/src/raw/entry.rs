//! Entries from the kernel, and the way back to a program.
//!
//! A foreign call builds the lower part of a [`TrapFrame`] on the thread's libOS stack, only the registers that
//! Rust code does not keep; calls that need all of them (`fork`, `execve`, `rt_sigreturn`) complete it. A
//! fault or slice start comes in an upcall frame of the dispatcher page, which is copied to the libOS stack at
//! once, so that the handler may block. Registers hold no secrets of the libOS that matter to its
//! trust model (docs/decisions/0005-session-memory.md), so rcx and r11 are not cleared.
use super::local::offset as local;
use super::{sites, user};
use crate::memory::fault;
use crate::patch::{Resumed, put_back};
use crate::process::rseq;
use crate::sched;
use crate::signal;
use crate::syscall::{self, TABLE_SIZE};
use core::arch::naked_asm;
use serix_session::DISPATCHER_ADDRESS;
use serix_sys::abi::dispatcher::offset as page;
use serix_sys::abi::dispatcher::reason;
use serix_sys::abi::layout::{USER_CODE_SELECTOR, USER_DATA_SELECTOR};

/// All registers of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub rcx: u64,
    pub r9: u64,
    pub r8: u64,
    pub r10: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// On entry of a call its number, on return the result.
    pub rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// What the kernel stores in the dispatcher's pending word; requests of the libOS are other bits.
const UPCALL_WAITS: u64 = 1;

const TRAP_FLAG: u64 = 1 << 8;

const FRAME_SIZE: usize = size_of::<TrapFrame>();
const _: () = assert!(FRAME_SIZE == 160);

impl TrapFrame {
    /// A program that starts at `rip` with this stack and nothing else.
    #[must_use]
    pub fn new(rip: u64, rsp: u64) -> Self {
        Self {
            rip,
            rsp,
            cs: USER_CODE_SELECTOR,
            ss: USER_DATA_SELECTOR,
            rflags: 1 << 9 | 1 << 1,
            ..Self::default()
        }
    }
}

/// The registers of a call that its entry saves: what an unknown or traced call can look at.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs)]
pub struct CallFrame {
    pub r9: u64,
    pub r8: u64,
    pub r10: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub number: u64,
}

/// A handler with all registers of a call.
pub type FrameHandler = extern "sysv64" fn(&mut TrapFrame);

/// An entry of the call table.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Entry(*const ());

// SAFETY: an address of code.
unsafe impl Sync for Entry {}

/// A handler with the registers of a call.
pub type PlainEntry = extern "sysv64" fn(u64, u64, u64, u64, u64, u64) -> i64;

impl Entry {
    /// The entry of a number without a handler.
    #[must_use]
    pub const fn unknown() -> Self {
        Self(unknown_entry as *const ())
    }

    /// The entry of a handler.
    #[must_use]
    pub const fn plain(entry: PlainEntry) -> Self {
        Self(entry as *const ())
    }

    /// The entry that [`crate::whole_frame_entry`] made.
    #[must_use]
    pub const fn whole_frame(entry: extern "sysv64" fn()) -> Self {
        Self(entry as *const ())
    }

    /// Calls a handler that was made by [`Self::plain`]; the caller knows from the table's descriptions.
    pub(crate) fn call(self, registers: &[u64; 6]) -> i64 {
        let [a, b, c, d, e, f] = *registers;
        // SAFETY: the table's descriptions tell plain entries from others, and the caller has looked.
        let entry: PlainEntry = unsafe { core::mem::transmute(self.0) };
        entry(a, b, c, d, e, f)
    }
}

/// Entry of foreign calls, that is of call sites that are not patched.
#[unsafe(naked)]
pub(super) extern "sysv64" fn foreign_entry() {
    naked_asm!(
        "mov gs:[{program_rsp}], rsp",
        "mov rsp, gs:[{call_stack}]",
        "push rax",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r10",
        "push r8",
        "push r9",
        // Sites that come here often enough are patched.
        "inc qword ptr [rip + {reflected}]",
        "mov r11d, gs:[{rip}]",
        "mov ecx, r11d",
        "shr ecx, 12",
        "xor r11d, ecx",
        "and r11d, {last_counter}",
        "lea rcx, [rip + {counters}]",
        "dec word ptr [rcx + r11 * 2]",
        "jne {dispatch}",
        "mov rdi, gs:[{rip}]",
        "call {hot}",
        "mov r9, [rsp]",
        "mov r8, [rsp + 8]",
        "mov r10, [rsp + 16]",
        "mov rdx, [rsp + 24]",
        "mov rsi, [rsp + 32]",
        "mov rdi, [rsp + 40]",
        "mov rax, [rsp + 48]",
        "jmp {dispatch}",
        program_rsp = const local::PROGRAM_RSP,
        call_stack = const local::CALL_STACK,
        rip = const page::FOREIGN_RIP,
        reflected = sym sites::REFLECTED,
        counters = sym sites::COUNTERS,
        last_counter = const sites::COUNTERS_COUNT - 1,
        hot = sym sites::hot,
        dispatch = sym serix_dispatch,
    )
}

/// Entry of patched call sites, the dispatch of all calls, and the two ways to the program, each of which enables upcalls and then
/// looks whether there is something to do first. Up to `serix_restart_end` this is the restart range.
///
/// A trampoline comes here with the return address in rcx, and all else as the program has it.
///
/// Where the call came from (rip, flags, rsp) stays in the dispatcher page, which a switch saves with the thread
/// (`context`): the five words above the call's number are filled in only for those that look at the whole frame. So
/// the way back of calls, whose number is at rsp then, loads rsp with the place of the flags, and needs no stack.
/// `serix_leave_frame` is the way of whole frames, whose rip, cs, rflags, rsp and ss are there.
#[unsafe(naked)]
pub(super) extern "sysv64" fn patched_entry() {
    naked_asm!(
        "mov dword ptr gs:[{disabled}], 1",
        "mov gs:[{rip}], rcx",
        "mov gs:[{program_rsp}], rsp",
        "movabs rsp, {flags_address} + 8",
        "pushfq",
        "mov rsp, gs:[{call_stack}]",
        // What the kernel clears at a reflection: trap, direction, nested task, alignment check.
        "test dword ptr gs:[{rflags}], 0x44500",
        "jne 5f",
        "4:",
        "push rax",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r10",
        "push r8",
        "push r9",
        ".global serix_dispatch",
        "serix_dispatch:",
        "mov rcx, r10",
        "mov r11, gs:[{table}]",
        "cmp rax, {table_size}",
        "jae 6f",
        "call [r11 + rax * 8]",
        "7:",
        "pop r9",
        "pop r8",
        "pop r10",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "mov dword ptr gs:[{disabled}], 0",
        "cmp qword ptr gs:[{pending}], 0",
        "jne 2f",
        // Not `iretq`: emulators up to QEMU 9.0 read its operands as the kernel would, which SMAP forbids.
        "movabs rsp, {flags_address}",
        "popfq",
        "mov rsp, gs:[{program_rsp}]",
        "jmp qword ptr gs:[{rip}]",
        ".global serix_leave_frame",
        "serix_leave_frame:",
        "mov dword ptr gs:[{disabled}], 0",
        "cmp qword ptr gs:[{pending}], 0",
        "jne 3f",
        "pop qword ptr gs:[{leave_rip}]",
        "lea rsp, [rsp + 8]",
        "popfq",
        "pop rsp",
        "jmp qword ptr gs:[{leave_rip}]",
        "2:",
        "mov dword ptr gs:[{disabled}], 1",
        "jmp {call_work}",
        "3:",
        "mov dword ptr gs:[{disabled}], 1",
        ".global serix_restart_end",
        "serix_restart_end:",
        "jmp {frame_work}",
        "5:",
        "push 0x202",
        "popfq",
        "jmp 4b",
        "6:",
        "mov rdi, rsp",
        "call {unknown}",
        "jmp 7b",
        disabled = const page::UPCALLS_DISABLED,
        pending = const page::PENDING,
        flags_address = const DISPATCHER_ADDRESS + page::FOREIGN_RFLAGS as u64,
        rip = const page::FOREIGN_RIP,
        rflags = const page::FOREIGN_RFLAGS,
        program_rsp = const local::PROGRAM_RSP,
        call_stack = const local::CALL_STACK,
        table = const local::TABLE,
        table_size = const TABLE_SIZE,
        unknown = sym unknown_call,
        leave_rip = const local::LEAVE_RIP,
        call_work = sym call_work,
        frame_work = sym frame_work,
    )
}

/// A call's way back found something to do: completes the frame, from its number at rsp on.
#[unsafe(naked)]
extern "sysv64" fn call_work() {
    naked_asm!(
        "mov rcx, gs:[{rip}]",
        "mov [rsp + 8], rcx",
        "mov qword ptr [rsp + 16], {cs}",
        "mov rcx, gs:[{rflags}]",
        "mov [rsp + 24], rcx",
        "mov rcx, gs:[{program_rsp}]",
        "mov [rsp + 32], rcx",
        "mov qword ptr [rsp + 40], {ss}",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r10",
        "push r8",
        "push r9",
        "push rcx",
        "push r11",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "mov rsi, rax",
        "xor edx, edx",
        "xchg gs:[{pending}], rdx",
        "call {work}",
        "jmp {restore}",
        rip = const page::FOREIGN_RIP,
        rflags = const page::FOREIGN_RFLAGS,
        pending = const page::PENDING,
        program_rsp = const local::PROGRAM_RSP,
        ss = const USER_DATA_SELECTOR,
        cs = const USER_CODE_SELECTOR,
        work = sym call_exit_work,
        restore = sym restore,
    )
}

/// The same on the way back of a whole frame, whose upper end is at rsp.
#[unsafe(naked)]
extern "sysv64" fn frame_work() {
    naked_asm!(
        "push rax",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r10",
        "push r8",
        "push r9",
        "push rcx",
        "push r11",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "xor esi, esi",
        "xchg gs:[{pending}], rsi",
        "call {work}",
        "jmp {restore}",
        pending = const page::PENDING,
        work = sym frame_exit_work,
        restore = sym restore,
    )
}

unsafe extern "sysv64" {
    fn serix_dispatch();
    fn serix_leave_frame();
    safe static serix_restart_end: u8;
}

/// The restart range: first address, first address past it.
pub(super) fn restart_range() -> (u64, u64) {
    (patched_entry as *const () as u64, (&raw const serix_restart_end) as u64)
}

/// Restores the whole trap frame at rsp and leaves.
#[unsafe(naked)]
extern "sysv64" fn restore() {
    naked_asm!(
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "pop r11",
        "pop rcx",
        "pop r9",
        "pop r8",
        "pop r10",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop rax",
        "jmp {leave}",
        leave = sym serix_leave_frame,
    )
}

/// Entry of faults and of asynchronous upcalls; rsp is at `reason` of an upcall frame.
#[unsafe(naked)]
pub(super) extern "sysv64" fn upcall_entry() {
    naked_asm!(
        "push rax",
        "push rcx",
        "mov rax, rsp",
        "cmp qword ptr [rax + 40], 0",
        "jne 2f",
        "mov rsp, gs:[{call_stack}]",
        "lea rsp, [rsp + {above_call}]",
        "jmp 3f",
        "2:",
        "mov rsp, [rax + 72]",
        "and rsp, -16",
        "3:",
        "push qword ptr [rax + 80]",
        "push qword ptr [rax + 72]",
        "push qword ptr [rax + 64]",
        "push qword ptr [rax + 56]",
        "push qword ptr [rax + 48]",
        "push qword ptr [rax + 8]",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r10",
        "push r8",
        "push r9",
        "push qword ptr [rax]",
        "push r11",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "mov rsi, [rax + 16]",
        "mov rdx, [rax + 24]",
        "mov rcx, [rax + 32]",
        "mov r8, [rax + 40]",
        "push r8",
        "push r8",
        "dec dword ptr gs:[{depth}]",
        "call {upcall}",
        "pop rcx",
        "pop rcx",
        "test rcx, rcx",
        "jz {restore}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "pop r11",
        "pop rcx",
        "pop r9",
        "pop r8",
        "pop r10",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop rax",
        // Not `iretq`: emulators up to QEMU 9.0 read its operands as the kernel would, which SMAP forbids.
        "pop qword ptr gs:[{leave_rip}]",
        "lea rsp, [rsp + 8]",
        "popfq",
        "pop rsp",
        "jmp qword ptr gs:[{leave_rip}]",
        call_stack = const local::CALL_STACK,
        above_call = const local::ABOVE_CALL,
        depth = const page::DEPTH,
        leave_rip = const local::LEAVE_RIP,
        upcall = sym upcall,
        restore = sym restore,
    )
}

/// Where a new thread begins: its trap frame is at rsp, its own context is loaded by `begin`.
#[unsafe(naked)]
pub(super) extern "sysv64" fn thread_start() {
    naked_asm!(
        "mov rdi, rsp",
        "call {begin}",
        "jmp {restore}",
        begin = sym begin,
        restore = sym restore,
    )
}

/// Completes the trap frame of a call for a handler that wants all of it; expanded once per handler.
#[macro_export]
#[doc(hidden)]
macro_rules! whole_frame_entry {
    ($entry:ident, $handler:path) => {
        #[unsafe(naked)]
        extern "sysv64" fn $entry() {
            core::arch::naked_asm!(
                "lea r11, [rip + {handler}]",
                "jmp {complete}",
                handler = sym $handler,
                complete = sym $crate::raw::entry::whole_frame,
            )
        }
    };
}

/// Calls the handler at r11 with the whole frame. The call's registers and a return address are at rsp.
#[unsafe(naked)]
pub(crate) extern "sysv64" fn whole_frame() {
    naked_asm!(
        "mov rcx, gs:[{rip}]",
        "mov [rsp + 64], rcx",
        "mov qword ptr [rsp + 72], {cs}",
        "mov rcx, gs:[{rflags}]",
        "mov [rsp + 80], rcx",
        "mov rcx, gs:[{program_rsp}]",
        "mov [rsp + 88], rcx",
        "mov qword ptr [rsp + 96], {ss}",
        "add rsp, 8",
        "push rcx",
        "push r11",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "call r11",
        "jmp {restore}",
        rip = const page::FOREIGN_RIP,
        rflags = const page::FOREIGN_RFLAGS,
        program_rsp = const local::PROGRAM_RSP,
        ss = const USER_DATA_SELECTOR,
        cs = const USER_CODE_SELECTOR,
        restore = sym restore,
    )
}

/// Entry of `rt_sigreturn`, which makes a frame of its own in place of that of the call.
#[unsafe(naked)]
pub(crate) extern "sysv64" fn sigreturn_entry() {
    naked_asm!(
        "sub rsp, 56",
        "mov rdi, rsp",
        "mov rsi, gs:[{program_rsp}]",
        "call {handler}",
        "jmp {restore}",
        program_rsp = const local::PROGRAM_RSP,
        handler = sym signal::rt_sigreturn,
        restore = sym restore,
    )
}

/// Entry of a table slot without a call of its own, and of every slot while calls are traced: hands the saved
/// registers on.
#[unsafe(naked)]
pub(super) extern "sysv64" fn unknown_entry() {
    naked_asm!("lea rdi, [rsp + 8]", "jmp {unknown}", unknown = sym unknown_call)
}

extern "sysv64" fn unknown_call(frame: &CallFrame) -> i64 {
    syscall::unknown(frame)
}

/// `pending` is the dispatcher's word as it was: a request for exit work, an upcall of the kernel's that waited, or both.
extern "sysv64" fn call_exit_work(frame: &mut TrapFrame, result: i64, pending: u64) {
    if super::local::work_requested() {
        signal::exit_work(frame, Some(result));
    } else {
        frame.rax = result as u64;
    }
    if pending & UPCALL_WAITS != 0 {
        slice_work(frame);
    }
}

extern "sysv64" fn frame_exit_work(frame: &mut TrapFrame, pending: u64) {
    if pending & UPCALL_WAITS != 0 {
        preempt(frame);
    }
    if super::local::work_requested() {
        signal::exit_work(frame, None);
    }
}

#[cold]
fn slice_work(frame: &mut TrapFrame) {
    frame_exit_work(frame, UPCALL_WAITS);
}

/// Others had their turn, and may have seen what the program was at.
fn preempt(frame: &mut TrapFrame) {
    sched::slice_start();
    rseq::interrupted(frame);
}

/// A program that steps itself is stepped on the last instruction of the way back already: it is where it was going, and
/// steps no more.
fn stepped_back(frame: &mut TrapFrame) -> bool {
    let (start, end) = restart_range();
    let is_back = (start..end).contains(&frame.rip);
    if is_back {
        let (call, whole) = super::local::ways_back();
        let is_call = frame.rip < serix_leave_frame as *const () as u64;
        frame.rip = if is_call { call } else { whole };
        frame.rflags &= !TRAP_FLAG;
    }
    is_back
}

extern "sysv64" fn begin(frame: &mut TrapFrame) {
    sched::begin(frame);
}

extern "sysv64" fn upcall(
    frame: &mut TrapFrame,
    why: u64,
    error_code: u64,
    address: u64,
    in_libos: u64,
) {
    match why {
        reason::SLICE_START | reason::EVENT | reason::REVOKE if in_libos == 0 => {
            put_back(frame, why);
            preempt(frame);
        }
        reason::SLICE_START | reason::EVENT | reason::REVOKE => sched::slice_start(),
        _ if in_libos == 0 => {
            let step = why == fault::STEP && stepped_back(frame);
            if step || put_back(frame, why) == Resumed::No {
                fault::from_program(frame, why, error_code, address);
            }
        }
        _ => {
            if why == fault::PAGE_FAULT && fault::from_copy(error_code, address) {
                return;
            }
            match user::fix_up(frame.rip) {
                Some(rip) => frame.rip = rip,
                None => crate::session::oops(frame, why, error_code, address),
            }
        }
    }
}
