//! Entries from the kernel, and the way back to a program.
//!
//! A foreign call builds the lower part of a [`TrapFrame`] on the thread's libOS stack, only the registers that
//! Rust code does not keep; calls that need all of them (`fork`, `execve`, `rt_sigreturn`) complete it. A
//! fault or slice start comes in an upcall frame of the dispatcher page, which is copied to the libOS stack at
//! once, so that the handler may block. Registers hold no secrets of the libOS that matter to its
//! trust model (docs/decisions/0005-session-memory.md), so rcx and r11 are not cleared.
use super::local::offset as local;
use super::user;
use crate::memory::fault;
use crate::process::rseq;
use crate::sched;
use crate::signal;
use crate::syscall::{self, TABLE_SIZE};
use core::arch::naked_asm;
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

/// Entry of foreign calls.
#[unsafe(naked)]
pub(super) extern "sysv64" fn foreign_entry() {
    naked_asm!(
        "mov gs:[{program_rsp}], rsp",
        "mov rsp, gs:[{stack_top}]",
        "push {ss}",
        "push qword ptr gs:[{program_rsp}]",
        "push qword ptr gs:[{rflags}]",
        "push {cs}",
        "push qword ptr gs:[{rip}]",
        "push rax",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r10",
        "push r8",
        "push r9",
        "mov rcx, r10",
        "mov r11, gs:[{table}]",
        "cmp rax, {table_size}",
        "jae 3f",
        "call [r11 + rax * 8]",
        "2:",
        "cmp qword ptr gs:[{work}], 0",
        "jne 4f",
        "pop r9",
        "pop r8",
        "pop r10",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "add rsp, 8",
        "jmp {leave}",
        "3:",
        "mov rdi, rsp",
        "call {unknown}",
        "jmp 2b",
        "4:",
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
        "call {exit_work}",
        "jmp {restore}",
        program_rsp = const local::PROGRAM_RSP,
        stack_top = const local::STACK_TOP,
        table = const local::TABLE,
        work = const local::WORK,
        rflags = const page::FOREIGN_RFLAGS,
        rip = const page::FOREIGN_RIP,
        ss = const USER_DATA_SELECTOR,
        cs = const USER_CODE_SELECTOR,
        table_size = const TABLE_SIZE,
        unknown = sym unknown_call,
        exit_work = sym call_exit_work,
        leave = sym leave,
        restore = sym restore,
    )
}

/// Enables upcalls and goes to the program, whose rip, cs, rflags, rsp and ss are on the stack. This, up to
/// `restart_end`, is the restart range.
#[unsafe(naked)]
extern "sysv64" fn leave() {
    naked_asm!(
        "mov dword ptr gs:[{disabled}], 0",
        "cmp qword ptr gs:[{pending}], 0",
        "jne 2f",
        // Not `iretq`: emulators up to QEMU 9.0 read its operands as the kernel would, which SMAP forbids.
        "pop qword ptr gs:[{leave_rip}]",
        "lea rsp, [rsp + 8]",
        "popfq",
        "pop rsp",
        "jmp qword ptr gs:[{leave_rip}]",
        "2:",
        "mov dword ptr gs:[{disabled}], 1",
        ".global serix_restart_end",
        "serix_restart_end:",
        "mov qword ptr gs:[{pending}], 0",
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
        "call {slice}",
        "jmp {restore}",
        disabled = const page::UPCALLS_DISABLED,
        pending = const page::PENDING,
        leave_rip = const local::LEAVE_RIP,
        slice = sym slice_work,
        restore = sym restore,
    )
}

unsafe extern "sysv64" {
    safe static serix_restart_end: u8;
}

/// The restart range: first address, first address past it.
pub(super) fn restart_range() -> (u64, u64) {
    (leave as *const () as u64, (&raw const serix_restart_end) as u64)
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
        leave = sym leave,
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
        "mov rsp, gs:[{stack_top}]",
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
        "jnz 4f",
        "cmp qword ptr gs:[{work}], 0",
        "je {restore}",
        "mov rdi, rsp",
        "call {exit_work}",
        "jmp {restore}",
        "4:",
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
        stack_top = const local::STACK_TOP,
        depth = const page::DEPTH,
        leave_rip = const local::LEAVE_RIP,
        work = const local::WORK,
        upcall = sym upcall,
        exit_work = sym frame_exit_work,
        restore = sym restore,
    )
}

/// Where a new thread begins: its trap frame is at rsp, its own context is loaded by `begin`.
#[unsafe(naked)]
pub(super) extern "sysv64" fn thread_start() {
    naked_asm!(
        "mov rdi, rsp",
        "call {begin}",
        "cmp qword ptr gs:[{work}], 0",
        "je {restore}",
        "mov rdi, rsp",
        "call {exit_work}",
        "jmp {restore}",
        begin = sym begin,
        work = const local::WORK,
        exit_work = sym frame_exit_work,
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
                "call {handler}",
                "mov rdi, rsp",
                "jmp {leave}",
                handler = sym $handler,
                leave = sym $crate::raw::entry::whole_frame_leave,
            )
        }
    };
}

/// The way back of a call that had its whole frame.
#[unsafe(naked)]
pub(crate) extern "sysv64" fn whole_frame_leave() {
    naked_asm!(
        "cmp qword ptr gs:[{work}], 0",
        "je {restore}",
        "mov rdi, rsp",
        "call {exit_work}",
        "jmp {restore}",
        work = const local::WORK,
        exit_work = sym frame_exit_work,
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

extern "sysv64" fn call_exit_work(frame: &mut TrapFrame, result: i64) {
    signal::exit_work(frame, Some(result));
}

extern "sysv64" fn frame_exit_work(frame: &mut TrapFrame) {
    signal::exit_work(frame, None);
}

extern "sysv64" fn slice_work(frame: &mut TrapFrame) {
    preempt(frame);
    if super::local::work_requested() {
        signal::exit_work(frame, None);
    }
}

/// Others had their turn, and may have seen what the program was at.
fn preempt(frame: &mut TrapFrame) {
    sched::slice_start();
    rseq::interrupted(frame);
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
        reason::SLICE_START | reason::EVENT | reason::REVOKE if in_libos == 0 => preempt(frame),
        reason::SLICE_START | reason::EVENT | reason::REVOKE => sched::slice_start(),
        _ if in_libos == 0 => fault::from_program(frame, why, error_code, address),
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
