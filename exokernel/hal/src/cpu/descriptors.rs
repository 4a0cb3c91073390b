//! Segment, task-state and interrupt descriptors.
use super::local::MAX_CORES;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// Selectors. User data before user code, as SYSRET wants them; 0x2b and 0x33 as Linux has them.
pub(crate) const KERNEL_CODE: u16 = 0x10;
pub(crate) const KERNEL_DATA: u16 = 0x18;
const TASK: u16 = 0x40;

/// Interrupt stack table entries (Intel SDM vol. 3A, 6.14.5): 1 NMI, 2 double fault, 3 machine check, 4 debug.
pub(crate) const IST_COUNT: usize = 4;

/// Task-state segment (Intel SDM vol. 3A, 8.7).
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct TaskState {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_map_base: u16,
}

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Tables {
    gdt: [u64; 10],
    task: TaskState,
}

struct AllTables(UnsafeCell<[Tables; MAX_CORES]>);
// SAFETY: each core uses its own element only.
unsafe impl Sync for AllTables {}

static TABLES: AllTables = AllTables(UnsafeCell::new(
    [Tables {
        gdt: [
            0,
            0,
            0x00AF_9B00_0000_FFFF, // 0x10 kernel code
            0x00CF_9300_0000_FFFF, // 0x18 kernel data
            0, // 0x23 would be user code of 32 bit: absent, so that ring 3 cannot reach any
            0x00CF_F300_0000_FFFF, // 0x2b user data
            0x00AF_FB00_0000_FFFF, // 0x33 user code
            0,
            0, // 0x40 task state, two words
            0,
        ],
        task: TaskState {
            reserved0: 0,
            rsp: [0; 3],
            reserved1: 0,
            ist: [0; 7],
            reserved2: 0,
            reserved3: 0,
            io_map_base: size_of::<TaskState>() as u16,
        },
    }; MAX_CORES],
));

#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u64,
    high: u64,
}

struct InterruptTable(UnsafeCell<[Gate; 256]>);
// SAFETY: written at boot by one core, read by hardware afterwards.
unsafe impl Sync for InterruptTable {}
static INTERRUPTS: InterruptTable =
    InterruptTable(UnsafeCell::new([Gate { low: 0, high: 0 }; 256]));

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

fn tables(core: usize) -> *mut Tables {
    assert!(core < MAX_CORES);
    // SAFETY: in bounds.
    unsafe { TABLES.0.get().cast::<Tables>().add(core) }
}

/// Where a core's task state says where the CPU pushes its frame when user code is interrupted.
pub(crate) fn interrupt_stack(core: usize) -> *mut u64 {
    // SAFETY: the element exists; no reference is made.
    unsafe { &raw mut (*tables(core)).task.rsp[0] }
}

/// Fills the interrupt table from the addresses of the entry stubs. Vector 3 and 4 may be raised by user instructions.
pub(crate) fn fill_interrupt_table(stub: impl Fn(usize) -> u64) {
    for vector in 0..256 {
        let address = stub(vector);
        let ist: u64 = match vector {
            2 => 1,
            8 => 2,
            18 => 3,
            1 => 4,
            _ => 0,
        };
        let privilege: u64 = if vector == 3 || vector == 4 { 3 } else { 0 };
        let low = address & 0xFFFF
            | u64::from(KERNEL_CODE) << 16
            | ist << 32
            | (0x8E | privilege << 5) << 40
            | (address >> 16 & 0xFFFF) << 48;
        // SAFETY: boot, one core.
        unsafe { (*INTERRUPTS.0.get())[vector] = Gate { low, high: address >> 32 } };
    }
}

/// Loads this core's descriptors.
///
/// # Safety
/// Called once per core; `ist` are tops of stacks that nothing else uses; the interrupt table is filled.
pub(crate) unsafe fn load(core: usize, ist: [u64; IST_COUNT]) {
    let tables = tables(core);
    // SAFETY: only the address is taken.
    let task = unsafe { &raw mut (*tables).task } as u64;
    // SAFETY: this core's own tables; `packed(4)` fields are stored unaligned.
    unsafe {
        for (index, top) in ist.into_iter().enumerate() {
            (&raw mut (*tables).task.ist[index]).write_unaligned(top);
        }
        let limit = size_of::<TaskState>() as u64 - 1;
        (*tables).gdt[8] =
            limit | (task & 0xFF_FFFF) << 16 | 0x89 << 40 | (task >> 24 & 0xFF) << 56;
        (*tables).gdt[9] = task >> 32;
        let gdt = TablePointer { limit: 79, base: (&raw const (*tables).gdt) as u64 };
        let idt = TablePointer { limit: 256 * 16 - 1, base: INTERRUPTS.0.get() as u64 };
        asm!(
            "lgdt [{gdt}]",
            "lidt [{idt}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ds, {data:x}",
            "mov es, {data:x}",
            "mov ss, {data:x}",
            "xor {scratch:e}, {scratch:e}",
            "mov fs, {scratch:x}",
            "mov gs, {scratch:x}",
            "ltr {task:x}",
            "lldt {scratch:x}",
            gdt = in(reg) &raw const gdt,
            idt = in(reg) &raw const idt,
            code = in(reg) u64::from(KERNEL_CODE),
            data = in(reg) u64::from(KERNEL_DATA),
            task = in(reg) u64::from(TASK),
            scratch = out(reg) _,
        );
    }
    const { assert!(offset_of!(TaskState, ist) == 36) };
}
