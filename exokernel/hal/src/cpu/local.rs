//! Per-core data, reached through GS in the kernel.
use super::context::Context;
use super::histogram::Stay;
use super::registers::{msr, write_msr};
use crate::address::FrameNumber;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// Cores the kernel can run.
pub const MAX_CORES: usize = 32;

/// What entry code needs of a core. Only that core touches it.
#[repr(C, align(64))]
pub(crate) struct CoreBlock {
    /// Address of this block.
    this: u64,
    /// The context that user code runs in.
    pub(crate) context: u64,
    /// Top of the kernel stack, 16-byte aligned.
    pub(crate) stack: u64,
    /// Where the task state has the stack for interrupts of user code: unaligned.
    interrupt_stack: u64,
    /// One word for entry code.
    scratch: u64,
    /// Foreign calls reflected.
    pub(crate) foreign_calls: u64,
    /// Number of the core.
    pub(crate) number: u64,
    /// The kernel's handlers.
    pub(crate) trap: u64,
    pub(crate) no_foreign: u64,
    /// The ways out into a gate and back.
    pub(crate) enter_gate: u64,
    pub(crate) leave_gate: u64,
    /// The way out after a switch.
    pub(crate) resume: u64,
    /// What histograms know of the core.
    pub(super) stay: Stay,
}

pub(crate) mod offsets {
    use super::{CoreBlock, offset_of};
    pub(crate) const CONTEXT: usize = offset_of!(CoreBlock, context);
    pub(crate) const STACK: usize = offset_of!(CoreBlock, stack);
    pub(crate) const SCRATCH: usize = offset_of!(CoreBlock, scratch);
    pub(crate) const FOREIGN_CALLS: usize = offset_of!(CoreBlock, foreign_calls);
    pub(crate) const TRAP: usize = offset_of!(CoreBlock, trap);
    pub(crate) const NO_FOREIGN: usize = offset_of!(CoreBlock, no_foreign);
    pub(crate) const ENTER_GATE: usize = offset_of!(CoreBlock, enter_gate);
    pub(crate) const LEAVE_GATE: usize = offset_of!(CoreBlock, leave_gate);
    pub(crate) const RESUME: usize = offset_of!(CoreBlock, resume);
}

struct Blocks(UnsafeCell<[CoreBlock; MAX_CORES]>);
// SAFETY: each core uses its own element only.
unsafe impl Sync for Blocks {}

static BLOCKS: Blocks = Blocks(UnsafeCell::new(
    [const {
        CoreBlock {
            this: 0,
            context: 0,
            stack: 0,
            interrupt_stack: 0,
            scratch: 0,
            foreign_calls: 0,
            number: 0,
            trap: 0,
            no_foreign: 0,
            enter_gate: 0,
            leave_gate: 0,
            resume: 0,
            stay: Stay::NONE,
        }
    }; MAX_CORES],
));

/// Gives this core its block.
///
/// # Safety
/// Called once per core, on that core; `stack` is the top of its kernel stack.
pub(crate) unsafe fn install(core: usize, stack: u64) {
    assert!(core < MAX_CORES);
    // SAFETY: element `core` is this core's.
    let block = unsafe { &mut *BLOCKS.0.get().cast::<CoreBlock>().add(core) };
    block.this = core::ptr::from_ref(block) as u64;
    block.stack = stack;
    block.number = core as u64;
    block.interrupt_stack = super::descriptors::interrupt_stack(core) as u64;
    // SAFETY: both registers exist on every x86-64 CPU; GS is not used before this.
    unsafe {
        write_msr(msr::GS_BASE, block.this);
        write_msr(msr::KERNEL_GS_BASE, 0);
    }
}

#[inline(always)]
pub(crate) fn block() -> &'static mut CoreBlock {
    let this: *mut CoreBlock;
    // SAFETY: in the kernel GS base is this core's block, whose first word is its own address. Callers do not keep it across
    // anything that takes it again.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) this, options(nostack, preserves_flags, readonly));
        &mut *this
    }
}

/// Number of this core.
#[inline(always)]
#[must_use]
pub fn core_number() -> usize {
    let number: u64;
    // SAFETY: as in `block`; the number never changes after `install`, and the kernel does not move to another core.
    unsafe {
        asm!(
            "mov {}, gs:[{}]",
            out(reg) number,
            const offset_of!(CoreBlock, number),
            options(nostack, preserves_flags, pure, readonly)
        );
    }
    number as usize
}

/// Foreign calls that this core reflected since this was last asked.
pub(crate) fn take_foreign_calls() -> u64 {
    core::mem::take(&mut block().foreign_calls)
}

/// Makes `context` the one that user code of this core runs in: entry code stores registers there from now on. What
/// `last` has live on this core is saved.
///
/// # Safety
/// The context stays where it is until another is made current on this core or [`clear_current`] is called; its
/// `root` is a top table whose kernel half is the kernel's.
#[inline(always)]
pub(crate) unsafe fn set_current(context: &mut Context, last: Option<&mut Context>) {
    let block = block();
    block.context = core::ptr::from_mut(context) as u64;
    let top = block.context + super::context::offsets::REGISTERS_END as u64;
    // SAFETY: 1. This core's own task state; the field is 4-byte aligned, hence the unaligned store. 2. The caller says that
    // the root is an environment's.
    unsafe {
        (block.interrupt_stack as *mut u64).write_unaligned(top);
        super::tlb::load(block.number as usize, context.root, true);
    }
    context.load_state(last);
}

/// Leaves the current context, for another to be made current: entry code has none until then.
pub fn forget_current() {
    block().context = 0;
}

/// Leaves the current context: the core has none until the next `set_current`, and runs on the kernel's page tables.
pub fn clear_current() {
    let block = block();
    block.context = 0;
    let root: FrameNumber = crate::memory::kernel_map::kernel_root();
    // SAFETY: the kernel's own top table.
    unsafe { super::tlb::load(block.number as usize, root.start().0, false) };
}

/// Whether a core's current context lies in an address range.
pub(crate) fn is_current_in(range: core::ops::Range<u64>) -> bool {
    (0..MAX_CORES).any(|core| {
        // SAFETY: in bounds; a racing store by another core is ruled out by the kernel lock, which both hold.
        let context = unsafe { (*BLOCKS.0.get().cast::<CoreBlock>().add(core)).context };
        range.contains(&context)
    })
}
