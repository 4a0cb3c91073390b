//! Probes: touching an address that may not be there, or may hold anything.

use core::arch::asm;
use core::sync::atomic::Ordering;
use serix_abi::info::InfoPage;
use serix_session::INFO_ADDRESS;

use super::entry::{FAULTS, NOTED, RECOVER};
use super::guard;
use crate::arena;

/// What the CPU said to a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Exception vector.
    pub vector: u64,
    /// Its error code.
    pub error: u64,
    /// CR2 for a page fault.
    pub address: u64,
    /// Where it happened.
    pub rip: u64,
    /// Flags that the upcall was entered with.
    pub entry_flags: u64,
    /// Upcalls nested, this one included.
    pub depth: u64,
}

/// Faults taken so far.
#[must_use]
pub fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

fn outcome(before: u64) -> Result<(), Fault> {
    RECOVER.store(0, Ordering::Relaxed);
    if faults() == before {
        return Ok(());
    }
    let [vector, error, address, rip, entry_flags, depth] =
        NOTED.each_ref().map(|word| word.load(Ordering::Relaxed));
    Err(Fault { vector, error, address, rip, entry_flags, depth })
}

/// Reads the word at an address.
///
/// # Errors
/// The fault.
pub fn read(address: u64) -> Result<u64, Fault> {
    let before = faults();
    let value;
    // SAFETY: a fault goes on at the label; any value is a `u64`.
    unsafe {
        asm!(
            "lea {value}, [rip + 2f]",
            "mov [rip + {recover}], {value}",
            "mov {value}, [{address}]",
            "2:",
            value = out(reg) value,
            address = in(reg) address,
            recover = sym RECOVER,
            options(nostack),
        );
    }
    outcome(before).map(|()| value)
}

/// Reads the word at an address with these flags set.
///
/// # Errors
/// The fault.
pub fn read_with_flags(address: u64, flags: u64) -> Result<u64, Fault> {
    let before = faults();
    let value;
    // SAFETY: as in `read`; flags are put back before Rust code goes on, on either way.
    unsafe {
        asm!(
            "lea {value}, [rip + 2f]",
            "mov [rip + {recover}], {value}",
            "pushfq",
            "push {flags}",
            "popfq",
            "mov {value}, [{address}]",
            "2:",
            "popfq",
            value = out(reg) value,
            address = in(reg) address,
            flags = in(reg) flags,
            recover = sym RECOVER,
        );
    }
    outcome(before).map(|()| value)
}

/// What GS base is after it was set to `base`, the kernel was entered by calls, a fault and a yield, and before it is set
/// back.
#[must_use]
pub fn gs_base_across_entries(base: u64) -> u64 {
    let (after, old): (u64, u64);
    // SAFETY: this code does not use GS; FSGSBASE is on, as 0002-kernel-abi.md says.
    unsafe {
        asm!("rdgsbase {}", out(reg) old, options(nostack, nomem));
        asm!("wrgsbase {}", in(reg) base, options(nostack, nomem));
    }
    let _ = serix_sys::call::null();
    let _ = read(super::NOWHERE);
    let _ = serix_sys::call::yield_slice();
    // SAFETY: as above.
    unsafe {
        asm!("rdgsbase {}", out(reg) after, options(nostack, nomem));
        asm!("wrgsbase {}", in(reg) old, options(nostack, nomem));
    }
    after
}

/// Writes a word to an address, which is not memory of the program.
///
/// # Errors
/// The fault.
///
/// # Panics
/// If it is memory of the program.
pub fn write(address: u64, value: u64) -> Result<(), Fault> {
    let in_arena = (arena::address(0)..=arena::address(arena::SIZE - 8)).contains(&address);
    assert!(in_arena || !guard::is_program(address), "{address:#x} is memory of the test");
    let before = faults();
    // SAFETY: the address is outside of the program's memory; a fault goes on at the label.
    unsafe {
        asm!(
            "lea {place}, [rip + 2f]",
            "mov [rip + {recover}], {place}",
            "mov [{address}], {value}",
            "2:",
            place = out(reg) _,
            value = in(reg) value,
            address = in(reg) address,
            recover = sym RECOVER,
            options(nostack),
        );
    }
    outcome(before)
}

/// Calls the code at an address, which must hold a `ret` or fault.
///
/// # Errors
/// The fault.
///
/// # Panics
/// If it is memory of the program.
pub fn execute(address: u64) -> Result<(), Fault> {
    assert!(!guard::is_program(address), "{address:#x} is memory of the test");
    let before = faults();
    // SAFETY: what is there is a `ret` of a test's own page, or faults: then rip is at the label and rsp, put back from a
    // saved copy, as it was.
    unsafe {
        asm!(
            "lea r12, [rip + 2f]",
            "mov [rip + {recover}], r12",
            "mov r12, rsp",
            "call {address}",
            "2:",
            "mov rsp, r12",
            address = in(reg) address,
            out("r12") _,
            recover = sym RECOVER,
            clobber_abi("C"),
        );
    }
    outcome(before)
}

/// Does nothing for 500 instructions, which an emulator is quick about.
pub fn pass_time() {
    // SAFETY: an instruction without any effect.
    unsafe {
        core::arch::asm!(".rept 500", "nop", ".endr", options(nomem, nostack, preserves_flags))
    }
}

/// Nanoseconds of the TSC clock, by the information page that `init` mapped.
#[must_use]
pub fn now_ns() -> u64 {
    // SAFETY: the session's creator mapped the page there for good; all that changes in it are atomics.
    serix_sys::time::now_ns(unsafe { &*(INFO_ADDRESS as *const InfoPage) })
}

/// Puts a pattern into all vector registers, runs on for a while (and is preempted, where others want to run), and looks whether they
/// still hold it.
#[must_use]
pub fn vectors_survive(pattern: u64, rounds: u64) -> bool {
    let mut found = [0_u64; 32];
    // SAFETY: this code is soft-float: the compiler keeps nothing in vector registers, and expects nothing of them.
    unsafe {
        asm!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "lea {word}, [{pattern} + \\n]",
            "movq xmm\\n, {word}",
            "punpcklqdq xmm\\n, xmm\\n",
            ".endr",
            "2:",
            "dec {rounds}",
            "jnz 2b",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "movdqu [{found} + 16 * \\n], xmm\\n",
            ".endr",
            word = out(reg) _,
            rounds = inout(reg) rounds => _,
            pattern = in(reg) pattern,
            found = in(reg) found.as_mut_ptr(),
            options(nostack),
        );
    }
    (0..32).all(|at| found[at] == pattern + (at as u64) / 2)
}

/// What the vector registers hold, without having put anything there: low and high half of each.
#[must_use]
pub fn vectors() -> [u64; 32] {
    let mut found = [0_u64; 32];
    // SAFETY: as in `vectors_survive`.
    unsafe {
        asm!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "movdqu [{found} + 16 * \\n], xmm\\n",
            ".endr",
            found = in(reg) found.as_mut_ptr(),
            options(nostack),
        );
    }
    found
}

/// Sets FS base, which nothing of the program uses.
pub fn set_fs_base(base: u64) {
    // SAFETY: this code does not use FS; FSGSBASE is on, as 0002-kernel-abi.md says.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, nomem)) };
}

/// FS base.
#[must_use]
pub fn fs_base() -> u64 {
    let base;
    // SAFETY: as in `set_fs_base`.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nostack)) };
    base
}
