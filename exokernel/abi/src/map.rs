//! Mapping and delegation: what the calls of memory and authority take.

/// Flags of a mapping.
///
/// The values are those of the x86-64 page-table entry (AMD APM vol. 2, 5.4), so that a libOS reads its
/// page-table window with the same names. The kernel adds what is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct MapFlags(pub u64);

impl MapFlags {
    /// The entry is in use; readable. Always set by the kernel, ignored in requests.
    pub const PRESENT: Self = Self(1);
    /// Writable.
    pub const WRITE: Self = Self(1 << 1);
    /// Set by the kernel: the page is a device's. Caches do not keep it; the bits with 8 and 128 say how its writes go.
    pub const DEVICE: Self = Self(1 << 4);
    /// Set by the CPU when the page is read.
    pub const ACCESSED: Self = Self(1 << 5);
    /// Set by the CPU when the page is written.
    pub const DIRTY: Self = Self(1 << 6);
    /// `copy_range` keeps the page shared as it is. Ignored by the CPU.
    pub const SHARED: Self = Self(1 << 9);
    /// `copy_range` made this page read-only: a write should copy. Ignored by the CPU.
    pub const COPY: Self = Self(1 << 10);
    /// Free for the libOS. Ignored by the CPU.
    pub const LIBOS: Self = Self(1 << 11);
    /// Set by the kernel: the slot it was mapped from allows writing, so `Protect` may set [`Self::WRITE`].
    pub const MAY_WRITE: Self = Self(1 << 52);
    /// Set by the kernel: the slot it was mapped from allows executing, so `Protect` may clear
    /// [`Self::NO_EXECUTE`].
    pub const MAY_EXECUTE: Self = Self(1 << 53);
    /// Not executable.
    pub const NO_EXECUTE: Self = Self(1 << 63);
    /// What a request may set.
    pub const REQUEST: Self =
        Self(Self::WRITE.0 | Self::SHARED.0 | Self::COPY.0 | Self::LIBOS.0 | Self::NO_EXECUTE.0);
    /// Where the frame number is in an entry.
    pub const FRAME_MASK: u64 = 0x000F_FFFF_FFFF_F000;

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Whether a mapping with these limits ([`Self::MAY_WRITE`], [`Self::MAY_EXECUTE`]) may have `wanted`.
    #[inline(always)]
    #[must_use]
    pub const fn allows(self, wanted: Self) -> bool {
        let may_write = !wanted.has(Self::WRITE) || self.has(Self::MAY_WRITE);
        may_write && (wanted.has(Self::NO_EXECUTE) || self.has(Self::MAY_EXECUTE))
    }
    /// Whether all of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One page of a `Map` call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct MapRequest {
    /// Where: a page-aligned user address. An existing mapping there is replaced.
    pub address: u64,
    /// Flags of the mapping, within [`MapFlags::REQUEST`].
    pub flags: u64,
    /// Slot of the frames.
    pub frames: u32,
    /// Which of them.
    pub unit: u32,
}

/// What a `Grant` call delegates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Grant {
    /// First unit, relative to the slot's range.
    pub first: u64,
    /// How many units.
    pub count: u64,
    /// Rights, a subset of the slot's.
    pub rights: u16,
    /// Zero.
    pub reserved: u16,
    /// Slot of the receiving domain. None ([`crate::NO_SLOT`]): the token is for whoever holds it, which what has one owner at a
    /// time (frames, slices, blocks) cannot be.
    pub domain: u32,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct SlotInfo {
    /// First unit of the range: frame number, sector, slice.
    pub base: u64,
    /// How many units.
    pub count: u64,
    /// Rights.
    pub rights: u16,
    /// A [`crate::token::Kind`], or zero for an empty slot.
    pub kind: u16,
    /// Zero.
    pub reserved: u32,
}
