//! virtio-blk (virtio 1.2, 5.2): requests in flight, data straight to and from ring 3's frames.
use super::runs::Runs;
use super::virtio::{Features, Found, KernelHal, acknowledge, open, route_interrupts};
use crate::memory::frames::FrameTable;
use alloc::boxed::Box;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, SomeTransport, Transport};

const QUEUE_SIZE: usize = 256;
/// Requests in flight: each takes up to six descriptors.
pub const REQUESTS: usize = 32;

/// Feature bits (virtio 1.2, 5.2.3 and 6).
const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_FLUSH: u64 = 1 << 9;
const FEATURE_VERSION_1: u64 = 1 << 32;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// Device to memory.
    Read = 0,
    /// Memory to device.
    Write = 1,
    /// Make completed writes durable.
    Flush = 4,
}

/// A request's device-visible header and status.
#[repr(C, align(32))]
struct Envelope {
    header: [u8; 16],
    status: u8,
}

struct Request {
    token: u16,
    tag: u64,
    operation: Operation,
    runs: Runs,
}

/// A disk.
pub struct BlockDevice {
    found: Found,
    vector: u8,
    apic_id: u32,
    transport: SomeTransport<'static>,
    queue: VirtQueue<KernelHal, QUEUE_SIZE>,
    envelopes: Box<[Envelope; REQUESTS]>,
    requests: [Option<Request>; REQUESTS],
    capacity: u64,
    read_only: bool,
    can_flush: bool,
    up: bool,
}

/// A request that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// What `submit` was given.
    pub tag: u64,
    /// Whether the device did it.
    pub ok: bool,
    /// Bytes transferred.
    pub length: u32,
}

/// Brings the device from whatever state it is in to running, with an empty queue: its features, and the queue.
fn bring_up(
    transport: &mut SomeTransport<'static>,
    found: &Found,
    vector: u8,
    apic_id: u32,
) -> Option<(u64, VirtQueue<KernelHal, QUEUE_SIZE>)> {
    let features = transport
        .begin_init(Features::from_bits_retain(
            FEATURE_READ_ONLY | FEATURE_FLUSH | FEATURE_VERSION_1,
        ))
        .bits();
    if !route_interrupts(found, 1, vector, apic_id) {
        return None;
    }
    let queue = VirtQueue::new(transport, 0, false, false).ok()?;
    transport.finish_init();
    Some((features, queue))
}

impl BlockDevice {
    /// Starts a disk; `None` if it does not come up.
    #[must_use]
    pub fn start(found: &Found, vector: u8, apic_id: u32) -> Option<Self> {
        let mut transport = open(found)?;
        let (features, queue) = bring_up(&mut transport, found, vector, apic_id)?;
        // Two halves: the configuration is only 4-byte aligned (virtio 1.2, 4.1.4.6).
        let half = |at| transport.read_config_space::<u32>(at).map(u64::from);
        let capacity = transport.read_consistent(|| Ok(half(4)? << 32 | half(0)?)).ok()?;
        Some(Self {
            found: *found,
            vector,
            apic_id,
            transport,
            queue,
            envelopes: Box::new([const { Envelope { header: [0; 16], status: 0 } }; REQUESTS]),
            requests: [const { None }; REQUESTS],
            capacity,
            read_only: features & FEATURE_READ_ONLY != 0,
            can_flush: features & FEATURE_FLUSH != 0,
            up: true,
        })
    }

    /// Sectors of 512 bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether the device refuses writes.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Starts a request; false if the device is full or a frame is not ring 3's. `tag` comes back in [`Completed`].
    pub fn submit(
        &mut self,
        frames: &mut FrameTable,
        operation: Operation,
        sector: u64,
        runs: Runs,
        tag: u64,
    ) -> bool {
        let Some(slot) = self.requests.iter().position(Option::is_none) else { return false };
        if operation == Operation::Flush && !self.can_flush {
            // Without the feature, completed writes are durable (virtio 1.2, 5.2.5.2): read nothing, fast and honest.
            return false;
        }
        if !runs.pin(frames) {
            return false;
        }
        self.envelopes[slot].header[..4].copy_from_slice(&(operation as u32).to_le_bytes());
        self.envelopes[slot].header[8..].copy_from_slice(&sector.to_le_bytes());
        self.envelopes[slot].status = 0xFF;
        let added = with_buffers(&mut self.envelopes[slot], operation, &runs, |inputs, outputs| {
            // SAFETY: envelope and pinned frames stay until `complete` pops this token.
            unsafe { self.queue.add(inputs, outputs) }
        });
        let Ok(token) = added else {
            runs.unpin(frames);
            return false;
        };
        self.requests[slot] = Some(Request { token, tag, operation, runs });
        if self.queue.should_notify() {
            self.transport.notify(0);
        }
        true
    }

    /// Whether it takes another request.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.requests.iter().any(Option::is_none)
    }

    /// Whether a request with such a tag is in flight.
    #[must_use]
    pub fn has(&self, matches: impl Fn(u64) -> bool) -> bool {
        self.requests.iter().flatten().any(|request| matches(request.tag))
    }

    /// Resets the device, so that it lets go of every frame; false if it does not come up again. Hands each request that was in
    /// flight to `failed`.
    pub fn reset(&mut self, frames: &mut FrameTable, mut failed: impl FnMut(Completed)) -> bool {
        self.transport.set_status(DeviceStatus::empty());
        for request in self.requests.iter_mut().filter_map(Option::take) {
            request.runs.unpin(frames);
            failed(Completed { tag: request.tag, ok: false, length: 0 });
        }
        let up = bring_up(&mut self.transport, &self.found, self.vector, self.apic_id);
        self.up = up.is_some();
        if let Some((_, queue)) = up {
            self.queue = queue;
        }
        self.up
    }

    /// Whether it came up after the last reset.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether the device can flush its cache.
    #[must_use]
    pub fn can_flush(&self) -> bool {
        self.can_flush
    }

    /// Takes one ended request.
    pub fn complete(&mut self, frames: &mut FrameTable) -> Option<Completed> {
        acknowledge(&mut self.transport);
        let token = self.queue.peek_used()?;
        let slot = self
            .requests
            .iter()
            .position(|request| request.as_ref().is_some_and(|request| request.token == token))?;
        let request = self.requests[slot].take()?;
        let popped = with_buffers(
            &mut self.envelopes[slot],
            request.operation,
            &request.runs,
            |inputs, outputs| {
                // SAFETY: the same buffers as in `submit`.
                unsafe { self.queue.pop_used(token, inputs, outputs) }
            },
        );
        request.runs.unpin(frames);
        let ok = popped.is_ok() && self.envelopes[slot].status == 0;
        Some(Completed { tag: request.tag, ok, length: if ok { request.runs.length() } else { 0 } })
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.requests.iter().flatten().count()
    }
}

/// Calls `f` with the buffers of a request as the queue wants them: header and data to write, data to read and status.
fn with_buffers<R>(
    envelope: &mut Envelope,
    operation: Operation,
    runs: &Runs,
    f: impl for<'a> FnOnce(&'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> R,
) -> R {
    let Envelope { header, status } = envelope;
    let status = core::slice::from_mut(status);
    let count = runs.count();
    if operation == Operation::Read {
        // SAFETY: the caller pinned the runs; the queue only takes addresses.
        let [a, b, c, d] = unsafe { runs.slices_mut() };
        let mut outputs = [a, b, c, d, &mut [][..]];
        outputs[count] = status;
        f(&[&header[..]], &mut outputs[..=count])
    } else {
        // SAFETY: as above.
        let [a, b, c, d] = unsafe { runs.slices() };
        f(&[&header[..], a, b, c, d][..=count], &mut [status])
    }
}
