//! What the kernel knows of a core.
use super::{SLICE_NS, SLICES};
use alloc::vec::Vec;
use serix_core::DomainId;
use serix_core::slices::{Slice, SliceVector};

/// Who calls when a core's ring 3 does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) domain: u32,
    pub(crate) environment: u32,
    pub(crate) dispatcher: u32,
}

/// A core, under the kernel lock.
#[repr(align(64))]
pub(crate) struct Core {
    /// Its slices.
    pub(crate) slices: SliceVector<'static>,
    /// The dispatcher whose context is current on it.
    pub(crate) running: Option<u32>,
    /// That dispatcher, as the caller of native calls.
    pub(crate) caller: Caller,
    /// The domain whose slice it is.
    pub(super) owner: u32,
    /// When the slice ends.
    pub(super) slice_end: u64,
    /// For when the timer is set.
    pub(super) timer: u64,
    /// It waits for an interrupt, or is about to.
    pub(super) idle: bool,
    /// The domain in whose slice it runs lost its last slice here: look when it leaves.
    pub(super) lost_slices: bool,
    /// Another core took what runs here off its domain: it must not call on.
    pub(crate) evicted: bool,
}

impl Core {
    /// A core whose slices are nobody's.
    pub(crate) fn new() -> Self {
        let nobody = Slice { owner: DomainId::NONE, length_ns: SLICE_NS };
        let mut slices = Vec::new();
        slices.resize(SLICES, nobody);
        Self {
            slices: SliceVector::new(Vec::leak(slices)),
            running: None,
            caller: Caller::default(),
            owner: 0,
            slice_end: 0,
            timer: 0,
            idle: false,
            lost_slices: false,
            evicted: false,
        }
    }
}
