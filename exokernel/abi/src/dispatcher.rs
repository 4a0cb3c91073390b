//! The dispatcher: what an environment shares with the kernel, and how upcalls arrive.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Upcalls that may nest before the domain is ended.
pub const UPCALL_DEPTH: usize = 8;
/// Offset of the first upcall frame in the dispatcher page.
pub const FRAMES_OFFSET: usize = 0x100;
/// Offset of the part of the page that is the libOS's.
pub const LIBOS_OFFSET: usize = FRAMES_OFFSET + UPCALL_DEPTH * size_of::<UpcallFrame>();

/// Reasons from 0 to 31 are the CPU's exception vectors; these are the kernel's.
pub mod reason {
    /// The dispatcher got a slice again; `address` is zero.
    pub const SLICE_START: u64 = 256;
    /// An event asked for an upcall; `address` holds its bits.
    pub const EVENT: u64 = 257;
    /// The domain is asked to give something back; `address` is the generation of the grant. See [`crate::record`].
    pub const REVOKE: u64 = 258;
}

/// One upcall: what was interrupted, and why. rsp points to `reason` on entry.
#[derive(Clone, Copy)]
#[repr(C, align(256))]
pub struct UpcallFrame {
    /// Room below `reason` for what the entry stub pushes.
    pub scratch: [u64; 22],
    /// Exception vector, or one of [`reason`].
    pub reason: u64,
    /// The CPU's error code, or zero.
    pub error_code: u64,
    /// Faulting address (CR2) for a page fault; see [`reason`] for the others.
    pub address: u64,
    /// `upcalls_disabled` as it was; the stub stores it back.
    pub was_disabled: u64,
    /// Interrupted instruction.
    pub rip: u64,
    /// 0x33.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// 0x2b.
    pub ss: u64,
    reserved: u64,
}

/// The shared page. All of it is writable by the environment; the kernel believes none of it.
#[repr(C, align(4096))]
pub struct DispatcherPage {
    /// Non-zero: asynchronous upcalls wait. Set by the kernel on every upcall.
    pub upcalls_disabled: AtomicU32,
    /// Upcall frames in use.
    pub depth: AtomicU32,
    /// Non-zero: an asynchronous upcall waited; the tail that enables upcalls calls `Yield` or looks itself.
    pub pending: AtomicU64,
    /// Where the foreign call returns to.
    pub foreign_rip: AtomicU64,
    /// Its flags.
    pub foreign_rflags: AtomicU64,
    /// Slices that the kernel began with this dispatcher.
    pub slices: AtomicU64,
    reserved: [u64; 27],
    /// Upcall frames, used from 0 up.
    pub frames: [UpcallFrame; UPCALL_DEPTH],
    /// The libOS's own: a self pointer, a stack, what it likes.
    pub libos: [u64; (crate::PAGE_SIZE - LIBOS_OFFSET) / 8],
}

/// Byte offsets for assembly.
pub mod offset {
    /// [`super::DispatcherPage::upcalls_disabled`].
    pub const UPCALLS_DISABLED: usize = 0;
    /// [`super::DispatcherPage::depth`].
    pub const DEPTH: usize = 4;
    /// [`super::DispatcherPage::pending`].
    pub const PENDING: usize = 8;
    /// [`super::DispatcherPage::foreign_rip`].
    pub const FOREIGN_RIP: usize = 16;
    /// [`super::DispatcherPage::foreign_rflags`].
    pub const FOREIGN_RFLAGS: usize = 24;
    /// [`super::DispatcherPage::slices`].
    pub const SLICES: usize = 32;
    /// From the start of an upcall frame to its `reason`.
    pub const REASON: usize = 176;
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<UpcallFrame>() == 256);
    assert!(offset_of!(UpcallFrame, reason) == offset::REASON);
    assert!(size_of::<DispatcherPage>() == crate::PAGE_SIZE);
    assert!(offset_of!(DispatcherPage, pending) == offset::PENDING);
    assert!(offset_of!(DispatcherPage, foreign_rip) == offset::FOREIGN_RIP);
    assert!(offset_of!(DispatcherPage, foreign_rflags) == offset::FOREIGN_RFLAGS);
    assert!(offset_of!(DispatcherPage, slices) == offset::SLICES);
    assert!(offset_of!(DispatcherPage, frames) == FRAMES_OFFSET);
};

/// What `DispatcherCreate` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct DispatcherParameters {
    /// Slot of the frame that becomes the shared page (the caller's, or a delegation to the environment's domain).
    pub frames: u32,
    /// Which frame of it.
    pub unit: u32,
    /// Where the environment maps that page; page-aligned.
    pub page_address: u64,
    /// Entry of synchronous upcalls; zero: the domain ends at a fault.
    pub fault_entry: u64,
    /// Entry of foreign calls; zero: the domain ends at one.
    pub foreign_entry: u64,
    /// Entry of asynchronous upcalls; zero: none are made.
    pub event_entry: u64,
    /// First address of the restart range.
    pub restart_start: u64,
    /// First address past the restart range.
    pub restart_end: u64,
    /// Initial instruction pointer.
    pub rip: u64,
    /// Initial stack pointer.
    pub rsp: u64,
    /// Initial rdi.
    pub argument: u64,
    /// Initial GS base.
    pub gs_base: u64,
    /// Initial `upcalls_disabled`: 0 or 1.
    pub upcalls_disabled: u64,
}
