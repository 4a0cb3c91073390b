//! Tables of kernel objects. Each object lives in a frame that an account paid for.
use alloc::vec::Vec;
use serix_hal::memory::frames::OwnedFrame;
use serix_hal::memory::object::FrameBox;

/// Objects of one type, by index. The capacity is fixed at boot, so nothing here allocates later.
pub(crate) struct Table<T: 'static> {
    entries: Vec<Option<FrameBox<T>>>,
    free: Vec<u32>,
}

impl<T> Table<T> {
    /// A table for at most `capacity` objects.
    pub(crate) fn new(capacity: u32) -> Self {
        let mut entries = Vec::new();
        entries.resize_with(capacity as usize, || None);
        Self { entries, free: (0..capacity).rev().collect() }
    }

    /// Most objects at once.
    pub(crate) fn capacity(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The index that the next object gets; `None` when the table is full.
    pub(crate) fn next(&self) -> Option<u32> {
        self.free.last().copied()
    }

    /// Never gives the index that is next again.
    pub(crate) fn retire_next(&mut self) {
        self.free.pop();
    }

    /// Puts an object at [`Self::next`].
    pub(crate) fn insert(&mut self, frame: OwnedFrame, value: T) -> u32 {
        let index = self.free.pop().expect("the caller asked `next`");
        self.entries[index as usize] = Some(FrameBox::new(frame, value));
        index
    }

    /// Removes an object and gives its frame back.
    pub(crate) fn remove(&mut self, index: u32) -> Option<OwnedFrame> {
        let object = self.entries.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(object.into_frame())
    }

    /// Removes an object and gives its frame back, and the value.
    pub(crate) fn remove_value(&mut self, index: u32) -> Option<(OwnedFrame, T)> {
        let object = self.entries.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(object.into_parts())
    }

    /// Indices come from bindings and other objects, never from ring 3, so they need no mask against speculation.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        Some(self.entries.get(index as usize)?.as_ref()?)
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        Some(self.entries.get_mut(index as usize)?.as_mut()?)
    }

    /// Two objects at once; `None` if one is not there, or they are the same.
    #[inline(always)]
    pub(crate) fn pair_mut(&mut self, one: u32, other: u32) -> Option<(&mut T, &mut T)> {
        let both = self.entries.get_disjoint_mut([one as usize, other as usize]).ok()?;
        let [one, other] = both;
        Some((one.as_mut()?, other.as_mut()?))
    }

    /// An object's box.
    #[inline(always)]
    pub(crate) fn box_mut(&mut self, index: u32) -> Option<&mut FrameBox<T>> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    /// A box, and another object if it is there; `None` if they are the same.
    #[inline(always)]
    pub(crate) fn box_and_other(
        &mut self,
        index: u32,
        other: u32,
    ) -> Option<(&mut FrameBox<T>, Option<&mut T>)> {
        let both = self.entries.get_disjoint_mut([index as usize, other as usize]).ok()?;
        let [one, other] = both;
        Some((one.as_mut()?, other.as_mut().map(|other| &mut **other)))
    }
}
