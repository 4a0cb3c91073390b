//! Code of hostile children, to be copied to pages of theirs; it may stand at any address.

use core::arch::global_asm;
use core::slice;
use serix_abi::dispatcher::{FRAMES_OFFSET, offset};

use crate::child::{PAGE, TARGET};

global_asm!(
    r"
.global serix_attack_count, serix_attack_fault, serix_attack_frames, serix_attack_page, serix_attack_end
// Writes to the target for ever.
serix_attack_count:
    movabs rax, {target}
2:  lock inc qword ptr [rax]
    lock inc qword ptr [rax + 2048]
    jmp 2b

// Faults for ever; it is its own fault entry.
serix_attack_fault:
    movabs rax, {page}
    mov dword ptr [rax + {DEPTH}], 0
    mov rcx, qword ptr [0]
    jmp serix_attack_fault

// Writes nonsense to all upcall frames of the dispatcher page for ever.
serix_attack_frames:
    rdtsc
    mov rcx, rax
    movabs rax, {page} + {FRAMES}
    movabs rdx, 6364136223846793005
3:  imul rcx, rdx
    inc rcx
    mov rsi, rcx
    shr rsi, 40
    and esi, 2040
    mov [rax + rsi], rcx
    jmp 3b

// As before, and to the words that the kernel reads.
serix_attack_page:
    rdtsc
    mov rcx, rax
    movabs rax, {page}
    movabs rdx, 6364136223846793005
4:  imul rcx, rdx
    inc rcx
    mov rsi, rcx
    shr rsi, 40
    and esi, 2040
    mov [rax + rsi], rcx
    mov [rax + {PENDING}], rcx
    mov [rax + {DISABLED}], ecx
    shr rsi, 8
    mov [rax + {DEPTH}], esi
    jmp 4b
serix_attack_end:
    nop
",
    target = const TARGET,
    page = const PAGE,
    FRAMES = const FRAMES_OFFSET,
    DEPTH = const offset::DEPTH,
    DISABLED = const offset::UPCALLS_DISABLED,
    PENDING = const offset::PENDING,
);

unsafe extern "C" {
    static serix_attack_count: u8;
    static serix_attack_fault: u8;
    static serix_attack_frames: u8;
    static serix_attack_page: u8;
    static serix_attack_end: u8;
}

/// What a hostile child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Writes to [`TARGET`].
    Count,
    /// Faults; the code is its own fault entry.
    Fault,
    /// Writes to the upcall frames of the page at [`PAGE`].
    Frames,
    /// Writes to all words of that page that the kernel uses.
    Page,
}

/// All of the code.
#[must_use]
pub fn attack_code() -> &'static [u8] {
    let (start, end) = (&raw const serix_attack_count, &raw const serix_attack_end);
    // SAFETY: both symbols are in one section, in this order; code is never written.
    unsafe { slice::from_raw_parts(start, end.addr() - start.addr()) }
}

impl Attack {
    /// Where in [`attack_code`] it begins.
    #[must_use]
    pub fn offset(self) -> u64 {
        let at = match self {
            Self::Count => &raw const serix_attack_count,
            Self::Fault => &raw const serix_attack_fault,
            Self::Frames => &raw const serix_attack_frames,
            Self::Page => &raw const serix_attack_page,
        };
        (at.addr() - (&raw const serix_attack_count).addr()) as u64
    }
}
