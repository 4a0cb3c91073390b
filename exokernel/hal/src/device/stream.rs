//! virtio-console with one port (virtio 1.2, 5.3): a byte stream, straight to and from ring 3's frames.
use super::block::Completed;
use super::runs::Runs;
use super::virtio::{Features, Found, KernelHal, open, route_interrupts};
use crate::memory::frames::FrameTable;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::transport::pci::PciTransport;

const QUEUE_SIZE: usize = 64;
/// Transfers in flight in each direction: each takes up to four descriptors.
pub const TRANSFERS: usize = 16;
const FEATURE_VERSION_1: u64 = 1 << 32;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

struct Transfer {
    token: u16,
    tag: u64,
    runs: Runs,
}

/// A byte stream to the host.
pub struct StreamDevice {
    transport: PciTransport,
    receive: VirtQueue<KernelHal, QUEUE_SIZE>,
    transmit: VirtQueue<KernelHal, QUEUE_SIZE>,
    reads: [Option<Transfer>; TRANSFERS],
    writes: [Option<Transfer>; TRANSFERS],
}

impl StreamDevice {
    /// Starts a stream; `None` if it does not come up.
    #[must_use]
    pub fn start(found: &Found, vector: u8, apic_id: u32) -> Option<Self> {
        let mut transport = open(found)?;
        transport.begin_init(Features::from_bits_retain(FEATURE_VERSION_1));
        if !route_interrupts(found, 2, vector, apic_id) {
            return None;
        }
        let receive = VirtQueue::new(&mut transport, RECEIVE, false, false).ok()?;
        let transmit = VirtQueue::new(&mut transport, TRANSMIT, false, false).ok()?;
        transport.finish_init();
        Some(Self {
            transport,
            receive,
            transmit,
            reads: [const { None }; TRANSFERS],
            writes: [const { None }; TRANSFERS],
        })
    }

    /// Starts a read of at least one byte into `runs`; false if the device is full or a frame is not ring 3's.
    pub fn read(&mut self, frames: &mut FrameTable, runs: Runs, tag: u64) -> bool {
        let Some(slot) = self.reads.iter().position(Option::is_none) else { return false };
        if runs.count() == 0 || !runs.pin(frames) {
            return false;
        }
        // SAFETY: pinned until `complete`; the queue only takes addresses.
        let added = unsafe { self.receive.add(&[], &mut runs.slices_mut()[..runs.count()]) };
        let Ok(token) = added else {
            runs.unpin(frames);
            return false;
        };
        self.reads[slot] = Some(Transfer { token, tag, runs });
        if self.receive.should_notify() {
            self.transport.notify(RECEIVE);
        }
        true
    }

    /// Starts a write of `runs`; false as in [`Self::read`].
    pub fn write(&mut self, frames: &mut FrameTable, runs: Runs, tag: u64) -> bool {
        let Some(slot) = self.writes.iter().position(Option::is_none) else { return false };
        if runs.count() == 0 || !runs.pin(frames) {
            return false;
        }
        // SAFETY: as in `read`.
        let added = unsafe { self.transmit.add(&runs.slices()[..runs.count()], &mut []) };
        let Ok(token) = added else {
            runs.unpin(frames);
            return false;
        };
        self.writes[slot] = Some(Transfer { token, tag, runs });
        if self.transmit.should_notify() {
            self.transport.notify(TRANSMIT);
        }
        true
    }

    /// Takes one ended transfer.
    pub fn complete(&mut self, frames: &mut FrameTable) -> Option<Completed> {
        if let Some(token) = self.receive.peek_used() {
            let transfer = take(&mut self.reads, token)?;
            // SAFETY: the same buffers as in `read`.
            let length = unsafe {
                self.receive.pop_used(
                    token,
                    &[],
                    &mut transfer.runs.slices_mut()[..transfer.runs.count()],
                )
            };
            transfer.runs.unpin(frames);
            let length = length.unwrap_or(0).min(transfer.runs.length());
            return Some(Completed { tag: transfer.tag, ok: true, length });
        }
        let token = self.transmit.peek_used()?;
        let transfer = take(&mut self.writes, token)?;
        // SAFETY: the same buffers as in `write`.
        let popped = unsafe {
            self.transmit.pop_used(token, &transfer.runs.slices()[..transfer.runs.count()], &mut [])
        };
        transfer.runs.unpin(frames);
        Some(Completed { tag: transfer.tag, ok: popped.is_ok(), length: transfer.runs.length() })
    }

    /// Transfers in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.reads.iter().chain(&self.writes).flatten().count()
    }
}

fn take(transfers: &mut [Option<Transfer>], token: u16) -> Option<Transfer> {
    transfers
        .iter_mut()
        .find(|transfer| transfer.as_ref().is_some_and(|transfer| transfer.token == token))?
        .take()
}
