//! What the kernel knows of a core.
use super::{SLICE_NS, SLICES};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};
use serix_core::DomainId;
use serix_core::slices::{Slice, SliceVector};
use serix_hal::cpu::local::MAX_CORES;

/// Who calls when a core's ring 3 does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) domain: u32,
    pub(crate) environment: u32,
    pub(crate) dispatcher: u32,
    pub(crate) core: u32,
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
    /// For when the timer is set; `u64::MAX`: it is not.
    pub(super) timer: u64,
    /// It waits for an interrupt, or is about to.
    pub(super) idle: bool,
    /// The domain in whose slice it runs lost its last slice here: look when it leaves.
    pub(super) lost_slices: bool,
    /// Another core took what runs here off its domain: it must not call on.
    pub(crate) evicted: bool,
}

/// The cores, by number. There is a place for each that there could be, so that a number that was checked once is known to be
/// one.
pub(crate) struct Cores {
    all: Box<[Core; MAX_CORES]>,
    count: usize,
}

impl Cores {
    /// So many cores, whose slices are nobody's.
    pub(crate) fn new(count: usize) -> Self {
        let all: Vec<Core> =
            (0..MAX_CORES).map(|core| Core::new(if core < count { SLICES } else { 0 })).collect();
        let all = all.into_boxed_slice().try_into();
        Self { all: all.unwrap_or_else(|_| unreachable!("as many as there could be")), count }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Those that there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Core> {
        self.all[..self.count].iter()
    }

    /// A core, if there is one of this number.
    pub(crate) fn get_mut(&mut self, core: usize) -> Option<&mut Core> {
        self.all[..self.count].get_mut(core)
    }
}

impl Index<usize> for Cores {
    type Output = Core;
    #[inline(always)]
    fn index(&self, core: usize) -> &Core {
        &self.all[core]
    }
}

impl IndexMut<usize> for Cores {
    #[inline(always)]
    fn index_mut(&mut self, core: usize) -> &mut Core {
        &mut self.all[core]
    }
}

impl Core {
    /// A core with so many slices, which are nobody's.
    fn new(slice_count: usize) -> Self {
        let nobody = Slice { owner: DomainId::NONE, length_ns: SLICE_NS };
        let mut slices = Vec::new();
        slices.resize(slice_count, nobody);
        Self {
            slices: SliceVector::new(Vec::leak(slices)),
            running: None,
            caller: Caller::default(),
            owner: 0,
            slice_end: 0,
            timer: u64::MAX,
            idle: false,
            lost_slices: false,
            evicted: false,
        }
    }
}
