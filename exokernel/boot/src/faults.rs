//! What happens on a CPU exception until the kernel has handlers of its own: one line on COM1 and
//! the end of QEMU, instead of a silent reset.
//!
//! The handlers are one run of position-independent code without data, identity mapped before and
//! after page tables change, so they serve the loader, the kernel's first instructions, and the other
//! CPUs. They use the interrupted stack; where that is broken too, the machine resets.

use core::arch::{asm, global_asm};
use core::ops::Range;

/// Exception vectors of the architecture.
const VECTORS: usize = 32;
/// Present, 64-bit interrupt gate.
const INTERRUPT_GATE: u64 = 0x8e00 << 32;

/// An interrupt descriptor table for all exceptions, as words.
pub type Table = [u64; 2 * VECTORS];

unsafe extern "C" {
    static serix_faults: u8;
    static serix_faults_end: u8;
}

// Stub n is a call at 8n, so that the return address tells n. Vectors 8, 10 to 14, 17, 21, 29 and
// 30 push an error code (Intel SDM volume 3, table 6-1; AMD's #VC and #SX).
global_asm!(
    ".text",
    ".balign 16",
    ".global serix_faults, serix_faults_end",
    "serix_faults:",
    ".rept 32",
    "    call 10f",
    "    .balign 8",
    ".endr",
    "10: cli",
    "    cld",
    "    popq %rbx",
    "    leaq serix_faults(%rip), %rax",
    "    subq %rax, %rbx",
    "    shrq $3, %rbx",
    "    movl $0x60227d00, %eax",
    "    btl %ebx, %eax",
    "    jc 11f",
    "    pushq $0",
    "11: popq %r12",
    "    movq (%rsp), %r13",
    "    movq %cr2, %r14",
    "    leaq 30f(%rip), %rsi",
    "    call 20f",
    "    movq %rbx, %r15",
    "    call 22f",
    "    leaq 31f(%rip), %rsi",
    "    call 20f",
    "    movq %r13, %r15",
    "    call 22f",
    "    leaq 32f(%rip), %rsi",
    "    call 20f",
    "    movq %r12, %r15",
    "    call 22f",
    "    leaq 33f(%rip), %rsi",
    "    call 20f",
    "    movq %r14, %r15",
    "    call 22f",
    "    leaq 34f(%rip), %rsi",
    "    call 20f",
    "    movl $0xf4, %edx",
    "    movb $0x12, %al",
    "    outb %al, %dx",
    "12: pause",
    "    jmp 12b",
    // Prints the string at RSI.
    "20: lodsb",
    "    testb %al, %al",
    "    jz 21f",
    "    call 24f",
    "    jmp 20b",
    "21: ret",
    // Prints R15 in hexadecimal.
    "22: movl $16, %ecx",
    "23: rolq $4, %r15",
    "    movl %r15d, %eax",
    "    andl $15, %eax",
    "    addb $0x30, %al",
    "    cmpb $0x3a, %al",
    "    jb 26f",
    "    addb $0x27, %al",
    "26: call 24f",
    "    decl %ecx",
    "    jnz 23b",
    "    ret",
    // Prints AL, after a bounded wait for the transmitter.
    "24: movb %al, %ah",
    "    movl $100000, %edi",
    "25: movl $0x3fd, %edx",
    "    inb %dx, %al",
    "    testb $0x20, %al",
    "    jnz 27f",
    "    decl %edi",
    "    jnz 25b",
    "27: movb %ah, %al",
    "    movl $0x3f8, %edx",
    "    outb %al, %dx",
    "    ret",
    "30: .asciz \"loader: exception 0x\"",
    "31: .asciz \" at 0x\"",
    "32: .asciz \", error code 0x\"",
    "33: .asciz \", address 0x\"",
    "34: .asciz \"\\r\\n\"",
    "serix_faults_end:",
    ".balign 16",
    options(att_syntax)
);

/// The handlers' code, which must be identity mapped where a [`table`] is in use.
#[must_use]
pub fn code() -> Range<u64> {
    (&raw const serix_faults) as u64..(&raw const serix_faults_end) as u64
}

/// The table for CPUs whose 64-bit code segment is `selector`.
#[must_use]
pub fn table(selector: u16) -> Table {
    let mut table = [0; 2 * VECTORS];
    for (vector, gate) in table.chunks_exact_mut(2).enumerate() {
        let handler = code().start + 8 * vector as u64;
        let (low, middle) = (handler & 0xffff, handler >> 16 & 0xffff);
        gate[0] = middle << 48 | INTERRUPT_GATE | u64::from(selector) << 16 | low;
        gate[1] = handler >> 32;
    }
    table
}

/// What `lidt` and `lgdt` read in 64-bit mode.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed)]
pub struct TablePointer {
    /// Bytes minus one.
    pub limit: u16,
    /// Virtual address.
    pub base: u64,
}

impl TablePointer {
    /// The pointer to `words` words at `base`.
    #[must_use]
    pub fn new(base: u64, words: usize) -> TablePointer {
        TablePointer { limit: (words * 8 - 1) as u16, base }
    }
}

/// The selector of this CPU's code segment.
#[must_use]
pub fn code_selector() -> u16 {
    let selector: u16;
    // SAFETY: Reading CS has no effect.
    unsafe { asm!("mov {:x}, cs", out(reg) selector, options(nomem, nostack)) };
    selector
}

/// Makes exceptions of this CPU go to the table at `pointer`.
///
/// # Safety
/// A [`table`] for [`code_selector`] lies there and stays, and interrupts are off.
pub unsafe fn load(pointer: TablePointer) {
    // SAFETY: The caller vouches for the table.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_point_to_their_stubs() {
        let table = table(0x28);
        for (vector, gate) in table.chunks_exact(2).enumerate() {
            let handler = gate[0] & 0xffff | gate[0] >> 32 & 0xffff_0000 | gate[1] << 32;
            assert_eq!(handler, code().start + 8 * vector as u64);
            assert_eq!(gate[0] >> 16 & 0xffff, 0x28);
            assert_eq!(gate[0] >> 32 & 0xffff, 0x8e00);
        }
    }

    /// Stub n is a call instruction at 8n: what the handler computes n from.
    #[test]
    fn stubs_are_eight_bytes_apart() {
        let length = (code().end - code().start) as usize;
        // SAFETY: The code is part of this program.
        let code = unsafe { core::slice::from_raw_parts(&raw const serix_faults, length) };
        assert!(code[..8 * VECTORS].chunks_exact(8).all(|stub| stub[0] == 0xe8));
    }
}
