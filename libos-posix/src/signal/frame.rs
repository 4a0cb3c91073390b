//! The signal frame on the program's stack, in the layout of Linux x86-64, and `rt_sigreturn`.
//!
//! The vector registers go between CPU and program memory by one instruction each way.
use super::info::{INFO_SIZE, SignalInfo};
use super::set::{SIGSEGV, SignalSet};
use super::{Action, SA_ONSTACK, SA_RESTORER, post_fault, set_mask};
use crate::memory::UserAddress;
use crate::raw::PROGRAM_END;
use crate::raw::context::VectorState;
use crate::raw::entry::TrapFrame;
use crate::raw::user;
use crate::sched::current;
use crate::{Errno, Result};
use serix_sys::abi::layout::{USER_CODE_SELECTOR, USER_DATA_SELECTOR};

/// Bytes below rsp that a leaf function uses (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// `struct rt_sigframe`: return address, `ucontext`, `siginfo`.
const FRAME_WORDS: usize = 1 + CONTEXT_WORDS;
const CONTEXT_WORDS: usize = 38;
const CONTEXT_SIZE: u64 = CONTEXT_WORDS as u64 * 8;
const FRAME_SIZE: u64 = FRAME_WORDS as u64 * 8 + INFO_SIZE as u64;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`
const CONTEXT_FLAGS: u64 = 7;
/// Words of `ucontext`.
mod word {
    pub(super) const STACK: usize = 2;
    pub(super) const REGISTERS: usize = 5;
    pub(super) const SELECTORS: usize = 23;
    pub(super) const VECTORS: usize = 28;
    pub(super) const MASK: usize = 37;
}
/// What tells a program, and us, that the extended area follows the legacy one.
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// Where the magic is in the legacy region, and where XSAVE's own reserved bytes end.
const SOFTWARE_BYTES: u64 = 464;
/// Flags that a program may set (`FIX_EFLAGS` of Linux).
const PROGRAM_FLAGS: u64 = 0x5_0DD5;
/// Flags that a handler starts without: direction, trap, resume.
const HANDLER_CLEARS: u64 = 1 << 10 | 1 << 8 | 1 << 16;
const INTERRUPTS: u64 = 1 << 9;

/// `SS_ONSTACK`
pub(crate) const ON_STACK: u32 = 1;
/// `SS_DISABLE`
pub(crate) const DISABLED: u32 = 2;

/// The alternate stack of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AltStack {
    /// Lowest address.
    pub address: u64,
    /// Bytes; 0 if there is none.
    pub size: u64,
}

impl AltStack {
    /// Whether a stack pointer is on it.
    #[must_use]
    pub const fn holds(&self, rsp: u64) -> bool {
        rsp > self.address && rsp - self.address <= self.size
    }

    /// `ss_flags` for a thread whose stack pointer this is.
    #[must_use]
    pub const fn flags(&self, rsp: u64) -> u32 {
        match () {
            () if self.size == 0 => DISABLED,
            () if self.holds(rsp) => ON_STACK,
            () => 0,
        }
    }
}

/// Where the parts of a frame go: the frame, and the vector registers above it.
#[must_use]
pub(super) fn place(
    rsp: u64,
    action: &Action,
    alt_stack: AltStack,
    vector_size: u64,
) -> (u64, u64) {
    let switches = action.flags & SA_ONSTACK != 0 && alt_stack.size > 0 && !alt_stack.holds(rsp);
    let top = if switches {
        alt_stack.address.wrapping_add(alt_stack.size)
    } else {
        rsp.wrapping_sub(RED_ZONE)
    };
    let vectors = top.wrapping_sub(vector_size + 4) & !63;
    // As after a call: the return address makes rsp 8 more than a multiple of 16.
    let frame = (vectors.wrapping_sub(FRAME_SIZE) & !15).wrapping_sub(8);
    (frame, vectors)
}

/// Puts a frame on the program's stack and enters the handler.
pub(super) fn push(
    trap: &mut TrapFrame,
    info: &SignalInfo,
    action: &Action,
    mask: SignalSet,
    alt_stack: AltStack,
) -> Result<()> {
    let (_, vector_size) = VectorState::features();
    let (frame, vectors) = place(trap.rsp, action, alt_stack, vector_size as u64);
    if action.flags & SA_RESTORER == 0 {
        return Err(Errno::EFAULT);
    }
    store_vectors(vectors)?;
    let words = words(action.restorer, trap, mask, alt_stack, vectors);
    UserAddress(frame).write(&words)?;
    let info_at = frame + FRAME_WORDS as u64 * 8;
    UserAddress(info_at).write(&info.to_words())?;
    trap.rdi = info.signal.into();
    trap.rsi = info_at;
    trap.rdx = frame + 8;
    trap.rax = 0;
    trap.rip = action.handler;
    trap.rsp = frame;
    trap.rflags &= !HANDLER_CLEARS;
    if trap.rip >= PROGRAM_END { Err(Errno::EFAULT) } else { Ok(()) }
}

/// Bytes that a frame takes at most, for `AT_MINSIGSTKSZ`.
#[must_use]
pub fn frame_size() -> u64 {
    let (_, vector_size) = VectorState::features();
    FRAME_SIZE + vector_size as u64 + 4 + 64 + 16
}

fn store_vectors(at: u64) -> Result<()> {
    let (features, size) = VectorState::features();
    if !user::save_vectors(at, size, features) {
        return Err(Errno::EFAULT);
    }
    let size = size as u64;
    let software = [u64::from(MAGIC1) | (size + 4) << 32, features, size, 0, 0, 0];
    UserAddress(at + SOFTWARE_BYTES).write(&software)?;
    UserAddress(at + size).write(&MAGIC2)
}

/// Return address and `ucontext`. One expression, so that nothing is zeroed first.
#[inline]
fn words(
    restorer: u64,
    trap: &TrapFrame,
    mask: SignalSet,
    stack: AltStack,
    vectors: u64,
) -> [u64; FRAME_WORDS] {
    let stack_flags = stack.flags(trap.rsp).into();
    let selectors = USER_CODE_SELECTOR | USER_DATA_SELECTOR << 48;
    #[rustfmt::skip]
    let words = [
        restorer,
        CONTEXT_FLAGS, 0, stack.address, stack_flags, stack.size,
        trap.r8, trap.r9, trap.r10, trap.r11, trap.r12, trap.r13, trap.r14, trap.r15,
        trap.rdi, trap.rsi, trap.rbp, trap.rbx, trap.rdx, trap.rax, trap.rcx, trap.rsp,
        trap.rip, trap.rflags,
        selectors, 0, 0, mask.0, 0, vectors,
        0, 0, 0, 0, 0, 0, 0, 0,
        mask.0,
    ];
    words
}

/// Takes the registers of a frame back; what a program may not choose stays as it is.
fn restore(context: &[u64; CONTEXT_WORDS], trap: &mut TrapFrame) -> Result<()> {
    let mut registers = [0; word::SELECTORS - word::REGISTERS];
    registers.copy_from_slice(&context[word::REGISTERS..word::SELECTORS]);
    let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags] =
        registers;
    if rip >= PROGRAM_END {
        return Err(Errno::EFAULT);
    }
    *trap = TrapFrame {
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rdi,
        rsi,
        rbp,
        rbx,
        rdx,
        rax,
        rcx,
        rsp,
        rip,
        rflags: rflags & PROGRAM_FLAGS | INTERRUPTS | 2,
        cs: USER_CODE_SELECTOR,
        ss: USER_DATA_SELECTOR,
    };
    Ok(())
}

fn restore_vectors(at: u64) -> Result<()> {
    if at == 0 {
        current().context.reset_vectors();
        return Ok(());
    }
    let (features, size) = VectorState::features();
    let magic: u64 = UserAddress(at + SOFTWARE_BYTES).read()?;
    let loaded = if magic as u32 == MAGIC1 {
        user::load_vectors(at, size, features)
    } else {
        user::load_legacy_vectors(at)
    };
    if loaded { Ok(()) } else { Err(Errno::EFAULT) }
}

/// `rt_sigreturn`: the program's stack pointer is right above the frame's return address.
pub fn rt_sigreturn(trap: &mut TrapFrame) {
    let outcome = UserAddress(trap.rsp).read::<[u64; CONTEXT_WORDS]>().and_then(|context| {
        restore(&context, trap)?;
        restore_vectors(context[word::VECTORS])?;
        let stack = AltStack { address: context[word::STACK], size: context[word::STACK + 2] };
        current().signals.lock().alt_stack = stack;
        set_mask(SignalSet(context[word::MASK]));
        Ok(())
    });
    if outcome.is_err() {
        post_fault(SignalInfo::kernel(SIGSEGV));
    }
}

const _: () = assert!(CONTEXT_SIZE == 304 && FRAME_SIZE == 440);

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 832;

    #[test]
    fn frame_is_aligned_and_below_the_red_zone() {
        for rsp in [0x7000_0000u64, 0x7000_0008, 0x7000_0011, 0x7000_0fff] {
            let (frame, vectors) = place(rsp, &Action::default(), AltStack::default(), SIZE);
            assert_eq!((frame % 16, vectors % 64), (8, 0));
            assert!(frame + FRAME_SIZE <= vectors && vectors + SIZE + 4 <= rsp - RED_ZONE);
        }
    }

    #[test]
    fn alternate_stack_is_entered_once() {
        let action = Action { flags: SA_ONSTACK, ..Action::default() };
        let stack = AltStack { address: 0x1000_0000, size: 0x4000 };
        let (frame, _) = place(0x7000_0000, &action, stack, SIZE);
        assert!(stack.holds(frame));
        let (nested, _) = place(frame, &action, stack, SIZE);
        assert!(nested < frame && stack.holds(nested));
        assert_eq!(stack.flags(frame), ON_STACK);
        assert_eq!(stack.flags(0x7000_0000), 0);
        assert_eq!(AltStack::default().flags(0x7000_0000), DISABLED);
    }

    #[test]
    fn registers_survive_and_privileged_flags_do_not() {
        let mut trap = TrapFrame::new(0x40_1000, 0x7000_0000);
        (trap.rax, trap.r15, trap.rdi, trap.rcx) = (1, 15, 7, 9);
        let all = super::words(9, &trap, SignalSet(5), AltStack::default(), 0x6000);
        assert_eq!((all[0], all[1], all[1 + word::SELECTORS]), (9, 7, 0x2b << 48 | 0x33));
        assert_eq!(all[1 + word::VECTORS - 2], 5, "the old mask");
        let mut words = [0; CONTEXT_WORDS];
        words.copy_from_slice(&all[1..]);
        assert_eq!((words[word::MASK], words[word::VECTORS]), (5, 0x6000));
        let mut back = TrapFrame::default();
        restore(&words, &mut back).unwrap();
        assert_eq!(back, trap);
        words[22] = u64::MAX;
        restore(&words, &mut back).unwrap();
        assert_eq!(back.rflags & (1 << 14 | 3 << 12 | 1 << 17), 0);
        words[21] = u64::MAX;
        assert!(restore(&words, &mut back).is_err());
    }
}
