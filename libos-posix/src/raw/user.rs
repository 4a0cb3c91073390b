//! Copies between the libOS and program memory, with a fix-up for addresses that cannot be reached.
//!
//! Every address from a program goes through here. A fault on the way is first handled like the program's
//! own; if it cannot be, the copy says how much is missing.
use super::entry::TrapFrame;
use super::{PROGRAM_END, frame_map};
use crate::memory::FrameNumber;
use core::arch::global_asm;
use core::mem::offset_of;
use serix_sys::abi::layout::{USER_CODE_SELECTOR, USER_DATA_SELECTOR};

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
    // Words of a string up to the one with its NUL. Answers its length, the room if there is none, or -1 after a fault.
    ".global serix_user_string",
    "serix_user_string:",
    "movabs r8, 0x0101010101010101",
    "movabs r9, 0x8080808080808080",
    "xor eax, eax",
    "serix_user_string_word:",
    "mov rcx, [rsi + rax]",
    "mov [rdi + rax], rcx",
    "mov r10, rcx",
    "sub rcx, r8",
    "not r10",
    "and rcx, r10",
    "and rcx, r9",
    "jnz 2f",
    "add rax, 8",
    "cmp rax, rdx",
    "jb serix_user_string_word",
    "ret",
    "2:",
    "bsf rcx, rcx",
    "shr ecx, 3",
    "add rax, rcx",
    "ret",
    "serix_user_string_fix:",
    "mov rax, -1",
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
    // The extended state: XSAVE leaves most of its header alone, so that is zeroed first. Then what tells a program that
    // there is more than FXSAVE would store.
    ".global serix_user_xsave",
    "serix_user_xsave:",
    "mov eax, esi",
    "mov r8, rdx",
    "mov rdx, rsi",
    "shr rdx, 32",
    "xor ecx, ecx",
    "serix_user_xsave_from:",
    "mov [rdi + 512], rcx",
    "mov [rdi + 520], rcx",
    "mov [rdi + 528], rcx",
    "mov [rdi + 536], rcx",
    "mov [rdi + 544], rcx",
    "mov [rdi + 552], rcx",
    "mov [rdi + 560], rcx",
    "mov [rdi + 568], rcx",
    "xsave64 [rdi]",
    "mov dword ptr [rdi + 464], {magic1}",
    "lea eax, [r8 + 4]",
    "mov [rdi + 468], eax",
    "mov [rdi + 472], rsi",
    "mov [rdi + 480], r8",
    "mov [rdi + 488], rcx",
    "mov [rdi + 496], rcx",
    "mov [rdi + 504], rcx",
    "mov dword ptr [rdi + r8], {magic2}",
    "serix_user_xsave_end:",
    "mov eax, 1",
    "ret",
    ".global serix_user_xrstor",
    "serix_user_xrstor:",
    "mov eax, esi",
    "mov rdx, rsi",
    "shr rdx, 32",
    "serix_user_xrstor_from:",
    "cmp dword ptr [rdi + 464], {magic1}",
    "jne 2f",
    "xrstor64 [rdi]",
    "mov eax, 1",
    "ret",
    "2:",
    "fxrstor64 [rdi]",
    "serix_user_xrstor_end:",
    "mov eax, 1",
    "ret",
    // `ucontext`, and the return address below it: rdi. From a trap frame, rsi, and the words of `Saved`, rdx.
    ".global serix_user_signal_store",
    "serix_user_signal_store:",
    "xor ecx, ecx",
    "serix_user_signal_store_from:",
    "mov rax, [rdx]",
    "mov [rdi], rax",
    "mov qword ptr [rdi + 8], {context_flags}",
    "mov [rdi + 16], rcx",
    "mov rax, [rdx + 8]",
    "mov [rdi + 24], rax",
    "mov rax, [rdx + 16]",
    "mov [rdi + 32], rax",
    "mov rax, [rdx + 24]",
    "mov [rdi + 40], rax",
    "mov rax, [rsi + {r8}]",
    "mov [rdi + 48], rax",
    "mov rax, [rsi + {r9}]",
    "mov [rdi + 56], rax",
    "mov rax, [rsi + {r10}]",
    "mov [rdi + 64], rax",
    "mov rax, [rsi + {r11}]",
    "mov [rdi + 72], rax",
    "mov rax, [rsi + {r12}]",
    "mov [rdi + 80], rax",
    "mov rax, [rsi + {r13}]",
    "mov [rdi + 88], rax",
    "mov rax, [rsi + {r14}]",
    "mov [rdi + 96], rax",
    "mov rax, [rsi + {r15}]",
    "mov [rdi + 104], rax",
    "mov rax, [rsi + {rdi}]",
    "mov [rdi + 112], rax",
    "mov rax, [rsi + {rsi}]",
    "mov [rdi + 120], rax",
    "mov rax, [rsi + {rbp}]",
    "mov [rdi + 128], rax",
    "mov rax, [rsi + {rbx}]",
    "mov [rdi + 136], rax",
    "mov rax, [rsi + {rdx}]",
    "mov [rdi + 144], rax",
    "mov rax, [rsi + {rax}]",
    "mov [rdi + 152], rax",
    "mov rax, [rsi + {rcx}]",
    "mov [rdi + 160], rax",
    "mov rax, [rsi + {rsp}]",
    "mov [rdi + 168], rax",
    "mov rax, [rsi + {rip}]",
    "mov [rdi + 176], rax",
    "mov rax, [rsi + {rflags}]",
    "mov [rdi + 184], rax",
    "movabs rax, {selectors}",
    "mov [rdi + 192], rax",
    "mov [rdi + 200], rcx",
    "mov [rdi + 208], rcx",
    "mov rax, [rdx + 32]",
    "mov [rdi + 216], rax",
    "mov [rdi + 224], rcx",
    "mov [rdi + 304], rax",
    "mov rax, [rdx + 40]",
    "mov [rdi + 232], rax",
    "serix_user_signal_store_end:",
    "mov eax, 1",
    "ret",
    // The same back, without the return address: from rdi, to a trap frame, rsi, and the words behind the first of `Saved`, rdx.
    ".global serix_user_signal_load",
    "serix_user_signal_load:",
    "mov rax, [rdi + 16]",
    "mov [rdx + 8], rax",
    "mov rax, [rdi + 32]",
    "mov [rdx + 24], rax",
    "mov rax, [rdi + 40]",
    "mov [rsi + {r8}], rax",
    "mov rax, [rdi + 48]",
    "mov [rsi + {r9}], rax",
    "mov rax, [rdi + 56]",
    "mov [rsi + {r10}], rax",
    "mov rax, [rdi + 64]",
    "mov [rsi + {r11}], rax",
    "mov rax, [rdi + 72]",
    "mov [rsi + {r12}], rax",
    "mov rax, [rdi + 80]",
    "mov [rsi + {r13}], rax",
    "mov rax, [rdi + 88]",
    "mov [rsi + {r14}], rax",
    "mov rax, [rdi + 96]",
    "mov [rsi + {r15}], rax",
    "mov rax, [rdi + 104]",
    "mov [rsi + {rdi}], rax",
    "mov rax, [rdi + 112]",
    "mov [rsi + {rsi}], rax",
    "mov rax, [rdi + 120]",
    "mov [rsi + {rbp}], rax",
    "mov rax, [rdi + 128]",
    "mov [rsi + {rbx}], rax",
    "mov rax, [rdi + 136]",
    "mov [rsi + {rdx}], rax",
    "mov rax, [rdi + 144]",
    "mov [rsi + {rax}], rax",
    "mov rax, [rdi + 152]",
    "mov [rsi + {rcx}], rax",
    "mov rax, [rdi + 160]",
    "mov [rsi + {rsp}], rax",
    "mov rax, [rdi + 168]",
    "mov [rsi + {rip}], rax",
    "mov rax, [rdi + 176]",
    "mov [rsi + {rflags}], rax",
    "mov rax, [rdi + 224]",
    "mov [rdx + 40], rax",
    "mov rax, [rdi + 296]",
    "mov [rdx + 32], rax",
    "serix_user_signal_load_end:",
    "mov eax, 1",
    "ret",
    "serix_user_frame_fix:",
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
    ".quad serix_user_string_word, serix_user_string_fix",
    ".quad serix_user_load, serix_user_load_fix",
    ".quad serix_user_exchange_at, serix_user_exchange_fix",
    ".global serix_range_fix_ups",
    "serix_range_fix_ups:",
    ".quad serix_user_xsave_from, serix_user_xsave_end, serix_user_frame_fix",
    ".quad serix_user_xrstor_from, serix_user_xrstor_end, serix_user_frame_fix",
    ".quad serix_user_signal_store_from, serix_user_signal_store_end, serix_user_frame_fix",
    ".quad serix_user_signal_load, serix_user_signal_load_end, serix_user_frame_fix",
    ".popsection",
    magic1 = const MAGIC1,
    magic2 = const MAGIC2,
    context_flags = const CONTEXT_FLAGS,
    selectors = const USER_CODE_SELECTOR | USER_DATA_SELECTOR << 48,
    r8 = const offset_of!(TrapFrame, r8),
    r9 = const offset_of!(TrapFrame, r9),
    r10 = const offset_of!(TrapFrame, r10),
    r11 = const offset_of!(TrapFrame, r11),
    r12 = const offset_of!(TrapFrame, r12),
    r13 = const offset_of!(TrapFrame, r13),
    r14 = const offset_of!(TrapFrame, r14),
    r15 = const offset_of!(TrapFrame, r15),
    rdi = const offset_of!(TrapFrame, rdi),
    rsi = const offset_of!(TrapFrame, rsi),
    rbp = const offset_of!(TrapFrame, rbp),
    rbx = const offset_of!(TrapFrame, rbx),
    rdx = const offset_of!(TrapFrame, rdx),
    rax = const offset_of!(TrapFrame, rax),
    rcx = const offset_of!(TrapFrame, rcx),
    rsp = const offset_of!(TrapFrame, rsp),
    rip = const offset_of!(TrapFrame, rip),
    rflags = const offset_of!(TrapFrame, rflags),
);

/// A value and whether it could be had.
#[repr(C)]
struct Checked {
    value: u64,
    valid: u64,
}

unsafe extern "sysv64" {
    safe static serix_fix_ups: [[u64; 2]; 7];
    safe static serix_range_fix_ups: [[u64; 3]; 4];
    fn serix_user_signal_store(at: u64, trap: *const TrapFrame, saved: *const Saved) -> u32;
    fn serix_user_signal_load(at: u64, trap: *mut TrapFrame, saved: *mut Saved) -> u32;
    fn serix_user_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn serix_user_zero(at: *mut u8, len: usize) -> usize;
    fn serix_user_string(to: *mut u8, from: *const u8, room: usize) -> usize;
    fn serix_user_load(at: *const u64) -> Checked;
    fn serix_user_xsave(at: u64, features: u64, size: u64) -> u32;
    fn serix_user_xrstor(at: u64, features: u64) -> u32;
    fn serix_user_exchange(at: *mut u32, old: u32, new: u32) -> Checked;
}

/// Where code that faulted at `rip` goes on, if it is one of the copies.
pub(super) fn fix_up(rip: u64) -> Option<u64> {
    let exact = serix_fix_ups.iter().find(|entry| entry[0] == rip).map(|entry| entry[1]);
    let mut ranges = serix_range_fix_ups.iter();
    exact.or_else(|| ranges.find(|entry| (entry[0]..entry[1]).contains(&rip)).map(|entry| entry[2]))
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

/// Loads a string with its NUL by words, so that bytes of the last word behind the NUL come along; answers its length.
/// `None` if that does not lead to its end: what is there may be out of reach or too long.
#[inline]
#[must_use]
pub fn load_string<const WORDS: usize>(address: u64, into: &mut [[u8; 8]; WORDS]) -> Option<usize> {
    let room = WORDS * 8;
    // Not across the end of a page, since the next one may not be there.
    if address & 4095 > 4096 - room as u64 || !in_program(address, room) {
        return None;
    }
    // SAFETY: as `load`; `WORDS` words at most are stored.
    let len = unsafe { serix_user_string(into.as_mut_ptr().cast(), address as *const u8, room) };
    (len < room).then_some(len)
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

/// Stores the vector registers, which are the program's, at an address aligned to 64, with what tells a signal frame's
/// reader of them in the four bytes behind and in between; false if it cannot be reached.
#[inline]
#[must_use]
pub fn save_vectors(address: u64, size: usize, features: u64) -> bool {
    in_program(address, size.max(XSAVE_MIN) + 4)
        && address.is_multiple_of(64)
        // SAFETY: program memory, whose faults are fixed up; the caller's size is what the features need.
        && unsafe { serix_user_xsave(address, features, size as u64) } != 0
}

/// Loads the vector registers of the program, without their extended part if [`save_vectors`]' mark is not there; false
/// if what is there cannot be loaded.
#[inline]
#[must_use]
pub fn load_vectors(address: u64, size: usize, features: u64) -> bool {
    in_program(address, size.max(XSAVE_MIN))
        // SAFETY: program memory; page faults and #GP (misaligned, reserved bits) are fixed up. The libOS has no
        // values in those registers.
        && unsafe { serix_user_xrstor(address, features) } != 0
}

/// What tells a program, and us, that the extended area follows the legacy one; and what ends it.
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`
const CONTEXT_FLAGS: u64 = 7;
/// Bytes of `ucontext`.
pub const CONTEXT_SIZE: u64 = 304;

/// What a signal frame has besides the registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Saved {
    /// Where the handler returns to.
    pub restorer: u64,
    /// The alternate stack, as `sigaltstack` tells it.
    pub stack_address: u64,
    /// Its flags.
    pub stack_flags: u64,
    /// Its size.
    pub stack_size: u64,
    /// The mask that the handler's end brings back.
    pub mask: u64,
    /// Where the vector registers are, or 0.
    pub vectors: u64,
}

/// Stores a return address and `ucontext`; false if that cannot be.
#[inline]
#[must_use]
pub fn store_signal(address: u64, trap: &TrapFrame, saved: &Saved) -> bool {
    in_program(address, CONTEXT_SIZE as usize + 8)
        // SAFETY: program memory, whose faults are fixed up; as many bytes as were checked are stored.
        && unsafe { serix_user_signal_store(address, trap, saved) } != 0
}

/// Loads the registers of a `ucontext`, unchecked, and what else is in it; false if not all can be had.
#[inline]
#[must_use]
pub fn load_signal(address: u64, trap: &mut TrapFrame, saved: &mut Saved) -> bool {
    in_program(address, CONTEXT_SIZE as usize)
        // SAFETY: as `store_signal`; the targets are borrowed for it.
        && unsafe { serix_user_signal_load(address, trap, saved) } != 0
}

/// A word of the page-table window, zero where the window has no page.
pub(super) fn load_window(address: u64) -> u64 {
    // SAFETY: the window is read-only memory that no Rust object is in; faults are fixed up.
    let result = unsafe { serix_user_load(address as *const u64) };
    if result.valid != 0 { result.value } else { 0 }
}
