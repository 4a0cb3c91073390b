//! Copying from and to user memory.
//!
//! The copy loops run with SMAP suspended; a page fault inside them is turned into an error by the
//! kernel fault handler, which knows their addresses (`fix_up`).
use core::arch::{asm, global_asm};
use serix_abi::layout::USER_END;

/// The user address range is not accessible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

global_asm!(
    r"
.global serix_user_copy, serix_user_copy_end, serix_user_copy_failed
// rdi = to, rsi = from, rdx = bytes; eight at a time, then one. Returns 0, or 1 after a fault.
serix_user_copy:
    cmp rdx, 8
    jb 3f
2:  mov rax, [rsi]
    mov [rdi], rax
    add rsi, 8
    add rdi, 8
    sub rdx, 8
    cmp rdx, 8
    jae 2b
3:  test rdx, rdx
    jz 5f
4:  mov al, [rsi]
    mov [rdi], al
    inc rsi
    inc rdi
    dec rdx
    jnz 4b
5:  xor eax, eax
    ret
serix_user_copy_end:
serix_user_copy_failed:
    mov eax, 1
    ret
"
);

unsafe extern "sysv64" {
    fn serix_user_copy(to: *mut u8, from: *const u8, bytes: usize) -> u64;
    static serix_user_copy_end: u8;
    static serix_user_copy_failed: u8;
}

/// Where to go on after a kernel-mode page fault at `rip`; `None` if it was not in the copy loop.
pub(crate) fn fix_up(rip: u64) -> Option<u64> {
    let start = serix_user_copy as *const () as u64;
    let end = &raw const serix_user_copy_end as u64;
    (start..end).contains(&rip).then_some(&raw const serix_user_copy_failed as u64)
}

fn check(address: u64, bytes: usize) -> Result<(), BadAddress> {
    let end = address.checked_add(bytes as u64).ok_or(BadAddress)?;
    if end <= USER_END { Ok(()) } else { Err(BadAddress) }
}

#[inline]
fn suspended(smap: bool, copy: impl FnOnce() -> u64) -> Result<(), BadAddress> {
    if smap {
        // SAFETY: CPUID said SMAP exists; AC only lifts SMAP for the copy.
        unsafe { asm!("stac", options(nomem, nostack)) };
    }
    let failed = copy();
    if smap {
        // SAFETY: as above.
        unsafe { asm!("clac", options(nomem, nostack)) };
    }
    if failed == 0 { Ok(()) } else { Err(BadAddress) }
}

/// Copies `into.len()` bytes from user memory.
///
/// # Errors
/// [`BadAddress`] if any of it is not mapped readable in the user half.
pub fn copy_in(address: u64, into: &mut [u8]) -> Result<(), BadAddress> {
    check(address, into.len())?;
    suspended(crate::cpu::features::smap(), || {
        // SAFETY: the destination is a Rust slice; the source lies in the user half, and a fault on it is fixed up.
        unsafe { serix_user_copy(into.as_mut_ptr(), address as *const u8, into.len()) }
    })
}

/// Copies bytes to user memory.
///
/// # Errors
/// [`BadAddress`] if any of it is not mapped writable in the user half.
pub fn copy_out(address: u64, from: &[u8]) -> Result<(), BadAddress> {
    check(address, from.len())?;
    suspended(crate::cpu::features::smap(), || {
        // SAFETY: the source is a Rust slice; the destination lies in the user half, and a fault on it is fixed up.
        unsafe { serix_user_copy(address as *mut u8, from.as_ptr(), from.len()) }
    })
}

/// Plain data that user memory may hold in any bit pattern.
///
/// # Safety
/// Every bit pattern of the type's size is a valid value, and it has no padding.
pub unsafe trait Plain: Copy + Default {}

// SAFETY: integers in `repr(C)` without padding.
unsafe impl Plain for serix_abi::map::MapRequest {}
// SAFETY: integers in `repr(C)` without padding.
unsafe impl Plain for serix_abi::map::Grant {}
// SAFETY: integers in `repr(C)` without padding.
unsafe impl Plain for serix_abi::map::SlotInfo {}
// SAFETY: integers in `repr(C)` without padding.
unsafe impl Plain for serix_abi::dispatcher::DispatcherParameters {}

/// Reads one value from user memory, once.
///
/// # Errors
/// As [`copy_in`].
pub fn read<T: Plain>(address: u64) -> Result<T, BadAddress> {
    let mut value = T::default();
    // SAFETY: `Plain` allows any bytes; the slice covers exactly the value.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut((&raw mut value).cast::<u8>(), size_of::<T>()) };
    copy_in(address, bytes)?;
    Ok(value)
}

/// Writes one value to user memory.
///
/// # Errors
/// As [`copy_out`].
pub fn write<T: Plain>(address: u64, value: &T) -> Result<(), BadAddress> {
    // SAFETY: `Plain` has no padding; the slice covers exactly the value.
    let bytes = unsafe {
        core::slice::from_raw_parts(core::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
    };
    copy_out(address, bytes)
}
