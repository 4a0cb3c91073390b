//! What the ledger knows of one frame.

use crate::ids::{DomainId, Frame};

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// No RAM here, or none that may be used.
    Absent,
    /// Nobody's yet. Only at boot.
    Free,
    /// A domain's, to be mapped, delegated, or handed to an account.
    User,
    /// In a domain's account, for the kernel to use on its behalf.
    Funded,
    /// A page table of a domain's environment.
    PageTable,
    /// Any other kernel object that a domain paid for.
    Object,
    /// The kernel's own: image, heap, stacks, the ledger.
    Kernel,
    /// Registers of a device, or memory that a device owns.
    Device,
}

impl FrameKind {
    /// Whether a domain has it.
    #[inline]
    #[must_use]
    pub fn is_owned(self) -> bool {
        matches!(self, Self::User | Self::Funded) || self.is_taken()
    }

    /// Whether the kernel uses it on behalf of the domain that has it.
    #[inline]
    #[must_use]
    pub fn is_taken(self) -> bool {
        matches!(self, Self::PageTable | Self::Object)
    }
}

/// The ledger's entry for a frame, 12 bytes. The boot code provides a slice of them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FrameWord {
    pub(super) owner: DomainId,
    /// The next frame of the account's list; only while `Funded`.
    pub(super) next: Frame,
    pub(super) kind: FrameKind,
}

const _: () = assert!(size_of::<FrameWord>() == 12);

impl FrameWord {
    /// No RAM; what the slice is filled with before the ledger is made.
    pub const ABSENT: Self =
        Self { owner: DomainId::NONE, next: Frame::NONE, kind: FrameKind::Absent };

    /// Whose it is, [`DomainId::NONE`] if no domain's.
    #[inline(always)]
    #[must_use]
    pub fn owner(&self) -> DomainId {
        self.owner
    }

    /// What it is used for.
    #[inline(always)]
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Whether its parts fit each other.
    pub(super) fn is_consistent(&self) -> bool {
        self.kind.is_owned() == (self.owner != DomainId::NONE)
            && (self.next == Frame::NONE || self.kind == FrameKind::Funded)
    }
}
