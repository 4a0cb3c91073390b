//! Entry and exit code.
//!
//! From ring 3 there are two ways in: SYSCALL and the interrupt table. Both store the user's registers in the core's
//! current context, switch to the core's kernel stack, and call a handler. There is one way out, `serix_resume`, which
//! leaves to whatever context is current then; a handler that returns without switching takes a short cut.
use super::context::offsets as context;
use super::local::offsets as core_block;
use core::arch::global_asm;
use serix_abi::NATIVE_TAG;
use serix_abi::dispatcher::offset as page;

global_asm!(
    r"
.text
.global serix_syscall_entry, serix_closed_entry, serix_resume, serix_stubs, serix_enter_gate, serix_leave_gate

.balign 64
serix_syscall_entry:
    swapgs
    mov gs:[{SCRATCH}], rsp
    mov rsp, gs:[{CONTEXT}]
    mov [rsp + {RIP}], rcx
    mov [rsp + {RFLAGS}], r11
    mov rcx, rax
    shr rcx, 32
    cmp ecx, {NATIVE_TAG}
    jne 3f
    mov rcx, gs:[{SCRATCH}]
    mov [rsp + {RSP}], rcx
    mov [rsp + {RBX}], rbx
    mov [rsp + {RBP}], rbp
    mov [rsp + {R12}], r12
    mov [rsp + {R13}], r13
    mov [rsp + {R14}], r14
    mov [rsp + {R15}], r15
    mov qword ptr [rsp + {KIND}], 0
    mov rsp, gs:[{STACK}]
    // The handler by its number, the last one for all past the table; no branch for a CPU to guess.
    mov r11d, {LAST_NATIVE}
    cmp eax, r11d
    cmovb r11d, eax
    mov rcx, r10
    sub rsp, 8
    push rax
    call [{natives} + r11 * 8]
    // No switch happened: callee-saved registers are as they were, rax and rdx are the reply.
    mov rcx, gs:[{CONTEXT}]
    xor edi, edi
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    mov r11, [rcx + {RFLAGS}]
    mov rsp, [rcx + {RSP}]
    mov rcx, [rcx + {RIP}]
    swapgs
    sysretq

3:  // A foreign call: rip and flags go to the dispatcher page, everything else stays in its register.
    cmp qword ptr [rsp + {FOREIGN_ENTRY}], 0
    je 4f
    mov r11, [rsp + {PAGE}]
    mov rcx, [rsp + {RIP}]
    mov [r11 + {FOREIGN_RIP}], rcx
    mov rcx, [rsp + {RFLAGS}]
    mov [r11 + {FOREIGN_RFLAGS}], rcx
    mov dword ptr [r11 + {UPCALLS_DISABLED}], 1
    mov rcx, [rsp + {FOREIGN_ENTRY}]
    mov r11d, 0x202
    inc qword ptr gs:[{FOREIGN_CALLS}]
    mov rsp, gs:[{SCRATCH}]
    swapgs
    sysretq
4:  mov rdi, rsp
    mov rsp, gs:[{STACK}]
    xor ebp, ebp
    call gs:[{NO_FOREIGN}]
    ud2

// SYSCALL from 32-bit code cannot happen (no 32-bit code segment is reachable), but the register must point somewhere.
serix_closed_entry:
    ud2

// Exceptions and interrupts. The stubs made rsp point at: vector, error code, rip, cs, rflags, rsp, ss.
.balign 64
serix_trap:
    test byte ptr [rsp + 24], 3
    jz serix_kernel_trap
    swapgs
serix_trap_save:
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rdi, gs:[{CONTEXT}]
    mov qword ptr [rdi + {KIND}], 1
    mov rsp, gs:[{STACK}]
    // An interrupt keeps the user's AC and DF.
    pushfq
    and dword ptr [rsp], ~0x40400
    popfq
    xor ebp, ebp
    call gs:[{TRAP}]

serix_resume:
    mov rdi, gs:[{CONTEXT}]
    cmp qword ptr [rdi + {KIND}], 0
    je 5f
    lea rsp, [rdi + {REGISTERS}]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    swapgs
    iretq
5:  mov rax, [rdi + {RAX}]
    mov rdx, [rdi + {RDX}]
    mov rbx, [rdi + {RBX}]
    mov rbp, [rdi + {RBP}]
    mov r12, [rdi + {R12}]
    mov r13, [rdi + {R13}]
    mov r14, [rdi + {R14}]
    mov r15, [rdi + {R15}]
    mov rcx, [rdi + {RIP}]
    mov r11, [rdi + {RFLAGS}]
    mov rsp, [rdi + {RSP}]
    xor edi, edi
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    swapgs
    sysretq

// Into a gate: badge and words are in rdi, rsi, rdx, rcx and r8 already; r9 is the entry, r10 the stack. No other register
// has anything of the caller.
serix_enter_gate:
    push {USER_DATA}
    push r10
    push {ENTRY_FLAGS}
    push {USER_CODE}
    push r9
    xor eax, eax
    xor ebx, ebx
    xor ebp, ebp
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    swapgs
    iretq

// Back from a gate, to the native call that called it: the reply's words are in rdx, rdi, rsi and r8 already.
serix_leave_gate:
    mov rcx, gs:[{CONTEXT}]
    xor eax, eax
    xor r9d, r9d
    xor r10d, r10d
    mov rbx, [rcx + {RBX}]
    mov rbp, [rcx + {RBP}]
    mov r12, [rcx + {R12}]
    mov r13, [rcx + {R13}]
    mov r14, [rcx + {R14}]
    mov r15, [rcx + {R15}]
    mov r11, [rcx + {RFLAGS}]
    mov rsp, [rcx + {RSP}]
    mov rcx, [rcx + {RIP}]
    swapgs
    sysretq

// NMI, #DB, #MC, #DF come on stacks of their own. From user code: move the frame to the context, go on as any trap.
serix_trap_ist:
    test byte ptr [rsp + 24], 3
    jz serix_kernel_trap
    swapgs
    push rax
    push rcx
    mov rax, gs:[{CONTEXT}]
    add rax, {VECTOR}
    mov gs:[{SCRATCH}], rax
    .irp at, 0, 8, 16, 24, 32, 40, 48
    mov rcx, [rsp + 16 + \at]
    mov [rax + \at], rcx
    .endr
    pop rcx
    pop rax
    mov rsp, gs:[{SCRATCH}]
    jmp serix_trap_save

// From kernel code: an interrupt while idle, a fault in a user copy, or the end. GS is not touched: it may be the user's.
serix_kernel_trap:
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    // A fault in a user copy comes with AC set.
    pushfq
    and dword ptr [rsp], ~0x40400
    popfq
    call {kernel_trap}
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

// 256 stubs of 16 bytes. Vectors with an error code: 8, 10-14, 17, 21, 29, 30 (Intel SDM vol. 3A, table 6-1).
.balign 16
serix_stubs:
.set vector, 0
.rept 256
    .balign 16
    .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
    push 0
    .endif
    push vector
    .if (vector == 1) || (vector == 2) || (vector == 8) || (vector == 18)
    jmp serix_trap_ist
    .else
    jmp serix_trap
    .endif
    .set vector, vector + 1
.endr
",
    kernel_trap = sym super::trap::kernel_trap,
    USER_CODE = const serix_abi::layout::USER_CODE_SELECTOR,
    USER_DATA = const serix_abi::layout::USER_DATA_SELECTOR,
    ENTRY_FLAGS = const super::context::ENTRY_FLAGS,
    NATIVE_TAG = const NATIVE_TAG,
    CONTEXT = const core_block::CONTEXT,
    STACK = const core_block::STACK,
    SCRATCH = const core_block::SCRATCH,
    FOREIGN_CALLS = const core_block::FOREIGN_CALLS,
    LAST_NATIVE = const super::trap::NATIVE_HANDLERS - 1,
    natives = sym super::trap::NATIVES,
    TRAP = const core_block::TRAP,
    NO_FOREIGN = const core_block::NO_FOREIGN,
    REGISTERS = const context::REGISTERS,
    VECTOR = const context::REGISTERS_END - 56,
    KIND = const context::KIND,
    PAGE = const context::PAGE,
    FOREIGN_ENTRY = const context::FOREIGN_ENTRY,
    RIP = const context::RIP,
    RSP = const context::RSP,
    RFLAGS = const context::RFLAGS,
    RAX = const context::RAX,
    RDX = const context::RDX,
    RBX = const context::RBX,
    RBP = const context::RBP,
    R12 = const context::R12,
    R13 = const context::R13,
    R14 = const context::R14,
    R15 = const context::R15,
    FOREIGN_RIP = const page::FOREIGN_RIP,
    FOREIGN_RFLAGS = const page::FOREIGN_RFLAGS,
    UPCALLS_DISABLED = const page::UPCALLS_DISABLED,
);
