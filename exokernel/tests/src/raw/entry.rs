//! Upcall entries of the test programs, and what they note.

use core::arch::global_asm;
use core::slice;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use serix_abi::dispatcher::{DispatcherParameters, offset};
use serix_abi::{Call, Error, NATIVE_TAG, PAGE_SIZE};
use serix_session::{DISPATCHER_ADDRESS, SessionStart};
use serix_sys::environment::dispatcher_entries;

use super::guard;
use crate::log;
use crate::session::Session;

/// What the fault stub notes: reason, error code, address, rip, flags on entry, upcall depth.
pub(super) static NOTED: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
/// Faults that the stub took.
pub(super) static FAULTS: AtomicU64 = AtomicU64::new(0);
/// Where a fault goes on; zero: it is an error of the test.
pub(super) static RECOVER: AtomicU64 = AtomicU64::new(0);

/// Where the stub goes on: the jump needs it in memory.
static RESUME: AtomicU64 = AtomicU64::new(0);

#[repr(C, align(16))]
struct Stack([AtomicU64; 1024]);
/// Stack of the last report of a program that faulted where it should not.
static LAST_STACK: Stack = Stack([const { AtomicU64::new(0) }; 1024]);
const LAST_STACK_SIZE: usize = size_of::<Stack>() - 64;

global_asm!(
    r"
.global serix_test_fault, serix_test_foreign, serix_test_agent, serix_test_agent_end
// Notes what happened, then goes on at RECOVER, with all registers but rip as they were.
serix_test_fault:
    push rax
    push rcx
    pushfq
    lea rcx, [rip + {noted}]
    pop rax
    mov [rcx + 32], rax
    mov rax, [rsp + 16]
    mov [rcx], rax
    mov rax, [rsp + 24]
    mov [rcx + 8], rax
    mov rax, [rsp + 32]
    mov [rcx + 16], rax
    mov rax, [rsp + 48]
    mov [rcx + 24], rax
    lock inc qword ptr [rip + {faults}]
    mov rax, [rip + {recover}]
    test rax, rax
    jnz 2f
    lea rax, [rip + {last_stack} + {last_stack_size}]
    mov [rsp + 72], rax
    lea rax, [rip + {unexpected}]
2:  mov [rsp + 48], rax
    movabs rcx, {page}
    mov eax, [rcx + {DEPTH}]
    push rdx
    lea rdx, [rip + {noted}]
    mov [rdx + 40], rax
    pop rdx
    mov rax, [rsp + 40]
    mov [rcx + {DISABLED}], eax
    dec dword ptr [rcx + {DEPTH}]
    pop rcx
    pop rax
    lea rsp, [rsp + 32]
    // Not `iretq`: emulators up to QEMU 9.0 read its operands as the kernel would, which SMAP forbids.
    pop qword ptr [rip + {resume}]
    lea rsp, [rsp + 8]
    // A single step is over.
    and qword ptr [rsp], ~0x100
    popfq
    pop rsp
    jmp qword ptr [rip + {resume}]

// Answers every foreign call with what it was called with, plus one.
serix_test_foreign:
    movabs rcx, {page}
    mov dword ptr [rcx + {DISABLED}], 0
    lea rax, [rax + 1]
    jmp [rcx + {FOREIGN_RIP}]

// Runs the script at rdi, in a domain or environment without any other code: see `crate::child`.
serix_test_agent:
    mov r15, rdi
    xor r14d, r14d
2:  mov rax, [r15]
    mov rdi, [r15 + 8]
    mov rsi, [r15 + 16]
    cmp rax, -1
    je 8f
    cmp rax, -2
    je 9f
    cmp rax, -3
    je 5f
    cmp rax, -4
    je 6f
    cmp rax, -5
    je 7f
    mov rdx, [r15 + 24]
    mov r10, [r15 + 32]
    mov r8, [r15 + 40]
    mov r9, [r15 + 48]
    syscall
3:  cmp rax, [r15 + 56]
    jne 8f
4:  add r15, 64
    inc r14d
    jmp 2b
5:  mov rax, [rdi]
    jmp 3b
6:  mov [rdi], rsi
    jmp 4b
7:  jmp rdi
8:  cmp qword ptr [r15], -1
    lea edi, [r14 + 1]
    jne 10f
    xor edi, edi
10: movabs rax, {EXIT}
    syscall
9:  pause
    jmp 9b
serix_test_agent_end:
    nop
",
    noted = sym NOTED,
    faults = sym FAULTS,
    recover = sym RECOVER,
    resume = sym RESUME,
    last_stack = sym LAST_STACK,
    last_stack_size = const LAST_STACK_SIZE,
    unexpected = sym unexpected,
    page = const DISPATCHER_ADDRESS,
    DEPTH = const offset::DEPTH,
    DISABLED = const offset::UPCALLS_DISABLED,
    FOREIGN_RIP = const offset::FOREIGN_RIP,
    EXIT = const (NATIVE_TAG as u64) << 32 | Call::Exit as u64,
);

unsafe extern "C" {
    static serix_test_fault: u8;
    static serix_test_foreign: u8;
    static serix_test_agent: u8;
    static serix_test_agent_end: u8;
}

/// Address of the fault entry.
#[must_use]
pub fn fault_stub() -> u64 {
    (&raw const serix_test_fault).addr() as u64
}

/// Address of the foreign entry.
#[must_use]
pub fn foreign_stub() -> u64 {
    (&raw const serix_test_foreign).addr() as u64
}

/// An address that can be read.
#[must_use]
pub fn code_address() -> u64 {
    fault_stub() & !7
}

/// The agent's code; it may be copied to any address.
#[must_use]
pub fn agent_code() -> &'static [u8] {
    let (start, end) = (&raw const serix_test_agent, &raw const serix_test_agent_end);
    let size = end.addr() - start.addr();
    assert!(size < PAGE_SIZE);
    // SAFETY: both symbols are in one section, in this order; code is never written.
    unsafe { slice::from_raw_parts(start, size) }
}

static CURRENT: (AtomicPtr<u8>, AtomicUsize) =
    (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0));

/// Names the running test, for the report of a fault.
pub fn set_current(name: &'static str) {
    CURRENT.0.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
    CURRENT.1.store(name.len(), Ordering::Relaxed);
}

fn current() -> &'static str {
    let (start, length) = (CURRENT.0.load(Ordering::Relaxed), CURRENT.1.load(Ordering::Relaxed));
    if start.is_null() {
        return "start";
    }
    // SAFETY: `set_current` stored the parts of a static string, in this one thread.
    unsafe { core::str::from_utf8_unchecked(slice::from_raw_parts(start, length)) }
}

/// A fault of the test itself: said and ended.
extern "C" fn unexpected() -> ! {
    let [reason, error, address, rip, ..] =
        NOTED.each_ref().map(|word| word.load(Ordering::Relaxed));
    log::line(format_args!(
        "FAIL {}: fault {reason}, error {error:#x}, address {address:#x}, at {rip:#x}",
        current()
    ));
    serix_sys::call::exit(100)
}

/// Sets the stubs as entries and learns where the program lies.
///
/// # Errors
/// As `DispatcherEntries`.
pub fn open(session: &Session) -> Result<(), Error> {
    guard::set_program(session.start, session.environment);
    entries(session, &DispatcherParameters::default())
}

/// Sets entries of the own dispatcher: zero stands for the stubs' own.
///
/// # Errors
/// As `DispatcherEntries`.
///
/// # Panics
/// If an entry could be entered that is no stub: only addresses that the kernel must refuse are let through.
pub fn entries(session: &Session, wanted: &DispatcherParameters) -> Result<(), Error> {
    let or = |entry: u64, stub: u64| if entry == 0 { stub } else { entry };
    let parameters = DispatcherParameters {
        fault_entry: or(wanted.fault_entry, fault_stub()),
        foreign_entry: or(wanted.foreign_entry, foreign_stub()),
        ..*wanted
    };
    let stubs = [0, fault_stub(), foreign_stub()];
    let set = [parameters.fault_entry, parameters.foreign_entry, parameters.event_entry];
    let refused = set.iter().any(|entry| *entry >= serix_abi::layout::USER_END);
    let is_known = set.iter().all(|entry| stubs.contains(entry));
    assert!(refused || is_known, "an entry that is no stub");
    // SAFETY: either the kernel refuses the entries, or all are stubs that keep the contract; the page is theirs.
    unsafe { dispatcher_entries(session.environment, 0, &parameters) }
}

/// The text of a session's manifest.
#[must_use]
pub fn manifest_text(start: &'static SessionStart) -> &'static str {
    // SAFETY: init put that many bytes of text there; nothing writes to them.
    let bytes = unsafe {
        slice::from_raw_parts(start.manifest_address as *const u8, start.manifest_size as usize)
    };
    core::str::from_utf8(bytes).unwrap_or("")
}
