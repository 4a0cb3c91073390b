//! Starting the other CPUs, all at once.
//!
//! Each gets INIT and SIPI and runs the trampoline in a page below 1 MiB, which the kernel's first
//! page tables map identically. It finds its record by its APIC id, says that it is there, and waits
//! until the kernel writes a goto address; so the page, which is bootloader-reclaimable, must stay
//! until then.
//!
//! All at once, because an emulated CPU that waits takes host time from those still to come.
//! Invariant: what CPUs write to the page before they have a stack of their own is the same for all.

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::cpu::{Apic, PAT_LAYOUT, delay, has_no_execute};
use crate::faults::TablePointer;

/// Where the mailbox lies in the trampoline page. Below it are two small stacks.
const MAILBOX: usize = 0xf80;
const STACKS: usize = 0xf60;
const INIT: u32 = 0x0000_4500;
const STARTUP: u32 = 0x0000_4600;
/// INIT to SIPI, and SIPI to SIPI: Intel SDM volume 3, section 9.4.4.1.
const AFTER_INIT_US: u32 = 10_000;
const AFTER_STARTUP_US: u32 = 200;
/// How long a CPU may take to come up after its second SIPI: long, since an emulated CPU is a thread
/// of a host that may be busy.
const START_LIMIT_US: u32 = 10_000_000;
const FLAG_X2APIC: u16 = 1;
const FLAG_NO_EXECUTE: u16 = 2;

/// Bounds of the trampoline page: SIPI names a page below 1 MiB; page 0 is not to be used.
pub const TRAMPOLINE_WINDOW: core::ops::Range<u64> = 0x1000..0xa_0000;

/// The GDT that the protocol promises: null, then code and data of 16, 32 and 64 bits.
pub const GDT: [u64; 7] = [
    0,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00af_9b00_0000_0000,
    0x00cf_9300_0000_0000,
];

/// The selector of [`GDT`]'s 64-bit code segment.
pub const CODE_SELECTOR: u16 = 0x28;

/// What starting CPUs read; the trampoline knows the offsets.
#[repr(C)]
struct Mailbox {
    page_tables: u64,
    pat: u64,
    gdt: TablePointer,
    flags: u16,
    records: u32,
    idt: TablePointer,
    first_record: u64,
}

const _: () = assert!(core::mem::offset_of!(Mailbox, flags) == 26);
const _: () = assert!(core::mem::offset_of!(Mailbox, records) == 28);
const _: () = assert!(core::mem::offset_of!(Mailbox, idt) == 32);
const _: () = assert!(core::mem::offset_of!(Mailbox, first_record) == 48);

/// What a CPU to be started finds by its APIC id. Addresses are those under the kernel's tables.
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// Whose record this is.
    pub apic_id: u32,
    /// The CPU stores 1 when it waits for a goto address.
    pub ready: AtomicU32,
    /// The CPU's entry in the MP response.
    pub entry: u64,
    /// The end of its stack.
    pub stack: u64,
}

unsafe extern "C" {
    static serix_trampoline: u8;
    static serix_trampoline_end: u8;
}

// Position independent: EBX/RBX is the page's address from the first instructions on. Loaded with
// the state that CPUs have after SIPI: real mode, CS is the page.
global_asm!(
    ".text",
    ".balign 16",
    ".global serix_trampoline, serix_trampoline_end",
    ".code16",
    "serix_trampoline:",
    "    cli",
    "    cld",
    "    movw %cs, %ax",
    "    movw %ax, %ds",
    "    movw %ax, %ss",
    "    movw $0xf80, %sp",
    "    xorl %ebx, %ebx",
    "    movw %ax, %bx",
    "    shll $4, %ebx",
    "    movw $(91f - serix_trampoline), %si",
    "    movl $(90f - serix_trampoline), %eax",
    "    addl %ebx, %eax",
    "    movl %eax, 2(%si)",
    "    lgdtl (%si)",
    "    movl %cr0, %eax",
    "    orl $1, %eax",
    "    movl %eax, %cr0",
    "    pushl $0x18",
    "    movl $(32f - serix_trampoline), %eax",
    "    addl %ebx, %eax",
    "    pushl %eax",
    "    lretl",
    ".code32",
    "32: movw $0x20, %ax",
    "    movw %ax, %ds",
    "    movw %ax, %ss",
    "    leal 0xf70(%ebx), %esp",
    "    movl %cr4, %eax",
    "    orl $0x20, %eax",
    "    movl %eax, %cr4",
    "    movl 0xf80(%ebx), %eax",
    "    movl %eax, %cr3",
    "    movl $0xc0000080, %ecx",
    "    rdmsr",
    "    orl $0x100, %eax",
    "    testb $2, (0xf80 + 26)(%ebx)",
    "    jz 33f",
    "    orl $0x800, %eax",
    "33: wrmsr",
    // Paging, write protection, and caches on: INIT leaves CD and NW as they were.
    "    movl %cr0, %eax",
    "    andl $0x9fffffff, %eax",
    "    orl $0x80010001, %eax",
    "    movl %eax, %cr0",
    "    pushl $0x28",
    "    leal (64f - serix_trampoline)(%ebx), %eax",
    "    pushl %eax",
    "    lretl",
    ".code64",
    "64: movq %rbx, %r15",
    "    movl $0x277, %ecx",
    "    movl (0xf80 + 8)(%r15), %eax",
    "    movl (0xf80 + 12)(%r15), %edx",
    "    wrmsr",
    "    testb $1, (0xf80 + 26)(%r15)",
    "    jz 65f",
    "    movl $0x1b, %ecx",
    "    rdmsr",
    "    orl $0x400, %eax",
    "    wrmsr",
    // The APIC id: CPUID leaf 11 where there is one, else leaf 1.
    "65: xorl %eax, %eax",
    "    cpuid",
    "    cmpl $11, %eax",
    "    jb 66f",
    "    movl $11, %eax",
    "    xorl %ecx, %ecx",
    "    cpuid",
    "    testw %bx, %bx",
    "    jnz 67f",
    "66: movl $1, %eax",
    "    cpuid",
    "    shrl $24, %ebx",
    "    movl %ebx, %edx",
    "67: movq (0xf80 + 48)(%r15), %rsi",
    "    movl (0xf80 + 28)(%r15), %ecx",
    "68: cmpl %edx, (%rsi)",
    "    je 69f",
    "    addq $24, %rsi",
    "    decl %ecx",
    "    jnz 68b",
    // Nobody asked for this CPU.
    "60: hlt",
    "    jmp 60b",
    "69: movq 8(%rsi), %rdi",
    "    movq 16(%rsi), %rsp",
    "    lgdt (0xf80 + 16)(%r15)",
    "    lidt (0xf80 + 32)(%r15)",
    "    pushq $0x28",
    "    leaq 61f(%rip), %rax",
    "    pushq %rax",
    "    lretq",
    "61: movl $0x30, %eax",
    "    movw %ax, %ds",
    "    movw %ax, %es",
    "    movw %ax, %fs",
    "    movw %ax, %gs",
    "    movw %ax, %ss",
    "    movl $1, 4(%rsi)",
    // The goto address is the third word of the CPU's entry in the MP response.
    "62: pause",
    "    movq 16(%rdi), %rdx",
    "    testq %rdx, %rdx",
    "    jz 62b",
    "    xorl %ebx, %ebx",
    "    jmp serix_jump",
    ".balign 16",
    "90: .quad 0, 0x00009b000000ffff, 0x000093000000ffff, 0x00cf9b000000ffff",
    "    .quad 0x00cf93000000ffff, 0x00af9b0000000000, 0x00cf930000000000",
    "91: .word 55",
    "    .long 0",
    // To the address in RDX with RDI as it is, all other registers clear, a zero return address.
    "serix_jump:",
    "    pushq $0",
    "    pushq %rdx",
    "    pushq $2",
    "    popfq",
    "    xorl %eax, %eax",
    "    xorl %ecx, %ecx",
    "    xorl %edx, %edx",
    "    xorl %esi, %esi",
    "    xorl %ebp, %ebp",
    "    xorl %r8d, %r8d",
    "    xorl %r9d, %r9d",
    "    xorl %r10d, %r10d",
    "    xorl %r11d, %r11d",
    "    xorl %r12d, %r12d",
    "    xorl %r13d, %r13d",
    "    xorl %r14d, %r14d",
    "    xorl %r15d, %r15d",
    "    ret",
    // The boot CPU comes here: RDI page tables, RSI stack, RDX entry, RCX and R8 pointers to GDT and
    // IDT, which are read while the loader's tables map them.
    ".global serix_enter",
    "serix_enter:",
    "    cli",
    "    cld",
    "    lgdt (%rcx)",
    "    lidt (%r8)",
    "    movq %rdi, %cr3",
    "    movq %rsi, %rsp",
    "    pushq $0x28",
    "    leaq 63f(%rip), %rax",
    "    pushq %rax",
    "    lretq",
    "63: movl $0x30, %eax",
    "    movw %ax, %ds",
    "    movw %ax, %es",
    "    movw %ax, %fs",
    "    movw %ax, %gs",
    "    movw %ax, %ss",
    "    xorl %edi, %edi",
    "    xorl %ebx, %ebx",
    "    jmp serix_jump",
    "serix_trampoline_end:",
    options(att_syntax)
);

unsafe extern "sysv64" {
    fn serix_enter(
        page_tables: u64,
        stack: u64,
        entry: u64,
        gdt: *const TablePointer,
        idt: *const TablePointer,
    ) -> !;
}

/// The bytes of code that must be identity mapped while the boot CPU changes page tables.
#[must_use]
pub fn entry_code() -> core::ops::Range<u64> {
    (&raw const serix_trampoline) as u64..(&raw const serix_trampoline_end) as u64
}

/// Leaves for the kernel, on this CPU.
///
/// # Safety
/// 1. `environment.page_tables` maps [`entry_code`] where it is now, `stack` and `entry`, and what
///    `environment` points to. 2. Nothing of the loader's is used afterwards.
pub unsafe fn enter(environment: &Environment, stack: u64, entry: u64) -> ! {
    let Environment { page_tables, gdt, idt } = environment;
    // SAFETY: 1. The caller vouches for mapping and addresses. 2. Both pointers are read before CR3
    // changes.
    unsafe { serix_enter(*page_tables, stack, entry, gdt, idt) }
}

/// What every CPU runs on when it enters the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// Physical address of the top-level page table, below 4 GiB.
    pub page_tables: u64,
    /// A copy of [`GDT`], by its address under these page tables.
    pub gdt: TablePointer,
    /// A table of [`crate::faults`], likewise.
    pub idt: TablePointer,
}

/// Starts CPUs into the trampoline.
#[derive(Debug)]
pub struct Starter {
    page: u64,
    apic: Apic,
    environment: Environment,
    x2apic: bool,
}

impl Starter {
    /// Copies the trampoline to the page at physical address `page`.
    ///
    /// # Safety
    /// 1. `page` is the loader's own page within [`TRAMPOLINE_WINDOW`], identity mapped here and in
    ///    the environment's page tables. 2. The environment is as its fields say. 3. `apic` is this
    ///    CPU's.
    #[must_use]
    pub unsafe fn new(page: u64, apic: Apic, environment: Environment, x2apic: bool) -> Self {
        let code = entry_code();
        let length = (code.end - code.start) as usize;
        assert!(length <= STACKS, "the trampoline grew into its stack");
        // SAFETY: 1. The code lies in this program. 2. The page is ours and not the program.
        unsafe { ptr::copy_nonoverlapping(&raw const serix_trampoline, page as *mut u8, length) };
        Starter { page, apic, environment, x2apic }
    }

    /// Starts the CPUs that have a record, and waits until all are ready or a limit has passed.
    /// `address` is the records' under the kernel's tables.
    ///
    /// # Safety
    /// 1. The records are of CPUs other than this one, and none of them runs anything that is needed.
    ///    2. Entries and stacks are their own. 3. The records stay where they are for good.
    pub unsafe fn start(&self, records: &[Record], address: u64) {
        let mailbox = (self.page as usize + MAILBOX) as *mut Mailbox;
        let x2apic = if self.x2apic { FLAG_X2APIC } else { 0 };
        let no_execute = if has_no_execute() { FLAG_NO_EXECUTE } else { 0 };
        let letter = Mailbox {
            page_tables: self.environment.page_tables,
            pat: PAT_LAYOUT,
            gdt: self.environment.gdt,
            flags: x2apic | no_execute,
            records: records.len() as u32,
            idt: self.environment.idt,
            first_record: address,
        };
        // SAFETY: The page is ours (see `new`), aligned, and its last 128 bytes hold a mailbox that no
        // CPU reads yet.
        unsafe { mailbox.write_volatile(letter) };
        let send = |command| {
            for record in records.iter().filter(|record| !record.is_ready()) {
                // SAFETY: The caller vouches for the CPU; one that runs already ignores SIPI.
                unsafe { self.apic.send(record.apic_id, command) };
            }
        };
        let startup = STARTUP | (self.page >> 12) as u32;
        send(INIT);
        delay(AFTER_INIT_US);
        send(startup);
        delay(AFTER_STARTUP_US);
        send(startup);
        for _ in 0..START_LIMIT_US {
            if records.iter().all(Record::is_ready) {
                return;
            }
            delay(1);
            // Where one thread emulates all CPUs, this lets the others run.
            core::hint::spin_loop();
        }
    }
}

impl Record {
    /// Whether the CPU waits for a goto address.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) != 0
    }
}
