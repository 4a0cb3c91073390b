//! Address spaces of sessions that do not run yet, and the frames of accounts.

use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::map::MapFlags;
use serix_session::{INFO_ADDRESS, WINDOW_TOP_SLOT};
use serix_sys::{Result, Slot, call, environment, memory};

use crate::frames::Piece;

/// An environment or subtree of another domain: nothing in it is memory of this program.
#[derive(Clone, Copy)]
pub struct Space(Slot);

impl Space {
    /// An empty environment with its page-table window, in `domain` and paid by it.
    ///
    /// # Errors
    /// As `serix_abi::Call::EnvironmentCreate`.
    pub fn environment(domain: Slot) -> Result<Self> {
        call::environment_create(domain, WINDOW_TOP_SLOT).map(|slot| Self(Slot(slot as u32)))
    }

    /// An empty subtree, in `domain` and paid by it.
    ///
    /// # Errors
    /// As `serix_abi::Call::SubtreeCreate`.
    pub fn subtree(domain: Slot) -> Result<Self> {
        call::subtree_create(domain).map(|slot| Self(Slot(slot as u32)))
    }

    /// Its slot.
    #[must_use]
    pub const fn slot(self) -> Slot {
        self.0
    }

    /// Maps a run of frames that the domain owns.
    ///
    /// # Errors
    /// As `serix_abi::Call::MapRange`.
    pub fn map(self, address: u64, frames: Piece, flags: MapFlags) -> Result<()> {
        // SAFETY: the space is another domain's.
        unsafe {
            memory::map_range(self.0, address, frames.slot, frames.first, frames.count, flags)
        }
    }

    /// Attaches a subtree, writable.
    ///
    /// # Errors
    /// As `serix_abi::Call::Attach`.
    pub fn attach(self, top_slot: u64, subtree: Self) -> Result<()> {
        // SAFETY: the space is another domain's.
        unsafe { memory::attach(self.0, top_slot, subtree.0, true) }
    }

    /// Maps the information page at its usual place.
    ///
    /// # Errors
    /// As `serix_abi::Call::InfoMap`.
    pub fn map_info(self) -> Result<()> {
        // SAFETY: the space is another domain's.
        unsafe { memory::info_map(self.0, INFO_ADDRESS) }
    }

    /// Gives the environment its first dispatcher.
    ///
    /// # Errors
    /// As `serix_abi::Call::DispatcherCreate`.
    pub fn dispatcher(self, parameters: &DispatcherParameters) -> Result<()> {
        // SAFETY: what runs there is another domain's business; nothing of this program is mapped in it.
        unsafe { environment::dispatcher_create(self.0, parameters) }.map(drop)
    }
}

/// Hands frames over to the account of a domain (`Slot::NONE`: init's).
///
/// # Errors
/// As `serix_abi::Call::Fund`; `Busy` if one is mapped.
pub fn fund(domain: Slot, frames: Piece) -> Result<()> {
    // SAFETY: the kernel refuses mapped frames, so no memory that Rust code sees goes away.
    unsafe { call::fund(domain, frames.slot, frames.first, frames.count) }
}
