//! Names of the kernel's tables' entries.
//!
//! Small integers with a type each, so that one is not taken for another.

/// A domain. Zero is no domain: a free frame's owner, a bearer token's audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct DomainId(pub u32);

impl DomainId {
    /// No domain.
    pub const NONE: Self = Self(0);
}

/// A grant node. `u32::MAX` is no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// No node.
    pub const NONE: Self = Self(u32::MAX);

    /// This node, unless it is none.
    #[inline]
    #[must_use]
    pub fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// A page frame: its physical address divided by 4096. Reaches 16 TiB. `u32::MAX` is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Frame(pub u32);

impl Frame {
    /// No frame.
    pub const NONE: Self = Self(u32::MAX);

    /// This frame, unless it is none.
    #[inline]
    #[must_use]
    pub fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}
