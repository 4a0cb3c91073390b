//! Code for servers behind gates and for partners of measurements, each at a multiple of [`ENTRY_SIZE`] bytes, and the call
//! itself.

use core::arch::global_asm;
use serix_abi::{Call, Error, FOREVER, NATIVE_TAG};
use serix_sys::time::ticks;

use super::guard::harms;
use crate::child::{CODE, SCRIPT};

/// Bytes from one entry to the next.
pub const ENTRY_SIZE: u64 = 64;

/// Where [`Server::Forward`] finds the gate that it calls, and partners the slots that they use: in the script's page.
pub const NEXT: u64 = SCRIPT + 3584;
/// Where partners count their rounds.
pub const ROUNDS: u64 = NEXT + 16;
/// Ticks between two looks at the clock from which on a spinning program was not running.
pub const GAP: u64 = 100_000;

/// What a server does when it is called.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Server {
    /// Replies badge, word 0 + 1, word 1 + 1, word 2 + word 3.
    Echo = 0,
    /// Replies what is in the registers that carry no message, or-ed.
    Registers = 1,
    /// Never replies.
    Spin = 2,
    /// Ends its domain with status 7.
    Exit = 3,
    /// Faults.
    Fault = 4,
    /// Waits for bit 0 of the event in slot word 0 until word 1, and replies the status.
    Wait = 5,
    /// Calls the gate in the slot at [`NEXT`], and replies the status and 1 more than that call's second word.
    Forward = 6,
    /// Works off the script of its environment.
    Script = 7,
    /// Not behind a gate: waits for bit 0 of the event in the slot at [`NEXT`] and sets bit 0 of the one in the slot after it, for
    /// ever.
    Pong = 8,
    /// Not behind a gate: yields to dispatcher 0 of the environment in the slot at [`NEXT`], for ever.
    Yield = 9,
    /// Not behind a gate: looks at the clock until a [`GAP`], and ends its domain with the lower half of the clock after it.
    Clock = 10,
}

global_asm!(
    r#"
.section .rodata.servers, "a"
.balign 64
.global serix_tests_servers, serix_tests_servers_end
serix_tests_servers:
    lea rax, [rcx + r8]
    mov r10, rax
    lea rax, [rdx + 1]
    lea rsi, [rsi + 1]
    mov rdx, rax
    movabs rax, {reply}
    syscall
    ud2
.balign 64
    or rax, rbx
    or rax, rbp
    or rax, r9
    or rax, r10
    or rax, r11
    or rax, r12
    or rax, r13
    or rax, r14
    or rax, r15
    mov rdi, rax
    movabs rax, {reply}
    syscall
    ud2
.balign 64
2:  jmp 2b
.balign 64
    mov edi, 7
    movabs rax, {exit}
    syscall
    ud2
.balign 64
    ud2
.balign 64
    mov rdi, rsi
    mov esi, 1
    movabs rax, {wait}
    syscall
    mov rdi, rax
    movabs rax, {reply}
    syscall
    ud2
.balign 64
    movabs rax, {next}
    mov rdi, [rax]
    mov r9, -1
    movabs rax, {call}
    syscall
    inc rdi
    mov rsi, rdi
    mov rdi, rax
    movabs rax, {reply}
    syscall
    ud2
.balign 64
    movabs rdi, {script}
    movabs rax, {code}
    jmp rax
.balign 64
    movabs rbx, {next}
2:  mov rdi, [rbx]
    mov esi, 1
    mov rdx, -1
    movabs rax, {wait}
    syscall
    inc qword ptr [rbx + 16]
    mov rdi, [rbx + 8]
    mov esi, 1
    movabs rax, {signal}
    syscall
    jmp 2b
.balign 64
    movabs rbx, {next}
2:  mov rdi, [rbx]
    xor esi, esi
    movabs rax, {yield_to}
    inc qword ptr [rbx + 16]
    syscall
    jmp 2b
.balign 64
    rdtsc
    shl rdx, 32
    or rdx, rax
    mov r8, rdx
2:  rdtsc
    shl rdx, 32
    or rdx, rax
    mov r9, rdx
    sub r9, r8
    mov r8, rdx
    cmp r9, {gap}
    jb 2b
    mov edi, r8d
    movabs rax, {exit}
    syscall
    ud2
.balign 64
serix_tests_servers_end:
.text
"#,
    reply = const number(Call::GateReply),
    exit = const number(Call::Exit),
    wait = const number(Call::EventWait),
    call = const number(Call::GateCall),
    signal = const number(Call::EventSignal),
    yield_to = const number(Call::YieldTo),
    gap = const GAP,
    next = const NEXT,
    script = const SCRIPT,
    code = const CODE,
);

const fn number(call: Call) -> u64 {
    (NATIVE_TAG as u64) << 32 | call as u64
}

unsafe extern "C" {
    static serix_tests_servers: u8;
    static serix_tests_servers_end: u8;
}

/// The code of all servers, for a page of an environment.
#[must_use]
pub fn server_code() -> &'static [u8] {
    // SAFETY: both symbols bound the code above, in read-only memory.
    unsafe {
        let start = &raw const serix_tests_servers;
        let length = (&raw const serix_tests_servers_end).offset_from(start);
        core::slice::from_raw_parts(start, length as usize)
    }
}

/// Calls a gate.
///
/// # Errors
/// What the kernel answered.
pub fn gate_call(gate: u64, words: [u64; 4], deadline: u64) -> Result<[u64; 4], Error> {
    assert!(!harms(Call::GateCall, &[gate, 0, 0, 0, 0, 0]));
    // SAFETY: the servers of these tests touch no memory of this program.
    unsafe { serix_sys::raw::gate_call(gate as u32, words, deadline) }
}

/// As [`gate_call`] without a deadline, with the ticks from before to after the call itself.
///
/// # Errors
/// What the kernel answered.
#[inline(always)]
pub fn gate_call_measured(gate: u64, words: [u64; 4]) -> Result<([u64; 4], u64), Error> {
    let before = ticks();
    // SAFETY: as in `gate_call`.
    let reply = unsafe { serix_sys::raw::gate_call(gate as u32, words, FOREVER) }?;
    Ok((reply, ticks() - before))
}
