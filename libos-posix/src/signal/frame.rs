//! The signal frame on the program's stack, in the layout of Linux x86-64, and `rt_sigreturn`.
//!
//! The vector registers go between CPU and program memory by one instruction each way.
use super::info::{INFO_SIZE, SignalInfo};
use super::set::{SIGSEGV, SignalSet};
use super::{Action, SA_ONSTACK, SA_RESTORER, SA_SIGINFO, post_fault};
use crate::memory::UserAddress;
use crate::raw::context::VectorState;
use crate::raw::entry::TrapFrame;
use crate::raw::user::{self, CONTEXT_SIZE, Saved};
use crate::raw::{PROGRAM_END, local};
use crate::sched::current;
use crate::{Errno, Result};
use serix_sys::abi::layout::{USER_CODE_SELECTOR, USER_DATA_SELECTOR};

/// Bytes below rsp that a leaf function uses (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// `struct rt_sigframe`: return address, `ucontext`, `siginfo`.
const FRAME_SIZE: u64 = INFO_OFFSET + INFO_SIZE as u64;
const INFO_OFFSET: u64 = 8 + CONTEXT_SIZE;
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
#[inline]
pub(super) fn push(
    trap: &mut TrapFrame,
    info: &SignalInfo,
    action: &Action,
    mask: SignalSet,
    alt_stack: AltStack,
) -> Result<()> {
    let (features, vector_size) = VectorState::features();
    let (frame, vectors) = place(trap.rsp, action, alt_stack, vector_size as u64);
    if action.flags & SA_RESTORER == 0 || action.handler >= PROGRAM_END {
        return Err(Errno::EFAULT);
    }
    let saved = Saved {
        restorer: action.restorer,
        stack_address: alt_stack.address,
        stack_flags: alt_stack.flags(trap.rsp).into(),
        stack_size: alt_stack.size,
        mask: mask.0,
        vectors,
    };
    if !user::save_vectors(vectors, vector_size, features)
        || !user::store_signal(frame, trap, &saved)
    {
        return Err(Errno::EFAULT);
    }
    // As Linux, which leaves what is there to handlers that do not ask for it.
    if action.flags & SA_SIGINFO != 0 {
        UserAddress(frame + INFO_OFFSET).write(&info.to_words())?;
    }
    trap.rdi = info.signal.into();
    trap.rsi = frame + INFO_OFFSET;
    trap.rdx = frame + 8;
    trap.rax = 0;
    trap.rip = action.handler;
    trap.rsp = frame;
    trap.rflags &= !HANDLER_CLEARS;
    Ok(())
}

/// Bytes that a frame takes at most, for `AT_MINSIGSTKSZ`.
#[must_use]
pub fn frame_size() -> u64 {
    let (_, vector_size) = VectorState::features();
    FRAME_SIZE + vector_size as u64 + 4 + 64 + 16
}

/// Makes registers as a program stored them ones that it may have; false if it cannot be.
#[inline]
fn settle(trap: &mut TrapFrame) -> bool {
    trap.rflags = trap.rflags & PROGRAM_FLAGS | INTERRUPTS | 2;
    trap.cs = USER_CODE_SELECTOR;
    trap.ss = USER_DATA_SELECTOR;
    trap.rip < PROGRAM_END
}

#[inline]
fn restore_vectors(at: u64) -> bool {
    if at == 0 {
        current().context.reset_vectors();
        return true;
    }
    let (features, size) = VectorState::features();
    user::load_vectors(at, size, features)
}

/// `rt_sigreturn`: the program's stack pointer is right above the frame's return address. All of `trap` is to be made.
pub(crate) extern "sysv64" fn rt_sigreturn(trap: &mut TrapFrame, rsp: u64) {
    let mut saved = Saved::default();
    if user::load_signal(rsp, trap, &mut saved) && settle(trap) && restore_vectors(saved.vectors) {
        let stack = AltStack { address: saved.stack_address, size: saved.stack_size };
        super::send::set_mask_and_stack(SignalSet(saved.mask), stack);
        return;
    }
    // Where it was made, with nothing in the other registers.
    *trap = TrapFrame::new(local::program_instruction_pointer(), rsp);
    post_fault(SignalInfo::kernel(SIGSEGV));
}

const _: () = assert!(FRAME_SIZE == 440);

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};

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

    /// Stands for program memory: statics of a test program lie below the end of it.
    static AREA: [AtomicU64; 39] = [const { AtomicU64::new(0) }; 39];

    #[test]
    fn registers_survive_and_privileged_flags_do_not() {
        let at = AREA.as_ptr() as u64;
        let word = |index: usize| AREA[index].load(Ordering::Relaxed);
        let mut trap = TrapFrame::new(0x40_1000, 0x7000_0000);
        (trap.rax, trap.r15, trap.rdi, trap.rcx, trap.rbx) = (1, 15, 7, 9, 11);
        (trap.r8, trap.r14, trap.rsi, trap.rdx, trap.rbp) = (8, 14, 6, 4, 3);
        let saved = Saved {
            restorer: 9,
            stack_address: 0x100,
            stack_flags: 2,
            stack_size: 0x200,
            mask: 5,
            vectors: 0x6000,
        };
        assert!(user::store_signal(at, &trap, &saved));
        assert_eq!((word(0), word(1), word(24)), (9, 7, 0x2b << 48 | 0x33));
        assert_eq!((word(27), word(29), word(38)), (5, 0x6000, 5), "masks and vectors");
        let (mut back, mut read) = (TrapFrame::default(), Saved::default());
        assert!(user::load_signal(at + 8, &mut back, &mut read) && settle(&mut back));
        assert_eq!(back, trap);
        assert_eq!(read, Saved { restorer: 0, stack_flags: 0, ..saved });
        back.rflags = u64::MAX;
        assert!(settle(&mut back));
        assert_eq!(back.rflags & (1 << 14 | 3 << 12 | 1 << 17), 0);
        back.rip = u64::MAX;
        assert!(!settle(&mut back));
        assert!(!user::store_signal(PROGRAM_END - 8, &trap, &saved));
        assert!(!user::load_signal(u64::MAX, &mut back, &mut read));
    }
}
