//! Credit: how much may be sent, and how much may still come.
//!
//! A DATA frame costs its header and its payload. That bounds all that can be under way, however
//! small the frames are, and the host's end needs that bound: QEMU's virtio-console drops what its
//! character device does not take at once, so the host gives it a pipe with room for everything.
//!
//! Invariant: what the receiver holds unread is never more than its window, and credit is neither
//! made nor lost: sent and not yet consumed bytes + the sender's credit + credit on its way or
//! not yet returned = the window.

use crate::{DATA_MAX, Error, HEADER_LEN, INITIAL_CREDIT};

/// The sender's side of one stream.
#[derive(Clone, Copy, Debug)]
pub struct SendCredit {
    available: u32,
}

impl Default for SendCredit {
    fn default() -> Self {
        Self::new()
    }
}

impl SendCredit {
    /// The start of a link.
    #[must_use]
    pub const fn new() -> Self {
        Self { available: INITIAL_CREDIT }
    }

    /// Bytes of payload that the next DATA frame may carry.
    #[must_use]
    pub const fn available(&self) -> usize {
        let room = (self.available as usize).saturating_sub(HEADER_LEN);
        if room < DATA_MAX { room } else { DATA_MAX }
    }

    /// Takes credit for one DATA frame of up to `wanted` bytes of payload and says how many it may
    /// carry; zero, and no frame may be sent, if there is too little.
    #[must_use = "only so many bytes may be sent"]
    pub fn take(&mut self, wanted: usize) -> usize {
        let payload = wanted.min(self.available());
        if payload > 0 {
            self.available -= (HEADER_LEN + payload) as u32;
        }
        payload
    }

    /// A CREDIT frame came.
    ///
    /// # Errors
    /// [`Error::Credit`] if the sum is no u32.
    pub fn add(&mut self, bytes: u32) -> Result<(), Error> {
        self.available = self.available.checked_add(bytes).ok_or(Error::Credit)?;
        Ok(())
    }
}

/// The receiver's side of one stream, with a window of [`INITIAL_CREDIT`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveCredit {
    /// Bytes that the other side may still send.
    granted: u32,
    /// Bytes consumed here for which no credit was returned yet.
    owed: u32,
}

impl Default for ReceiveCredit {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveCredit {
    /// The start of a link.
    #[must_use]
    pub const fn new() -> Self {
        Self { granted: INITIAL_CREDIT, owed: 0 }
    }

    /// DATA of a cost of `bytes` (see [`crate::Event::Data`]) came from the other side.
    ///
    /// # Errors
    /// [`Error::Overrun`] if it had no credit for them: the link is to be given up.
    pub fn received(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let left = self.granted.checked_sub(bytes);
        self.granted = left.ok_or_else(|| Error::Overrun(bytes - self.granted))?;
        Ok(())
    }

    /// DATA of a cost of `bytes` has been passed on. When half of the window is free again this is the
    /// amount to send in a CREDIT frame; below that a frame is not worth its way.
    #[must_use = "the amount must be sent in a CREDIT frame"]
    pub fn consumed(&mut self, bytes: usize) -> Option<u32> {
        let held = INITIAL_CREDIT - self.granted - self.owed;
        debug_assert!(bytes <= held as usize, "consumed more than came");
        self.owed += held.min(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.owed < INITIAL_CREDIT / 2 {
            return None;
        }
        self.granted += self.owed;
        Some(core::mem::take(&mut self.owed))
    }
}
