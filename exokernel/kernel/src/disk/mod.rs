//! Disks and the link: transfers between devices and frames of domains, through shared rings.
pub(crate) mod ring;
mod transfer;
mod turn;

pub(crate) use turn::Queue;

use alloc::vec::Vec;
use serix_hal::device::disk::Disk;
use serix_hal::device::stream::StreamDevice;

/// Device numbers of consoles.
pub(crate) const CONSOLE_LOG: u32 = 0;
/// See [`CONSOLE_LOG`].
pub(crate) const CONSOLE_LINK: u32 = 1;

/// The devices that the kernel drives.
pub(crate) struct Devices {
    pub(crate) disks: Vec<Disk>,
    /// Who waits for each of them.
    pub(crate) queues: Vec<Queue>,
    pub(crate) link: Option<StreamDevice>,
}
