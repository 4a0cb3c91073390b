//! virtio-console with one port (virtio 1.2, 5.3): a byte stream, straight to and from ring 3's frames.
use super::block::Completed;
use super::runs::Runs;
use super::virtio::{Features, Found, KernelHal, acknowledge, open, route_interrupts};
use crate::memory::frames::FrameTable;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, SomeTransport, Transport};

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

type Queue = VirtQueue<KernelHal, QUEUE_SIZE>;

/// Both directions of the device.
struct Queues {
    receive: Queue,
    transmit: Queue,
}

/// A byte stream to the host.
pub struct StreamDevice {
    found: Found,
    vector: u8,
    apic_id: u32,
    transport: SomeTransport<'static>,
    queues: Queues,
    reads: [Option<Transfer>; TRANSFERS],
    writes: [Option<Transfer>; TRANSFERS],
}

/// Brings the device from whatever state it is in to running, with empty queues.
fn bring_up(
    transport: &mut SomeTransport<'static>,
    found: &Found,
    vector: u8,
    apic_id: u32,
) -> Option<Queues> {
    transport.begin_init(Features::from_bits_retain(FEATURE_VERSION_1));
    if !route_interrupts(found, 2, vector, apic_id) {
        return None;
    }
    let receive = VirtQueue::new(transport, RECEIVE, false, false).ok()?;
    let transmit = VirtQueue::new(transport, TRANSMIT, false, false).ok()?;
    transport.finish_init();
    Some(Queues { receive, transmit })
}

impl StreamDevice {
    /// Starts a stream; `None` if it does not come up.
    #[must_use]
    pub fn start(found: &Found, vector: u8, apic_id: u32) -> Option<Self> {
        let mut transport = open(found)?;
        let queues = bring_up(&mut transport, found, vector, apic_id)?;
        Some(Self {
            found: *found,
            vector,
            apic_id,
            transport,
            queues,
            reads: [const { None }; TRANSFERS],
            writes: [const { None }; TRANSFERS],
        })
    }

    /// Resets the device, so that it lets go of every frame; false if it does not come up again. Hands each transfer that was
    /// in flight to `failed`.
    pub fn reset(&mut self, frames: &mut FrameTable, mut failed: impl FnMut(Completed)) -> bool {
        self.transport.set_status(DeviceStatus::empty());
        for place in self.reads.iter_mut().chain(&mut self.writes) {
            if let Some(transfer) = place.take() {
                transfer.runs.unpin(frames);
                failed(Completed { tag: transfer.tag, ok: false, length: 0 });
            }
        }
        match bring_up(&mut self.transport, &self.found, self.vector, self.apic_id) {
            Some(queues) => {
                self.queues = queues;
                true
            }
            None => false,
        }
    }

    /// Whether a transfer with such a tag is in flight.
    #[must_use]
    pub fn has(&self, matches: impl Fn(u64) -> bool) -> bool {
        self.reads.iter().chain(&self.writes).flatten().any(|transfer| matches(transfer.tag))
    }

    /// Starts a read of at least one byte into `runs`; false if the device is full or a frame is not ring 3's.
    pub fn read(&mut self, frames: &mut FrameTable, runs: Runs, tag: u64) -> bool {
        let Some(slot) = self.reads.iter().position(Option::is_none) else { return false };
        if runs.count() == 0 || !runs.pin(frames) {
            return false;
        }
        // SAFETY: pinned until `complete`; the queue only takes addresses.
        let added = unsafe { self.queues.receive.add(&[], &mut runs.slices_mut()[..runs.count()]) };
        let Ok(token) = added else {
            runs.unpin(frames);
            return false;
        };
        self.reads[slot] = Some(Transfer { token, tag, runs });
        if self.queues.receive.should_notify() {
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
        let added = unsafe { self.queues.transmit.add(&runs.slices()[..runs.count()], &mut []) };
        let Ok(token) = added else {
            runs.unpin(frames);
            return false;
        };
        self.writes[slot] = Some(Transfer { token, tag, runs });
        if self.queues.transmit.should_notify() {
            self.transport.notify(TRANSMIT);
        }
        true
    }

    /// Takes one ended transfer.
    pub fn complete(&mut self, frames: &mut FrameTable) -> Option<Completed> {
        acknowledge(&mut self.transport);
        if let Some(token) = self.queues.receive.peek_used() {
            let transfer = take(&mut self.reads, token)?;
            // SAFETY: the same buffers as in `read`.
            let length = unsafe {
                self.queues.receive.pop_used(
                    token,
                    &[],
                    &mut transfer.runs.slices_mut()[..transfer.runs.count()],
                )
            };
            transfer.runs.unpin(frames);
            let length = length.unwrap_or(0).min(transfer.runs.length());
            return Some(Completed { tag: transfer.tag, ok: true, length });
        }
        let token = self.queues.transmit.peek_used()?;
        let transfer = take(&mut self.writes, token)?;
        // SAFETY: the same buffers as in `write`.
        let popped = unsafe {
            self.queues.transmit.pop_used(
                token,
                &transfer.runs.slices()[..transfer.runs.count()],
                &mut [],
            )
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
