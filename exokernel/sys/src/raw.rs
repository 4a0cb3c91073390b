//! The system call instruction.
use crate::{Error, Result};
use core::arch::{asm, naked_asm};
use serix_abi::{Call, NATIVE_TAG};

/// Makes a native call and returns its value.
///
/// # Errors
/// Whatever the call answers.
///
/// # Safety
/// 1. Pointers among the arguments are valid for what the call does with them.
/// 2. Calls that change the caller's own address space do not take away memory that Rust code still
///    uses.
/// 3. The caller's vector registers are dead: a call that switches environments clears them.
#[inline(always)]
pub unsafe fn native(call: Call, arguments: [u64; 6]) -> Result<u64> {
    let number = u64::from(NATIVE_TAG) << 32 | u64::from(call as u32);
    let status: u64;
    let value: u64;
    // SAFETY: the kernel keeps rbx, rbp, r12–r15 and rsp; everything else is declared as changed.
    // The caller vouches for the arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => status,
            inlateout("rdx") arguments[2] => value,
            inlateout("rdi") arguments[0] => _,
            inlateout("rsi") arguments[1] => _,
            inlateout("r10") arguments[3] => _,
            inlateout("r8") arguments[4] => _,
            inlateout("r9") arguments[5] => _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match Error::from_code(status) {
        None => Ok(value),
        Some(error) => Err(error),
    }
}

/// Calls a gate with four words and waits for the reply's four until `deadline` (nanoseconds of the TSC clock).
///
/// # Errors
/// Whatever the call answers: `TimedOut`, `Dead` (the server ended), `Stale` (the gate was taken back), `Busy`.
///
/// # Safety
/// As [`native`]: the words may be pointers into memory that is shared with the server.
#[inline(always)]
pub unsafe fn gate_call(gate: u32, words: [u64; 4], deadline: u64) -> Result<[u64; 4]> {
    let number = u64::from(NATIVE_TAG) << 32 | u64::from(Call::GateCall as u32);
    let status: u64;
    let (a, b, c, d): (u64, u64, u64, u64);
    // SAFETY: as in `native`; the reply's words are in rdx, rdi, rsi and r8.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => status,
            inlateout("rdi") u64::from(gate) => b,
            inlateout("rsi") words[0] => c,
            inlateout("rdx") words[1] => a,
            inlateout("r10") words[2] => _,
            inlateout("r8") words[3] => d,
            inlateout("r9") deadline => _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match Error::from_code(status) {
        None => Ok([a, b, c, d]),
        Some(error) => Err(error),
    }
}

/// As [`native`], for calls that answer [`Error::Again`] until they are done.
///
/// # Errors
/// As [`native`], never `Again`.
///
/// # Safety
/// As [`native`].
#[inline]
pub unsafe fn native_until_done(call: Call, arguments: [u64; 6]) -> Result<u64> {
    loop {
        // SAFETY: the caller's promise is ours.
        match unsafe { native(call, arguments) } {
            Err(Error::Again) => {}
            other => return other,
        }
    }
}

/// Yields to dispatcher 0 of the environment whose slot is in rdi, and when this one runs again jumps to the address in rbx. For a libOS's
/// switch of stacks: nothing is kept on the stack meanwhile, which others may use by then.
#[unsafe(naked)]
pub extern "sysv64" fn yield_to_and_jump() {
    naked_asm!(
        "movabs rax, {call}",
        "xor esi, esi",
        "syscall",
        "jmp rbx",
        call = const (NATIVE_TAG as u64) << 32 | Call::YieldTo as u64,
    )
}
