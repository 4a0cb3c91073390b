//! The system call instruction, with any number and any arguments.

use core::arch::asm;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::{Call, Error, NATIVE_TAG};
use serix_sys::Slot;
use serix_sys::time::ticks;

use super::guard::harms;

/// Registers around a call: those that it must keep, those that must be dead, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// rbx, rbp, r12 to r15.
    pub kept: [u64; 6],
    /// rdi, rsi, r8, r9, r10.
    pub dead: [u64; 5],
    /// Value.
    pub rdx: u64,
    /// Status.
    pub rax: u64,
    /// Stack pointer before and after.
    pub rsp: [u64; 2],
}

/// Makes a native call; missing arguments are zero.
///
/// # Errors
/// What the kernel answered.
///
/// # Panics
/// If the call would take away memory of the program: see [`harms`].
pub fn call(call: Call, arguments: &[u64]) -> Result<u64, Error> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    assert!(!harms(call, &all), "{call:?} {arguments:x?} would harm the test itself");
    // SAFETY: 1. Where the kernel writes is the arena or outside of the program (`harms`); what it reads may be
    // anything. 2. Nothing that the program uses is taken away (`harms`). 3. This code is soft-float.
    unsafe { serix_sys::raw::native(call, all) }
}

/// As [`call`], made with these flags set.
///
/// # Errors
/// As [`call`].
///
/// # Panics
/// As [`call`].
pub fn call_with_flags(call: Call, arguments: [u64; 6], flags: u64) -> Result<u64, Error> {
    assert!(!harms(call, &arguments), "{call:?} {arguments:x?} would harm the test itself");
    let (status, value): (u64, u64);
    // SAFETY: as in `call`; flags are put back before Rust code goes on.
    unsafe {
        asm!(
            "pushfq",
            "push {flags}",
            "popfq",
            "syscall",
            "popfq",
            flags = in(reg) flags,
            inlateout("rax") u64::from(NATIVE_TAG) << 32 | u64::from(call as u32) => status,
            inlateout("rdx") arguments[2] => value,
            inlateout("rdi") arguments[0] => _,
            inlateout("rsi") arguments[1] => _,
            inlateout("r10") arguments[3] => _,
            inlateout("r8") arguments[4] => _,
            inlateout("r9") arguments[5] => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    Error::from_code(status).map_or(Ok(value), Err)
}

/// As [`call`], with the ticks from before to after the call itself.
///
/// # Errors
/// As [`call`].
///
/// # Panics
/// As [`call`].
#[inline(always)]
pub fn measured(call: Call, arguments: [u64; 6]) -> Result<u64, Error> {
    assert!(!harms(call, &arguments), "{call:?} {arguments:x?} would harm the test itself");
    let before = ticks();
    // SAFETY: as in `call`.
    unsafe { serix_sys::raw::native(call, arguments) }?;
    Ok(ticks() - before)
}

/// Sets bit 0 of an event and waits without a deadline for bit 0 of another: what that answered, and the ticks of both.
///
/// # Errors
/// As the calls.
#[inline(always)]
pub fn ping_measured(there: u64, here: u64) -> Result<(u64, u64), Error> {
    let before = ticks();
    // SAFETY: these calls touch no memory.
    let bits = unsafe {
        serix_sys::raw::native(Call::EventSignal, [there, 1, 0, 0, 0, 0])?;
        serix_sys::raw::native(Call::EventWait, [here, 1, serix_abi::FOREVER, 0, 0, 0])?
    };
    Ok((bits, ticks() - before))
}

/// Makes an empty environment of the own domain and destroys it; the ticks of both.
///
/// # Errors
/// As the calls.
#[inline(always)]
pub fn environment_measured() -> Result<u64, Error> {
    let none = serix_abi::NO_SLOT.into();
    let before = ticks();
    // SAFETY: as in `call`; an environment that is empty takes no memory of the program with it.
    unsafe {
        let made = serix_sys::raw::native(Call::EnvironmentCreate, [none, none, 0, 0, 0, 0])?;
        let destroyed = Call::EnvironmentDestroy;
        serix_sys::raw::native_until_done(destroyed, [made, 0, 0, 0, 0, 0])?;
    }
    Ok(ticks() - before)
}

/// A loop of `rounds` times two instructions: its ticks.
#[inline(never)]
#[must_use]
pub fn known_loop(rounds: u64) -> u64 {
    let before = ticks();
    // SAFETY: counts a register down.
    unsafe { asm!("2: dec {0}", "jnz 2b", inout(reg) rounds => _, options(nomem, nostack)) };
    ticks() - before
}

/// As [`measured`], of a whole operation: the call is made again while it answers `Again`. Ticks of all calls, and how many there were.
///
/// # Errors
/// As [`call`].
///
/// # Panics
/// As [`call`].
pub fn measured_whole(call: Call, arguments: [u64; 6]) -> Result<(u64, u64, u64), Error> {
    assert!(!harms(call, &arguments), "{call:?} {arguments:x?} would harm the test itself");
    let mut spent = 0;
    for calls in 1.. {
        let before = ticks();
        // SAFETY: as in `call`.
        let answer = unsafe { serix_sys::raw::native(call, arguments) };
        spent += ticks() - before;
        if answer != Err(Error::Again) {
            return answer.map(|value| (value, spent, calls));
        }
    }
    Err(Error::Again)
}

/// Gives an environment other than the test's own a dispatcher.
///
/// # Errors
/// As `DispatcherCreate`.
pub fn dispatcher(environment: Slot, parameters: &DispatcherParameters) -> Result<u64, Error> {
    // SAFETY: nothing of this program is mapped in that environment, so whatever runs there cannot touch it.
    unsafe { serix_sys::environment::dispatcher_create(environment, parameters) }
}

/// As [`dispatcher`], with parameters that stand at an address, where another core may change them.
///
/// # Errors
/// As `DispatcherCreate`.
///
/// # Panics
/// If it is the test's own environment.
pub fn dispatcher_at(environment: Slot, parameters: u64) -> Result<u64, Error> {
    assert!(!super::guard::is_own_environment(environment), "parameters that may be anything");
    // SAFETY: as in `dispatcher`; the kernel reads, wherever that is, and writes nothing.
    unsafe {
        serix_sys::raw::native(
            Call::DispatcherCreate,
            [environment.0.into(), parameters, 0, 0, 0, 0],
        )
    }
}

/// Makes a native call that does not exist; its status.
///
/// # Panics
/// If it does.
#[must_use]
pub fn call_number(number: u32) -> u64 {
    assert!(Call::from_number(number).is_none(), "use `call`");
    let status;
    // SAFETY: the kernel knows no such call, so it does nothing but answer.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") u64::from(NATIVE_TAG) << 32 | u64::from(number) => status,
            lateout("rdx") _, lateout("rdi") _, lateout("rsi") _, lateout("r8") _,
            lateout("r9") _, lateout("r10") _, lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    status
}

/// Makes a call that touches no memory, with known values in all other registers: 1 to 6 times `pattern` in those that
/// are kept, and arguments that mean nothing to it.
///
/// # Panics
/// For another call than `Null` and `Yield`.
#[must_use]
pub fn call_with_registers(call: Call, pattern: u64) -> Registers {
    assert!(matches!(call, Call::Null | Call::Yield));
    let number = u64::from(NATIVE_TAG) << 32 | call as u64;
    let mut block = [pattern; 16];
    for (multiple, place) in (1..).zip(&mut block[..6]) {
        *place = pattern.wrapping_mul(multiple);
    }
    block[12] = number;
    // SAFETY: these calls touch no memory; the block is written through its own pointer; rbx and rbp, which LLVM
    // reserves, are put back.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "push rax",
            "mov [rax + 104], rsp",
            "mov rbx, [rax]",
            "mov rbp, [rax + 8]",
            "mov r12, [rax + 16]",
            "mov r13, [rax + 24]",
            "mov r14, [rax + 32]",
            "mov r15, [rax + 40]",
            "mov rdi, [rax + 48]",
            "mov rsi, [rax + 56]",
            "mov r8, [rax + 64]",
            "mov r9, [rax + 72]",
            "mov r10, [rax + 80]",
            "mov rdx, [rax + 88]",
            "mov rax, [rax + 96]",
            "syscall",
            "xchg rax, [rsp]",
            "mov [rax + 112], rsp",
            "mov [rax], rbx",
            "mov [rax + 8], rbp",
            "mov [rax + 16], r12",
            "mov [rax + 24], r13",
            "mov [rax + 32], r14",
            "mov [rax + 40], r15",
            "mov [rax + 48], rdi",
            "mov [rax + 56], rsi",
            "mov [rax + 64], r8",
            "mov [rax + 72], r9",
            "mov [rax + 80], r10",
            "mov [rax + 88], rdx",
            "pop rcx",
            "mov [rax + 96], rcx",
            "pop rbp",
            "pop rbx",
            inout("rax") block.as_mut_ptr() => _,
            out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    Registers {
        kept: [block[0], block[1], block[2], block[3], block[4], block[5]],
        dead: [block[6], block[7], block[8], block[9], block[10]],
        rdx: block[11],
        rax: block[12],
        rsp: [block[13], block[14]],
    }
}

/// Makes a native call; status, value, and what is in rdi, rsi, r8, r9 and r10 afterwards.
///
/// # Panics
/// As [`call`].
#[must_use]
pub fn registers_after(call: Call, arguments: [u64; 6]) -> [u64; 7] {
    assert!(!harms(call, &arguments), "{call:?} {arguments:x?} would harm the test itself");
    let mut found = [0; 7];
    // SAFETY: as in `call`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") u64::from(NATIVE_TAG) << 32 | u64::from(call as u32) => found[0],
            inlateout("rdx") arguments[2] => found[1],
            inlateout("rdi") arguments[0] => found[2],
            inlateout("rsi") arguments[1] => found[3],
            inlateout("r8") arguments[4] => found[4],
            inlateout("r9") arguments[5] => found[5],
            inlateout("r10") arguments[3] => found[6],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    found
}

/// Makes a foreign call, which the stub answers with rax + 1; ticks from before to after, and the answer.
///
/// # Panics
/// If it is a native call.
#[must_use]
#[inline(always)]
pub fn foreign(rax: u64) -> (u64, u64) {
    assert!(rax >> 32 != u64::from(NATIVE_TAG), "that is a native call");
    let before = ticks();
    let value;
    // SAFETY: the stub changes no register but rax, rcx and r11.
    unsafe {
        asm!("syscall", inout("rax") rax => value, lateout("rcx") _, lateout("r11") _);
    }
    (ticks() - before, value)
}

/// Makes a foreign call with these flags set; the flags with which the foreign entry was entered.
#[must_use]
pub fn foreign_with_flags(flags: u64) -> u64 {
    let mut after = flags;
    // SAFETY: the stub changes no register but rax, rcx and r11, and no flag; flags are put back before Rust code goes on.
    unsafe {
        asm!(
            "pushfq",
            "push {flags}",
            "popfq",
            "syscall",
            "pushfq",
            "pop {flags}",
            "popfq",
            flags = inout(reg) after,
            inout("rax") 0_u64 => _,
            out("rcx") _, out("r11") _,
        );
    }
    after
}
