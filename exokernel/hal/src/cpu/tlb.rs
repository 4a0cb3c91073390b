//! Translation caches, of this core and of the others.
//!
//! A change of page tables is forgotten on this core at once and *noted* for the others; [`finish`] makes them forget, in one
//! round of interrupts however many pages changed. The kernel calls it before it lets go of its lock, and before a frame
//! whose mappings it took away gets another use. The other cores never have to leave a lock for it: whoever spins for the
//! kernel lock serves requests meanwhile ([`serve`]).
//!
//! Invariant: `ROOTS` of a core is the top table that it has loaded, or zero for the kernel's own, which holds no
//! translation of ring 3. It changes only under the kernel lock.
use super::local::{MAX_CORES, core_number};
use super::registers::{read_cr3, write_cr3};
use crate::address::FrameNumber;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use serix_abi::info::row;

/// Physical address of the top table that each core has loaded.
static ROOTS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];
/// Whether a core is asked to forget its translations.
static WANTED: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];
/// Cores that run the kernel.
static CORES: AtomicUsize = AtomicUsize::new(1);
/// What the other cores have still to forget: nothing, all, or what they have of one top table. Under the kernel lock.
static NOTED: AtomicU64 = AtomicU64::new(NOTHING);

const NOTHING: u64 = 0;
const ALL: u64 = 1;

/// Says how many cores run the kernel.
pub(crate) fn set_cores(cores: usize) {
    CORES.store(cores, Ordering::SeqCst);
}

/// Loads a top table on this core, whose number is `core`, unless it is loaded.
///
/// # Safety
/// Its kernel half is the kernel's. `user` says that its lower half is not empty.
#[inline(always)]
pub(super) unsafe fn load(core: usize, root: u64, user: bool) {
    if read_cr3() == root {
        return;
    }
    ROOTS[core].store(if user { root } else { 0 }, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { write_cr3(root) };
}

/// Whether a core has this top table loaded.
pub(crate) fn is_loaded(root: FrameNumber) -> bool {
    ROOTS.iter().any(|loaded| loaded.load(Ordering::Relaxed) == root.start().0)
}

/// Forgets some pages of the address space of a top table.
#[inline(always)]
pub(crate) fn flush_pages(root: FrameNumber, pages: impl Iterator<Item = u64>) {
    if read_cr3() == root.start().0 {
        for address in pages {
            // SAFETY: INVLPG only forgets a translation.
            unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
        }
    }
    note(root.start().0);
}

/// Forgets all pages of the address space of a top table.
pub(crate) fn flush_root(root: FrameNumber) {
    if read_cr3() == root.start().0 {
        flush_here();
    }
    note(root.start().0);
}

/// Forgets all pages of every address space of ring 3.
pub(crate) fn flush_all() {
    flush_here();
    note(ALL);
}

fn flush_here() {
    // SAFETY: CR3 is loaded with what it holds.
    unsafe { write_cr3(read_cr3()) };
}

#[inline(always)]
fn note(what: u64) {
    if CORES.load(Ordering::Relaxed) > 1 {
        let noted = NOTED.load(Ordering::Relaxed);
        let both = if noted == NOTHING || noted == what { what } else { ALL };
        NOTED.store(both, Ordering::Relaxed);
    }
}

/// Makes the other cores forget what was noted, and waits until they have. Under the kernel lock.
#[inline(always)]
pub fn finish() {
    if NOTED.load(Ordering::Relaxed) != NOTHING {
        shoot_down();
    }
}

#[cold]
fn shoot_down() {
    let start = super::time::ticks();
    let noted = NOTED.swap(NOTHING, Ordering::Relaxed);
    let this = core_number();
    let concerned = |core: usize| {
        let loaded = ROOTS[core].load(Ordering::Relaxed);
        core != this && loaded != 0 && (noted == ALL || noted == loaded)
    };
    let cores = CORES.load(Ordering::Relaxed);
    for core in (0..cores).filter(|core| concerned(*core)) {
        WANTED[core].store(true, Ordering::SeqCst);
        super::apic::send(core, super::apic::SHOOTDOWN_VECTOR);
    }
    for wanted in &WANTED[..cores] {
        while wanted.load(Ordering::SeqCst) {
            core::hint::spin_loop();
        }
    }
    super::histogram::note(row::SHOOTDOWN, super::time::ticks().wrapping_sub(start));
}

/// Forgets what another core asks this one to forget. By the interrupt, or while spinning for the kernel lock.
#[inline]
pub fn serve() {
    let wanted = &WANTED[core_number()];
    if wanted.load(Ordering::SeqCst) {
        flush_here();
        wanted.store(false, Ordering::SeqCst);
    }
}
