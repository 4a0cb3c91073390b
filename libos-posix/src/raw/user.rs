//! Copies between the libOS and program memory, with a fix-up for addresses that cannot be reached.
//!
//! Every address from a program goes through here. A fault on the way is first handled like the program's
//! own; if it cannot be, the copy says how much is missing.
use super::{PROGRAM_END, frame_map};
use crate::memory::FrameNumber;
use core::arch::global_asm;

global_asm!(
    ".global serix_user_copy",
    "serix_user_copy:",
    "mov rcx, rdx",
    "shr rcx, 3",
    "and edx, 7",
    "serix_user_words:",
    "rep movsq",
    "mov ecx, edx",
    "serix_user_bytes:",
    "rep movsb",
    "xor eax, eax",
    "ret",
    // A fault among the words: what is left goes byte by byte, and faults again at the exact place.
    "serix_user_words_fix:",
    "lea rcx, [rdx + rcx * 8]",
    "jmp serix_user_bytes",
    "serix_user_bytes_fix:",
    "mov rax, rcx",
    "ret",
    ".global serix_user_zero",
    "serix_user_zero:",
    "mov rcx, rsi",
    "xor eax, eax",
    "shr rcx, 3",
    "and esi, 7",
    "serix_user_zero_words:",
    "rep stosq",
    "mov ecx, esi",
    "serix_user_zero_bytes:",
    "rep stosb",
    "ret",
    "serix_user_zero_words_fix:",
    "lea rcx, [rsi + rcx * 8]",
    "jmp serix_user_zero_bytes",
    "serix_user_zero_fix:",
    "mov rax, rcx",
    "ret",
    ".global serix_user_load",
    "serix_user_load:",
    "mov rax, [rdi]",
    "mov edx, 1",
    "ret",
    "serix_user_load_fix:",
    "xor edx, edx",
    "ret",
    ".global serix_user_exchange",
    "serix_user_exchange:",
    "mov eax, esi",
    "serix_user_exchange_at:",
    "lock cmpxchg [rdi], edx",
    "mov edx, 1",
    "ret",
    "serix_user_exchange_fix:",
    "xor edx, edx",
    "ret",
    ".global serix_user_xsave",
    "serix_user_xsave:",
    "mov eax, esi",
    "mov rdx, rsi",
    "shr rdx, 32",
    "serix_user_xsave_at:",
    "xsave64 [rdi]",
    "mov eax, 1",
    "ret",
    ".global serix_user_xrstor",
    "serix_user_xrstor:",
    "mov eax, esi",
    "mov rdx, rsi",
    "shr rdx, 32",
    "serix_user_xrstor_at:",
    "xrstor64 [rdi]",
    "mov eax, 1",
    "ret",
    ".global serix_user_fxrstor",
    "serix_user_fxrstor:",
    "fxrstor64 [rdi]",
    "mov eax, 1",
    "ret",
    "serix_user_vectors_fix:",
    "xor eax, eax",
    "ret",
    ".pushsection .rodata",
    ".balign 8",
    ".global serix_fix_ups",
    "serix_fix_ups:",
    ".quad serix_user_words, serix_user_words_fix",
    ".quad serix_user_bytes, serix_user_bytes_fix",
    ".quad serix_user_zero_words, serix_user_zero_words_fix",
    ".quad serix_user_zero_bytes, serix_user_zero_fix",
    ".quad serix_user_load, serix_user_load_fix",
    ".quad serix_user_exchange_at, serix_user_exchange_fix",
    ".quad serix_user_xsave_at, serix_user_vectors_fix",
    ".quad serix_user_xrstor_at, serix_user_vectors_fix",
    ".quad serix_user_fxrstor, serix_user_vectors_fix",
    ".popsection",
);

/// A value and whether it could be had.
#[repr(C)]
struct Checked {
    value: u64,
    valid: u64,
}

unsafe extern "sysv64" {
    safe static serix_fix_ups: [[u64; 2]; 9];
    fn serix_user_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn serix_user_zero(at: *mut u8, len: usize) -> usize;
    fn serix_user_load(at: *const u64) -> Checked;
    fn serix_user_xsave(at: u64, features: u64) -> u32;
    fn serix_user_xrstor(at: u64, features: u64) -> u32;
    fn serix_user_fxrstor(at: u64) -> u32;
    fn serix_user_exchange(at: *mut u32, old: u32, new: u32) -> Checked;
}

/// Where code that faulted at `rip` goes on, if it is one of the copies.
pub(super) fn fix_up(rip: u64) -> Option<u64> {
    serix_fix_ups.iter().find(|entry| entry[0] == rip).map(|entry| entry[1])
}

/// Whether the whole range may be program memory.
#[inline(always)]
fn in_program(address: u64, len: usize) -> bool {
    address < PROGRAM_END && len as u64 <= PROGRAM_END - address
}

/// Copies out of program memory; answers how many bytes could be had, from the start on.
#[inline]
#[must_use]
pub fn load(address: u64, into: &mut [u8]) -> usize {
    if !in_program(address, into.len()) {
        return 0;
    }
    // SAFETY: the target is the slice, the source program memory, whose faults are fixed up.
    into.len() - unsafe { serix_user_copy(into.as_mut_ptr(), address as *const u8, into.len()) }
}

/// Copies into program memory; answers how many bytes could be stored, from the start on.
#[inline]
#[must_use]
pub fn store(address: u64, from: &[u8]) -> usize {
    if !in_program(address, from.len()) {
        return 0;
    }
    // SAFETY: the source is the slice, the target program memory, which no Rust object is in.
    from.len() - unsafe { serix_user_copy(address as *mut u8, from.as_ptr(), from.len()) }
}

/// As [`load`], straight into a frame.
#[inline]
#[must_use]
pub fn load_frame(address: u64, frame: FrameNumber, offset: usize, len: usize) -> usize {
    if !in_program(address, len) || !frame_map::in_page(offset, len) {
        return 0;
    }
    // SAFETY: as `load`; the target lies within one frame, of which there are no borrows.
    len - unsafe {
        serix_user_copy(frame_map::pointer(frame).add(offset), address as *const u8, len)
    }
}

/// As [`store`], straight from a frame.
#[inline]
#[must_use]
pub fn store_frame(address: u64, frame: FrameNumber, offset: usize, len: usize) -> usize {
    if !in_program(address, len) || !frame_map::in_page(offset, len) {
        return 0;
    }
    // SAFETY: as `store`; the source lies within one frame.
    len - unsafe { serix_user_copy(address as *mut u8, frame_map::pointer(frame).add(offset), len) }
}

/// Zeroes program memory; answers how many bytes could be, from the start on.
#[must_use]
pub fn zero(address: u64, len: usize) -> usize {
    if !in_program(address, len) {
        return 0;
    }
    // SAFETY: program memory, whose faults are fixed up.
    len - unsafe { serix_user_zero(address as *mut u8, len) }
}

/// Compares and exchanges a word of program memory: its old value, or `None` if it cannot be reached.
#[must_use]
pub fn compare_exchange(address: u64, old: u32, new: u32) -> Option<u32> {
    if !in_program(address, 4) || !address.is_multiple_of(4) {
        return None;
    }
    // SAFETY: program memory, whose faults are fixed up.
    let result = unsafe { serix_user_exchange(address as *mut u32, old, new) };
    (result.valid != 0).then_some(result.value as u32)
}

/// Bytes of the legacy region and the header of an XSAVE area.
const XSAVE_MIN: usize = 576;

/// Stores the vector registers, which are the program's, at an address aligned to 64; false if it cannot be reached.
#[must_use]
pub fn save_vectors(address: u64, size: usize, features: u64) -> bool {
    // XSAVE leaves most of the header alone.
    in_program(address, size.max(XSAVE_MIN))
        && address.is_multiple_of(64)
        && zero(address + 512, 64) == 64
        // SAFETY: program memory, whose faults are fixed up; the caller's size is what the features need.
        && unsafe { serix_user_xsave(address, features) } != 0
}

/// Loads the vector registers of the program; false if what is there cannot be loaded.
#[must_use]
pub fn load_vectors(address: u64, size: usize, features: u64) -> bool {
    in_program(address, size.max(XSAVE_MIN))
        // SAFETY: program memory; page faults and #GP (misaligned, reserved bits) are fixed up. The libOS has no
        // values in those registers.
        && unsafe { serix_user_xrstor(address, features) } != 0
}

/// The same for an area without the extended part.
#[must_use]
pub fn load_legacy_vectors(address: u64) -> bool {
    // SAFETY: as `load_vectors`.
    in_program(address, 512) && unsafe { serix_user_fxrstor(address) } != 0
}

/// A word of the page-table window, zero where the window has no page.
pub(super) fn load_window(address: u64) -> u64 {
    // SAFETY: the window is read-only memory that no Rust object is in; faults are fixed up.
    let result = unsafe { serix_user_load(address as *const u64) };
    if result.valid != 0 { result.value } else { 0 }
}
