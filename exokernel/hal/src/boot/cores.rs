//! Stacks of the cores, and how the cores besides the boot core come up.
//!
//! They leave the loader early, so that its memory is free, wait in kernel code until the kernel is set up, and then call what
//! [`release`] was given.
use crate::address::KERNEL_MEMORY;
use crate::cpu::{descriptors, features, local, tlb};
use crate::memory::kernel_map::Builder;
use core::sync::atomic::{AtomicUsize, Ordering};
use serix_abi::PAGE_SIZE;

/// Pages of a core's kernel stack; the page below is unmapped.
const STACK_PAGES: u64 = 16;
/// Pages of each interrupt stack; the page below is unmapped.
const IST_PAGES: u64 = 2;
/// Address range for one core's stacks.
pub(super) const STRIDE: u64 = 1 << 20;

/// Cores besides the boot core that wait in [`arrive`].
static ARRIVED: AtomicUsize = AtomicUsize::new(0);
/// What they call when they are released, or zero.
static MAIN: AtomicUsize = AtomicUsize::new(0);

/// What a core runs when the kernel is set up.
pub type CoreMain = fn() -> !;

/// Top of a core's kernel stack.
pub(super) const fn stack_top(core: u64) -> u64 {
    KERNEL_MEMORY + core * STRIDE + (1 + STACK_PAGES) * PAGE_SIZE as u64
}

fn ist_top(core: u64, index: u64) -> u64 {
    stack_top(core) + (index + 1) * (1 + IST_PAGES) * PAGE_SIZE as u64
}

/// Whether an address is on the mapped part of a kernel stack.
pub(crate) fn on_kernel_stack(address: u64) -> bool {
    let Some(core) = address.checked_sub(KERNEL_MEMORY).map(|offset| offset / STRIDE) else {
        return false;
    };
    let on = |top: u64, pages: u64| (top - pages * PAGE_SIZE as u64..top).contains(&address);
    core < local::MAX_CORES as u64
        && (on(stack_top(core), STACK_PAGES)
            || (0..descriptors::IST_COUNT as u64).any(|index| on(ist_top(core, index), IST_PAGES)))
}

/// Maps the stacks of a core.
pub(super) fn map_stacks(builder: &mut Builder<'_>, core: u64) {
    builder.memory(stack_top(core) - STACK_PAGES * PAGE_SIZE as u64, STACK_PAGES);
    for index in 0..descriptors::IST_COUNT as u64 {
        builder.memory(ist_top(core, index) - IST_PAGES * PAGE_SIZE as u64, IST_PAGES);
    }
}

/// Gives this core its control registers, descriptors and per-core data.
pub(super) fn set_up(core: u64) {
    features::enable();
    let ist = core::array::from_fn(|index| ist_top(core, index as u64));
    // SAFETY: each core calls this once, with a number of its own; its stacks were mapped with the kernel's tables, and the
    // boot core filled the interrupt table before any other core came.
    unsafe {
        descriptors::load(core as usize, ist);
        local::install(core as usize, stack_top(core));
    }
}

/// A core besides the boot core has left the loader: it waits for [`release`].
pub(super) extern "C" fn arrive(core: u64) -> ! {
    set_up(core);
    ARRIVED.fetch_add(1, Ordering::SeqCst);
    loop {
        let main = MAIN.load(Ordering::SeqCst);
        if main != 0 {
            // SAFETY: the only value ever stored, besides zero, is a `CoreMain`.
            let main: CoreMain = unsafe { core::mem::transmute(main) };
            main()
        }
        core::hint::spin_loop();
    }
}

/// Waits until so many cores besides the boot core have left the loader.
pub(super) fn await_arrival(cores: usize) {
    while ARRIVED.load(Ordering::SeqCst) < cores {
        core::hint::spin_loop();
    }
}

/// Sends the cores that wait to `main`. Call once, on the boot core, when the kernel is set up.
pub fn release(main: CoreMain) {
    tlb::set_cores(1 + ARRIVED.load(Ordering::SeqCst));
    MAIN.store(main as usize, Ordering::SeqCst);
}
