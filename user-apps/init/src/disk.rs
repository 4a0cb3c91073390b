//! Init's own transfers: reading partition tables, and the status for the host.

use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_abi::FOREVER;
use serix_abi::PAGE_SIZE;
use serix_block::{BlockDevice, BlockError, Page, SECTOR_SIZE};
use serix_link::{CONTROL_MAX, Cause, HEADER_LEN, Hello, Status};
use serix_sys::{Slot, call};
use serix_transfer::raw::RingMemory;
use serix_transfer::{BlockExtent, FrameMemory, Ring, StreamWriter, TransferError, block_on};

use crate::frames::Piece;
use crate::gpt::{GptError, Sectors, Table};
use crate::inventory::DiskDevice;
use crate::machine::{Machine, bits};
use crate::raw::IoMemory;

/// Frames that transfers need: the ring's and 64 KiB of buffer.
pub const FRAMES: u64 = 17;
/// Pages read at a time.
const READ_PAGES: usize = 16;

/// A ring of init's own.
pub struct Transfers {
    ring: Arc<Ring>,
    memory: IoMemory,
    event: Slot,
}

impl Transfers {
    /// A ring whose page is the first frame of `piece`, with the memory around it.
    ///
    /// # Errors
    /// As `serix_abi::Call::RingCreate`.
    pub fn new(
        machine: &mut Machine,
        (memory, ring): (IoMemory, RingMemory),
        piece: Piece,
    ) -> serix_sys::Result<Self> {
        let event = machine.event;
        let slot = machine
            .account
            .paying(|| call::ring_create(piece.slot, piece.first, event, bits::TRANSFER))?;
        Ok(Self { ring: Ring::new(ring, Slot(slot as u32)), memory, event })
    }

    /// Waits for completions.
    fn wait(&self) {
        // An error would show as a transfer that never ends; there is none for a wait without a deadline.
        let _ = call::event_wait(self.event, bits::TRANSFER, FOREVER);
        self.ring.process();
    }

    /// The partition table of a disk.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn table(&self, disk: DiskDevice) -> Result<Table, GptError> {
        let (ring, memory) = (self.ring.clone(), self.memory.clone());
        let extent = BlockExtent::new(ring, memory, disk.slot.0, disk.sectors, false);
        Table::read(&mut Device { transfers: self, extent })
    }

    /// Sends HELLO and STATUS, all that a host hears of sessions that do not speak for themselves.
    ///
    /// # Errors
    /// As the kernel tells.
    pub fn send_status(
        &self,
        link: Slot,
        code: i32,
        cause: Cause,
        message: &[u8],
    ) -> Result<(), TransferError> {
        let mut frame = [0; HEADER_LEN + CONTROL_MAX];
        let length = Status { code, cause, message }.encode(&mut frame);
        let mut writer = StreamWriter::new(self.ring.clone(), &self.memory, link.0, 1)?;
        block_on(writer.write(&Hello::PLAIN.encode()), || self.wait())?;
        block_on(writer.write(&frame[..length]), || self.wait())
    }
}

/// A disk behind the ring.
struct Device<'a> {
    transfers: &'a Transfers,
    extent: BlockExtent<IoMemory>,
}

impl Sectors for Device<'_> {
    fn count(&self) -> u64 {
        self.extent.sector_count()
    }

    fn read(&mut self, first: u64, into: &mut [u8]) -> Result<(), BlockError> {
        const SECTORS_PER_PAGE: u64 = (PAGE_SIZE / SECTOR_SIZE) as u64;
        let mut sector = first;
        for piece in into.chunks_mut(READ_PAGES * PAGE_SIZE) {
            let wanted = piece.len().div_ceil(PAGE_SIZE);
            let memory = &self.transfers.memory;
            let pages: Vec<_> = (0..wanted).map_while(|_| memory.allocate_page()).collect();
            if pages.len() < wanted {
                return Err(BlockError::Io);
            }
            let count = (piece.len() / SECTOR_SIZE) as u32;
            block_on(self.extent.read(sector, count, 0, &pages), || self.transfers.wait())?;
            for (page, part) in pages.iter().zip(piece.chunks_mut(PAGE_SIZE)) {
                page.read(0, part);
            }
            sector += wanted as u64 * SECTORS_PER_PAGE;
        }
        Ok(())
    }
}
