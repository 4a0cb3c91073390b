//! The ring, extents and streams against a device that the test plays.
use crate::raw::device::KernelSide;
use crate::{
    BlockExtent, Doorbell, FrameAddress, FrameMemory, Ring, StreamReader, StreamWriter, block_on,
};
use serix_abi::ring::{Completion, SECTOR_SIZE, Submission, operation, status};
use serix_block::host::HostPage;
use serix_block::{BlockDevice, BlockError, PAGE_SIZE, Page};
use std::boxed::Box;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::vec;
use std::vec::Vec;

const EXTENT: u32 = 7;
const LINK: u32 = 9;

/// Frames of two slots; unit numbers are places in the vector.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<(FrameAddress, HostPage)>>>);

impl Memory {
    fn at(&self, slot: u32, unit: u32) -> HostPage {
        let (page, address) = (HostPage::zeroed(), FrameAddress { slot, unit });
        self.0.lock().unwrap().push((address, page.clone()));
        page
    }
    fn page(&self, slot: u32, unit: u32) -> HostPage {
        let pages = self.0.lock().unwrap();
        let wanted = FrameAddress { slot, unit };
        pages.iter().find(|(at, _)| *at == wanted).expect("a frame of the memory").1.clone()
    }
}

impl FrameMemory for Memory {
    type Page = HostPage;
    fn allocate_page(&self) -> Option<HostPage> {
        let unit = 1000 + self.0.lock().unwrap().len() as u32;
        Some(self.at(1, unit))
    }
    fn locate(&self, page: &HostPage) -> FrameAddress {
        let pages = self.0.lock().unwrap();
        pages.iter().find(|(_, other)| other.same(page)).expect("a page of the memory").0
    }
}

#[derive(Clone, Default)]
struct Bell(Arc<AtomicUsize>);
impl Doorbell for Bell {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A disk and a loop-back stream.
struct Device {
    kernel: KernelSide,
    memory: Memory,
    disk: Vec<u8>,
    stream: VecDeque<u8>,
    seen: Vec<Submission>,
    busy: usize,
}

impl Device {
    fn new(sectors: usize) -> (Self, Arc<Ring>, Memory, Bell) {
        let (kernel, memory, bell) = (KernelSide::new(), Memory::default(), Bell::default());
        let ring = Ring::new(kernel.memory(), bell.clone());
        let device = Self {
            kernel,
            memory: memory.clone(),
            disk: vec![0; sectors * SECTOR_SIZE],
            stream: VecDeque::new(),
            seen: Vec::new(),
            busy: 0,
        };
        (device, ring, memory, bell)
    }

    /// Serves all that was submitted.
    fn serve(&mut self) {
        while let Some(submission) = self.kernel.take() {
            let (status, length) = self.act(&submission);
            self.seen.push(submission);
            self.kernel.complete(Completion { cookie: submission.cookie, status, length });
        }
    }

    fn act(&mut self, s: &Submission) -> (u32, u32) {
        if self.busy > 0 {
            self.busy -= 1;
            return (status::BUSY, 0);
        }
        let start = s.sector as usize * SECTOR_SIZE;
        match s.operation {
            operation::FLUSH => (status::OK, 0),
            operation::READ => {
                let bytes = self.disk[start..start + s.length as usize].to_vec();
                self.scatter(s, &bytes);
                (status::OK, s.length)
            }
            operation::WRITE => {
                let bytes = self.gather(s);
                self.disk[start..start + bytes.len()].copy_from_slice(&bytes);
                (status::OK, s.length)
            }
            operation::STREAM_WRITE => {
                // At most 1000 bytes at a time, as a device may.
                let bytes = self.gather(s);
                let part = bytes.len().min(1000);
                self.stream.extend(&bytes[..part]);
                (status::OK, part as u32)
            }
            operation::STREAM_READ => {
                let part = self.stream.len().min(s.length as usize).min(1300);
                let bytes: Vec<u8> = self.stream.drain(..part).collect();
                self.scatter(s, &bytes);
                (status::OK, part as u32)
            }
            _ => (status::BAD_ARGUMENT, 0),
        }
    }

    fn pages(&self, s: &Submission) -> Vec<HostPage> {
        let segments = &s.segments[..s.segment_count as usize];
        let units = segments.iter().flat_map(|run| run.unit..run.unit + run.count);
        units.map(|unit| self.memory.page(s.frames, unit)).collect()
    }

    fn scatter(&self, s: &Submission, bytes: &[u8]) {
        let pages = self.pages(s);
        for (index, byte) in bytes.iter().enumerate() {
            let at = s.offset as usize + index;
            pages[at / PAGE_SIZE].write(at % PAGE_SIZE, &[*byte]);
        }
    }

    fn gather(&self, s: &Submission) -> Vec<u8> {
        let pages = self.pages(s);
        let mut bytes = vec![0; s.length as usize];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let at = s.offset as usize + index;
            pages[at / PAGE_SIZE].read(at % PAGE_SIZE, std::slice::from_mut(byte));
        }
        bytes
    }
}

fn run<T>(device: &mut Device, ring: &Arc<Ring>, future: impl Future<Output = T>) -> T {
    let mut rounds = 0;
    block_on(future, || {
        rounds += 1;
        assert!(rounds < 10_000, "the future makes no progress");
        device.serve();
        ring.process();
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn fill(pages: &[HostPage], bytes: &[u8]) {
    for (page, part) in pages.iter().zip(bytes.chunks(PAGE_SIZE)) {
        page.write(0, part);
    }
}

#[test]
fn scattered_pages_are_written_and_read_back() {
    let (mut device, ring, memory, _) = Device::new(1024);
    let extent = BlockExtent::new(ring.clone(), memory.clone(), EXTENT, 1024, true);
    // Runs of one, two slots, and more than four segments.
    let units =
        [(1, 0), (1, 1), (1, 5), (2, 6), (2, 7), (2, 20), (2, 18), (2, 16), (2, 14), (2, 12)];
    let pages: Vec<_> = units.iter().map(|&(slot, unit)| memory.at(slot, unit)).collect();
    let bytes = pattern(pages.len() * PAGE_SIZE);
    fill(&pages, &bytes);
    let sectors = (bytes.len() / SECTOR_SIZE) as u32 - 3;
    run(&mut device, &ring, extent.write(5, sectors, 1024, &pages)).unwrap();
    let len = sectors as usize * SECTOR_SIZE;
    assert_eq!(device.disk[5 * SECTOR_SIZE..][..len], bytes[1024..1024 + len]);
    assert_eq!(device.seen.len(), 3, "slots 1 and 2, and a fifth segment");

    let into: Vec<_> = (100..110).map(|unit| memory.at(1, unit)).collect();
    run(&mut device, &ring, extent.read(5, sectors, 1024, &into)).unwrap();
    assert_eq!(device.seen.len(), 4, "one run");
    for (index, (page, want)) in into.iter().zip(bytes.chunks(PAGE_SIZE)).enumerate() {
        let mut got = vec![0; PAGE_SIZE];
        page.read(0, &mut got);
        let (from, to) = (
            if index == 0 { 1024 } else { 0 },
            if index == 9 { PAGE_SIZE - 512 } else { PAGE_SIZE },
        );
        assert_eq!(got[from..to], want[from..to], "page {index}");
    }
    assert!(ring.is_idle());
}

#[test]
fn ranges_and_rights_are_checked_before_the_kernel_sees_them() {
    let (mut device, ring, memory, _) = Device::new(16);
    let extent = BlockExtent::new(ring.clone(), memory.clone(), EXTENT, 16, false);
    let pages = [memory.at(1, 0)];
    for (sector, count, offset) in
        [(15, 2, 0), (u64::MAX, 1, 0), (0, 9, 0), (0, 8, 512), (0, 1, 100), (0, 0, 4096)]
    {
        let answer = run(&mut device, &ring, extent.read(sector, count, offset, &pages));
        assert_eq!(answer, Err(BlockError::OutOfRange), "{sector} {count} {offset}");
    }
    assert_eq!(run(&mut device, &ring, extent.write(0, 1, 0, &pages)), Err(BlockError::ReadOnly));
    assert!(device.seen.is_empty());
}

#[test]
fn a_full_ring_makes_transfers_wait_in_line() {
    let (mut device, ring, memory, _) = Device::new(4096);
    let extent = BlockExtent::new(ring.clone(), memory.clone(), EXTENT, 4096, true);
    let pages: Vec<_> = (0..100).map(|i| memory.at(1, i * 2)).collect();
    let mut writes: Vec<_> = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        page.write(0, &[index as u8 + 1; 512]);
        writes.push(Box::pin(extent.write(index as u64 * 8, 1, 0, std::slice::from_ref(page))));
    }
    let mut context = Context::from_waker(Waker::noop());
    for write in &mut writes {
        assert!(write.as_mut().poll(&mut context).is_pending());
    }
    device.serve();
    assert_eq!(device.seen.len(), 32, "no more than the ring holds");
    while ring.process() > 0 {
        device.serve();
    }
    for write in &mut writes {
        assert_eq!(write.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    }
    let order: Vec<u64> = device.seen.iter().map(|s| s.sector / 8).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>(), "first come, first served");
    assert!((0..100).all(|i| device.disk[i * 4096] == i as u8 + 1));
}

#[test]
fn a_busy_device_is_asked_again() {
    let (mut device, ring, memory, bell) = Device::new(16);
    device.busy = 3;
    let extent = BlockExtent::new(ring.clone(), memory, EXTENT, 16, true);
    run(&mut device, &ring, extent.flush()).unwrap();
    assert_eq!((device.busy, device.seen.len()), (0, 4));
    assert_eq!(bell.0.load(Ordering::Relaxed), 4);
}

struct Flag(AtomicUsize);
impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn completions_wake_the_last_waker_once() {
    let (mut device, ring, memory, _) = Device::new(16);
    let extent = BlockExtent::new(ring.clone(), memory.clone(), EXTENT, 16, true);
    let (first, second) =
        (Arc::new(Flag(AtomicUsize::new(0))), Arc::new(Flag(AtomicUsize::new(0))));
    let pages = [memory.at(1, 0)];
    let mut read = Box::pin(extent.read(0, 8, 0, &pages));
    for flag in [&first, &second] {
        let waker = Waker::from(flag.clone());
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    device.serve();
    assert_eq!(ring.process(), 1);
    assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn an_abandoned_transfer_keeps_its_pages_until_it_is_done() {
    let (mut device, ring, memory, _) = Device::new(16);
    let kept = Arc::new(());
    let submission =
        Submission { operation: operation::FLUSH, target: EXTENT, ..Submission::default() };
    drop(ring.start(submission, kept.clone()));
    assert_eq!(Arc::strong_count(&kept), 2);
    device.serve();
    ring.process();
    assert_eq!(Arc::strong_count(&kept), 1);
    // Its entry is used again, and an unknown cookie harms nobody.
    device.kernel.complete(Completion { cookie: 0, status: 0, length: 0 });
    device.kernel.complete(Completion { cookie: u64::MAX, status: 0, length: 0 });
    assert_eq!(ring.process(), 0);
    let extent = BlockExtent::new(ring.clone(), memory, EXTENT, 16, true);
    run(&mut device, &ring, extent.flush()).unwrap();
}

#[test]
fn a_stream_carries_bytes_in_order() {
    let (mut device, ring, memory, _) = Device::new(0);
    let mut writer = StreamWriter::new(ring.clone(), &memory, LINK, 4).unwrap();
    let mut reader = StreamReader::new(ring.clone(), &memory, LINK, 4).unwrap();
    let bytes = pattern(50_000);
    run(&mut device, &ring, writer.write(&bytes)).unwrap();
    let mut got = Vec::new();
    let mut part = [0; 777];
    while got.len() < bytes.len() {
        let len = run(&mut device, &ring, reader.read(&mut part)).unwrap();
        got.extend_from_slice(&part[..len]);
    }
    assert!(got == bytes);
}

#[test]
fn a_dropped_stream_read_loses_nothing() {
    let (mut device, ring, memory, _) = Device::new(0);
    let mut reader = StreamReader::new(ring.clone(), &memory, LINK, 1).unwrap();
    let mut into = [0; 8];
    let mut context = Context::from_waker(Waker::noop());
    assert!(Box::pin(reader.read(&mut into)).as_mut().poll(&mut context).is_pending());
    device.stream.extend(b"hello");
    device.serve();
    ring.process();
    assert_eq!(run(&mut device, &ring, reader.read(&mut into)), Ok(5));
    assert_eq!(into[..5], *b"hello");
    assert_eq!(device.seen.len(), 1);
}
