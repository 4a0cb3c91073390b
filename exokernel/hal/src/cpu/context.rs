//! The register context of a dispatcher, and how upcalls enter it.
//!
//! A context lives in a frame that the kernel claimed. Entry code stores user registers straight into the current
//! core's context, so a switch of environments copies nothing.
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use serix_abi::dispatcher::{
    DispatcherPage, FRAMES_OFFSET, UPCALL_DEPTH, UpcallFrame, offset, reason,
};
use serix_abi::layout::{USER_CODE_SELECTOR, USER_DATA_SELECTOR, USER_END};

use crate::address::{DIRECT_MAP, FrameNumber, PhysicalAddress};
use crate::memory::frames::FrameTable;

/// Room for extended state: x87, SSE, AVX and AVX-512 need 2,696 bytes.
pub const XSAVE_ROOM: usize = 2752;
/// Flags that an entry begins with: IF, and the bit that is always set.
pub(crate) const ENTRY_FLAGS: u64 = 0x202;

/// The kernel was entered by an exception or interrupt, or the context is new: all registers matter. Zero says that
/// it was entered by a native call: only callee-saved registers do.
pub(crate) const KIND_TRAP: u64 = 1;

/// An XSAVE area.
#[repr(C, align(64))]
pub(crate) struct XsaveArea([u8; XSAVE_ROOM]);

impl XsaveArea {
    pub(crate) const fn initial() -> Self {
        let mut bytes = [0; XSAVE_ROOM];
        // FCW = 0x37F at 0 and MXCSR = 0x1F80 at 24: XRSTOR loads MXCSR even from an empty header.
        bytes[0] = 0x7F;
        bytes[1] = 0x03;
        bytes[24] = 0x80;
        bytes[25] = 0x1F;
        Self(bytes)
    }
}

/// General registers and the frame that the CPU pushes, in the order in which entry code pushes them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// General registers.
    pub r15: u64,
    /// See above.
    pub r14: u64,
    /// See above.
    pub r13: u64,
    /// See above.
    pub r12: u64,
    /// See above.
    pub rbp: u64,
    /// See above.
    pub rbx: u64,
    /// See above.
    pub r11: u64,
    /// See above.
    pub r10: u64,
    /// See above.
    pub r9: u64,
    /// See above.
    pub r8: u64,
    /// See above.
    pub rdi: u64,
    /// See above.
    pub rsi: u64,
    /// See above.
    pub rdx: u64,
    /// See above.
    pub rcx: u64,
    /// See above.
    pub rax: u64,
    /// Exception or interrupt vector.
    pub vector: u64,
    /// Error code, or zero.
    pub error_code: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Code selector.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack selector.
    pub ss: u64,
}

/// What the kernel keeps of a dispatcher's registers, and what entry code must know of it.
#[repr(C, align(64))]
pub struct Context {
    xsave: XsaveArea,
    /// Registers of user code; the end of this field is where the CPU pushes its frame.
    pub registers: Registers,
    /// [`KIND_TRAP`], or zero.
    pub(crate) kind: u64,
    /// The dispatcher page, in the direct map.
    pub(crate) page: u64,
    /// Entry of foreign calls, or zero.
    pub(crate) foreign_entry: u64,
    /// The dispatcher page, where the environment maps it.
    page_address: u64,
    fault_entry: u64,
    event_entry: u64,
    restart_start: u64,
    restart_end: u64,
    pub(crate) fs_base: u64,
    pub(crate) gs_base: u64,
    /// Physical address of the top table.
    pub(crate) root: u64,
    /// Whether `xsave` holds live extended state.
    pub(crate) extended_saved: bool,
}

/// Byte offsets for entry code.
pub(crate) mod offsets {
    use super::{Context, Registers, offset_of};
    pub(crate) const REGISTERS: usize = offset_of!(Context, registers);
    pub(crate) const REGISTERS_END: usize = REGISTERS + size_of::<Registers>();
    pub(crate) const KIND: usize = offset_of!(Context, kind);
    pub(crate) const PAGE: usize = offset_of!(Context, page);
    pub(crate) const FOREIGN_ENTRY: usize = offset_of!(Context, foreign_entry);
    pub(crate) const RIP: usize = REGISTERS + offset_of!(Registers, rip);
    pub(crate) const RSP: usize = REGISTERS + offset_of!(Registers, rsp);
    pub(crate) const RFLAGS: usize = REGISTERS + offset_of!(Registers, rflags);
    pub(crate) const RAX: usize = REGISTERS + offset_of!(Registers, rax);
    pub(crate) const RDX: usize = REGISTERS + offset_of!(Registers, rdx);
    pub(crate) const RBX: usize = REGISTERS + offset_of!(Registers, rbx);
    pub(crate) const RBP: usize = REGISTERS + offset_of!(Registers, rbp);
    pub(crate) const R12: usize = REGISTERS + offset_of!(Registers, r12);
    pub(crate) const R13: usize = REGISTERS + offset_of!(Registers, r13);
    pub(crate) const R14: usize = REGISTERS + offset_of!(Registers, r14);
    pub(crate) const R15: usize = REGISTERS + offset_of!(Registers, r15);
}

const _: () = {
    assert!(offsets::REGISTERS_END.is_multiple_of(16), "the CPU aligns rsp before it pushes");
    assert!(size_of::<Context>() <= 3072);
};

/// Entry points and addresses of a dispatcher, checked.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    /// Synchronous upcalls.
    pub fault: u64,
    /// Foreign calls.
    pub foreign: u64,
    /// Asynchronous upcalls.
    pub event: u64,
    /// Restart range.
    pub restart_start: u64,
    /// End of the restart range.
    pub restart_end: u64,
}

impl Entries {
    /// Whether all of them are in the user half (zero included).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        [self.fault, self.foreign, self.event, self.restart_start, self.restart_end]
            .iter()
            .all(|address| *address < USER_END)
    }
}

impl Context {
    /// A context that will start at `rip`. `None` if an address is not in the user half.
    #[must_use]
    pub fn new(rip: u64, rsp: u64, argument: u64, gs_base: u64, root: FrameNumber) -> Option<Self> {
        if [rip, rsp, gs_base].iter().any(|address| *address >= USER_END) {
            return None;
        }
        Some(Self {
            xsave: XsaveArea::initial(),
            registers: Registers {
                rip,
                rsp,
                rdi: argument,
                cs: USER_CODE_SELECTOR,
                ss: USER_DATA_SELECTOR,
                rflags: ENTRY_FLAGS,
                ..Registers::default()
            },
            kind: KIND_TRAP,
            page: 0,
            foreign_entry: 0,
            page_address: 0,
            fault_entry: 0,
            event_entry: 0,
            restart_start: 0,
            restart_end: 0,
            fs_base: 0,
            gs_base,
            root: root.start().0,
            extended_saved: false,
        })
    }

    /// Names the shared page: the frame, pinned until [`Self::clear_page`], and where the environment maps it. False if the
    /// frame is not ring 3's or the address not a page of the user half.
    pub fn set_page(&mut self, frames: &mut FrameTable, frame: FrameNumber, address: u64) -> bool {
        let valid = address < USER_END && address.is_multiple_of(4096) && self.page == 0;
        if !valid || !frames.pin(frame) {
            return false;
        }
        self.page = frame.pointer::<DispatcherPage>() as u64;
        self.page_address = address;
        true
    }

    /// Lets go of the shared page.
    pub fn clear_page(&mut self, frames: &mut FrameTable) {
        if let Some(frame) = self.page.checked_sub(DIRECT_MAP).map(PhysicalAddress) {
            frames.unpin(FrameNumber::containing(frame).expect("a frame of RAM"));
            self.page = 0;
            self.foreign_entry = 0;
        }
    }

    /// Sets the entries.
    pub fn set_entries(&mut self, entries: &Entries) {
        self.fault_entry = entries.fault;
        self.foreign_entry = entries.foreign;
        self.event_entry = entries.event;
        self.restart_start = entries.restart_start;
        self.restart_end = entries.restart_end;
    }

    /// What a native call that switched away answers when the dispatcher runs again.
    #[inline(always)]
    pub fn set_reply(&mut self, status: u64, value: u64) {
        self.registers.rax = status;
        self.registers.rdx = value;
    }

    /// Prepares the context for a call of a gate, which is entered with extended state in its initial state.
    #[inline(always)]
    pub fn enter_gate(&mut self) {
        self.extended_saved = false;
    }

    /// What a call of a gate that succeeded answers, in rdx, rdi, rsi and r8.
    pub fn reply_words(&mut self, words: [u64; 4]) {
        let user = &mut self.registers;
        (user.rax, user.rdx, user.rdi, user.rsi, user.r8) =
            (0, words[0], words[1], words[2], words[3]);
        (user.r9, user.r10) = (0, 0);
        // SYSCALL's own: the return address and the flags.
        (user.rcx, user.r11) = (user.rip, user.rflags);
        (user.cs, user.ss) = (USER_CODE_SELECTOR, USER_DATA_SELECTOR);
        self.kind = KIND_TRAP;
    }

    fn word32(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `page` is a pinned frame in the direct map; the environment may change it at any time, which an atomic allows.
        unsafe { &*((self.page + at as u64) as *const AtomicU32) }
    }

    fn word64(&self, at: usize) -> &AtomicU64 {
        // SAFETY: as in `word32`.
        unsafe { &*((self.page + at as u64) as *const AtomicU64) }
    }

    /// Sets `upcalls_disabled`, when a dispatcher is made.
    pub fn set_disabled(&mut self, disabled: bool) {
        self.word32(offset::UPCALLS_DISABLED).store(disabled.into(), Ordering::Relaxed);
    }

    /// Enters the fault entry for an exception of user code; false if there is none, or upcalls are nested too deep.
    #[inline]
    pub fn deliver_fault(&mut self, vector: u64, error_code: u64, address: u64) -> bool {
        let entry = self.fault_entry;
        self.deliver(entry, vector, error_code, address)
    }

    /// Enters the event entry if asynchronous upcalls may come now; else marks the page so that the libOS looks. Whether it
    /// entered.
    pub fn deliver_event(&mut self, reason: u64, address: u64) -> bool {
        let entry = self.event_entry;
        if entry == 0 {
            return false;
        }
        let rip = self.registers.rip;
        let gated = self.word32(offset::UPCALLS_DISABLED).load(Ordering::Relaxed) != 0
            || (self.restart_start..self.restart_end).contains(&rip);
        let entered = !gated && self.deliver(entry, reason, 0, address);
        if !entered {
            self.word64(offset::PENDING).store(1, Ordering::Relaxed);
        }
        entered
    }

    /// Tells the dispatcher that a slice begins, its `count`th.
    pub fn start_slice(&mut self, count: u64) {
        self.word64(offset::SLICES).store(count, Ordering::Relaxed);
        self.deliver_event(reason::SLICE_START, 0);
    }

    fn deliver(&mut self, entry: u64, reason: u64, error_code: u64, address: u64) -> bool {
        let depth = self.word32(offset::DEPTH).load(Ordering::Relaxed) as usize;
        if entry == 0 || depth >= UPCALL_DEPTH || self.page == 0 {
            return false;
        }
        let was_disabled =
            u64::from(self.word32(offset::UPCALLS_DISABLED).swap(1, Ordering::Relaxed));
        self.word32(offset::DEPTH).store(depth as u32 + 1, Ordering::Relaxed);
        let at = FRAMES_OFFSET + depth * size_of::<UpcallFrame>() + offset::REASON;
        let user = &mut self.registers;
        let values = [
            reason,
            error_code,
            address,
            was_disabled,
            user.rip,
            user.cs,
            user.rflags,
            user.rsp,
            user.ss,
        ];
        user.rip = entry;
        (user.cs, user.ss) = (USER_CODE_SELECTOR, USER_DATA_SELECTOR);
        user.rsp = self.page_address + at as u64;
        // TF, NT, AC and DF clear; a user `iretq` with NT set would fault.
        user.rflags = ENTRY_FLAGS;
        for (place, value) in values.into_iter().enumerate() {
            self.word64(at + place * 8).store(value, Ordering::Relaxed);
        }
        true
    }

    /// Keeps live extended state and segment bases of the dispatcher that ran on this core.
    pub fn save_live_state(&mut self) {
        // SAFETY: FSGSBASE is on; user GS is in the kernel GS base now, so SWAPGS brings it in reach for one read.
        // Interrupts are off, and an NMI in between finds its core by its stack.
        unsafe {
            core::arch::asm!(
                "rdfsbase {fs}",
                "swapgs",
                "rdgsbase {gs}",
                "swapgs",
                fs = out(reg) self.fs_base,
                gs = out(reg) self.gs_base,
                options(nomem, nostack, preserves_flags)
            );
        }
        self.save_extended();
    }

    #[inline(always)]
    fn save_extended(&mut self) {
        if self.kind == KIND_TRAP {
            super::extended::save(&mut self.xsave);
            self.extended_saved = true;
        }
    }

    /// Loads segment bases and extended state for running this context on this core, and saves those of the one that ran before.
    #[inline(always)]
    pub(crate) fn load_state(&mut self, last: Option<&mut Self>) {
        let (fs, gs): (u64, u64);
        // Selectors start null: what another environment loaded is not this one's to see.
        // SAFETY: FSGSBASE is on; both values were read from the same registers or checked to be in the user half. Loading GS may
        // clear its base, hence between the two SWAPGS, which bring user GS in reach. Interrupts are off, and an NMI in
        // between finds its core by its stack.
        unsafe {
            core::arch::asm!(
                "rdfsbase {old_fs}",
                "mov ds, {null:e}",
                "mov es, {null:e}",
                "mov fs, {null:e}",
                "wrfsbase {fs}",
                "swapgs",
                "rdgsbase {old_gs}",
                "mov gs, {null:e}",
                "wrgsbase {gs}",
                "swapgs",
                null = in(reg) 0,
                fs = in(reg) self.fs_base,
                gs = in(reg) self.gs_base,
                old_fs = out(reg) fs,
                old_gs = out(reg) gs,
                options(nomem, nostack, preserves_flags)
            );
        }
        if let Some(last) = last {
            (last.fs_base, last.gs_base) = (fs, gs);
            last.save_extended();
        }
        if self.extended_saved {
            super::extended::restore(&self.xsave);
            self.extended_saved = false;
        } else {
            super::extended::initialise();
        }
    }
}
