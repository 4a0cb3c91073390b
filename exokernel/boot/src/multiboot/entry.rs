//! The multiboot header, and the way from 32-bit protected mode to [`super::main`].
//!
//! Invariant: when Rust code runs, the first 4 GiB are identity mapped by 2 MiB pages and the stack
//! and all statics lie inside [`image`].

use core::arch::global_asm;
use core::ops::Range;

// MAGIC, then flags: modules page aligned, memory map wanted, address fields valid. The address
// fields let a 64-bit ELF file pass for the flat image that multiboot loaders can load.
global_asm!(
    ".pushsection .multiboot, \"ax\"",
    ".balign 8",
    "70: .long 0x1badb002",
    "    .long 0x00010003",
    "    .long -(0x1badb002 + 0x00010003)",
    "    .long 70b, image_start, image_data_end, image_end, multiboot_entry",
    ".global multiboot_entry",
    ".code32",
    "multiboot_entry:",
    "    cli",
    "    cld",
    "    movl $multiboot_stack_end, %esp",
    "    movl %eax, %ebp",
    "    movl %ebx, %esi",
    // Long mode: CPUID 8000_0001H EDX bit 29.
    "    movl $0x80000000, %eax",
    "    cpuid",
    "    cmpl $0x80000001, %eax",
    "    jb 79f",
    "    movl $0x80000001, %eax",
    "    cpuid",
    "    btl $29, %edx",
    "    jnc 79f",
    // Four page directories for 4 GiB: entry n of all 2048 maps n * 2 MiB.
    "    movl $multiboot_tables, %edi",
    "    leal 0x1003(%edi), %eax",
    "    movl %eax, (%edi)",
    "    leal 0x2003(%edi), %eax",
    "    movl $4, %ecx",
    "    leal 0x1000(%edi), %edx",
    "71: movl %eax, (%edx)",
    "    addl $0x1000, %eax",
    "    addl $8, %edx",
    "    loop 71b",
    "    leal 0x2000(%edi), %edx",
    "    movl $0x83, %eax",
    "    movl $2048, %ecx",
    "72: movl %eax, (%edx)",
    "    addl $0x200000, %eax",
    "    addl $8, %edx",
    "    loop 72b",
    "    movl %cr4, %eax",
    "    orl $0x20, %eax",
    "    movl %eax, %cr4",
    "    movl %edi, %cr3",
    "    movl $0xc0000080, %ecx",
    "    rdmsr",
    "    orl $0x100, %eax",
    "    wrmsr",
    "    movl %cr0, %eax",
    "    andl $0x9ffffffb, %eax",
    "    orl $0x80000003, %eax",
    "    movl %eax, %cr0",
    "    lgdt 78f",
    "    ljmp $0x08, $73f",
    // No 64-bit CPU: say so in 32 bits.
    "79: movl $80f, %esi",
    "81: lodsb",
    "    testb %al, %al",
    "    jz 82f",
    "    movl $0x3f8, %edx",
    "    outb %al, %dx",
    "    jmp 81b",
    "82: movl $0xf4, %edx",
    "    movb $0x12, %al",
    "    outb %al, %dx",
    "83: hlt",
    "    jmp 83b",
    "80: .asciz \"loader: firmware: the CPU has no 64-bit mode\\r\\n\"",
    ".balign 8",
    "77: .quad 0, 0x00af9b0000000000, 0x00cf930000000000",
    "78: .word 23",
    "    .long 77b",
    ".code64",
    "73: movl $0x10, %eax",
    "    movw %ax, %ds",
    "    movw %ax, %es",
    "    movw %ax, %fs",
    "    movw %ax, %gs",
    "    movw %ax, %ss",
    "    movl %ebp, %edi",
    "    xorl %ebp, %ebp",
    "    call {main}",
    "    ud2",
    ".popsection",
    ".pushsection .bss.multiboot, \"aw\", @nobits",
    ".balign 4096",
    "multiboot_tables: .skip 6 * 4096",
    "    .skip 65536",
    "multiboot_stack_end:",
    ".popsection",
    main = sym super::main,
    options(att_syntax)
);

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
}

/// The physical bytes of this program, zeroed part included.
pub(super) fn image() -> Range<u64> {
    (&raw const image_start) as u64..(&raw const image_end) as u64
}
