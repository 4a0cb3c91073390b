//! Return addresses on the kernel stack, by frame pointers.
use core::arch::asm;

/// Calls `visit` with each return address, innermost first, at most 32.
pub fn walk(mut visit: impl FnMut(u64)) {
    let mut frame: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    for _ in 0..32 {
        if !is_stack(frame) {
            return;
        }
        // SAFETY: the address is 8-byte aligned and on a page of a kernel stack: the code is compiled with frame
        // pointers, so it holds the caller's frame and the return address.
        let (next, address) = unsafe { (*(frame as *const u64), *((frame + 8) as *const u64)) };
        if address == 0 {
            return;
        }
        visit(address);
        if next <= frame {
            return;
        }
        frame = next;
    }
}

/// Whether both words at `frame` are on one of this kernel's stacks.
fn is_stack(frame: u64) -> bool {
    frame.is_multiple_of(8)
        && crate::boot::on_kernel_stack(frame)
        && crate::boot::on_kernel_stack(frame + 8)
}
