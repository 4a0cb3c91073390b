//! Physical addresses, frame numbers, and the direct map that makes them reachable.
use serix_abi::{PAGE_SHIFT, PAGE_SIZE};

/// Where all RAM is mapped in the kernel half.
pub const DIRECT_MAP: u64 = 0xFFFF_8000_0000_0000;
/// Kernel heap, frame table and stacks.
pub const KERNEL_MEMORY: u64 = 0xFFFF_C000_0000_0000;
/// Device registers.
pub const DEVICE_MEMORY: u64 = 0xFFFF_D000_0000_0000;

/// An address on the memory bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PhysicalAddress(pub u64);

/// A frame of 4 KiB: physical address >> 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FrameNumber(pub u32);

impl FrameNumber {
    /// The frame that holds an address; `None` above 16 TiB.
    #[must_use]
    pub fn containing(address: PhysicalAddress) -> Option<Self> {
        u32::try_from(address.0 >> PAGE_SHIFT).ok().map(Self)
    }

    /// Address of its first byte.
    #[inline(always)]
    #[must_use]
    pub const fn start(self) -> PhysicalAddress {
        PhysicalAddress((self.0 as u64) << PAGE_SHIFT)
    }

    /// Where the kernel reaches it. Valid for frames of RAM only.
    #[inline(always)]
    pub(crate) fn pointer<T>(self) -> *mut T {
        const { assert!(size_of::<T>() <= PAGE_SIZE) };
        (DIRECT_MAP + self.start().0) as *mut T
    }
}
