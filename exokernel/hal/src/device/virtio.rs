//! What virtio devices share: memory for queues, finding them on PCI, interrupts.
use super::pci;
use crate::address::DIRECT_MAP;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::ptr::NonNull;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// No MSI-X vector (virtio 1.2, 4.1.5.1.2).
const NO_VECTOR: u16 = 0xFFFF;
const COMMON_QUEUE_SELECT: usize = 0x16;
const COMMON_CONFIG_VECTOR: usize = 0x10;
const COMMON_QUEUE_VECTOR: usize = 0x1A;

/// The kernel's memory as the crate wants it.
pub(crate) struct KernelHal;

// SAFETY: 1. Queue memory comes from the kernel heap, page aligned, zeroed, and goes back there when a queue ends. 2. All memory the devices see lies in
// the direct map, so its physical address is the address less the map's base; no address translation for devices is on.
unsafe impl Hal for KernelHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let layout = Layout::from_size_align(pages * 4096, 4096).expect("queue layout");
        // SAFETY: the layout is not empty.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("kernel heap at boot");
        (memory.as_ptr() as u64 - DIRECT_MAP, memory)
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        let layout = Layout::from_size_align(pages * 4096, 4096).expect("queue layout");
        // SAFETY: the caller got it from `dma_alloc` with the same number of pages.
        unsafe { dealloc(memory.as_ptr(), layout) };
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, size: usize) -> NonNull<u8> {
        // SAFETY: the transport asks for ranges of the device's BARs.
        let mapped = unsafe {
            crate::memory::kernel_map::map_device(crate::PhysicalAddress(physical), size)
        };
        NonNull::new(mapped.expect("room for device registers")).expect("not null")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as u64 - DIRECT_MAP
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

bitflags::bitflags! {
    /// Feature bits of any device; each driver names its own.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Features: u64 {
        /// Every bit may be set.
        const _ = !0;
    }
}

/// A virtio device found on PCI.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    device: DeviceFunction,
    kind: DeviceType,
}

impl Found {
    /// Whether it is a disk.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.kind == DeviceType::Block
    }

    /// Whether it is a console.
    #[must_use]
    pub fn is_console(&self) -> bool {
        self.kind == DeviceType::Console
    }
}

/// All virtio devices on PCI, in bus order.
#[must_use]
pub fn find() -> Vec<Found> {
    pci::devices()
        .filter_map(|(device, info)| virtio_device_type(&info).map(|kind| Found { device, kind }))
        .collect()
}

/// Makes a transport of a device, with MSI-X to `vector`.
pub(crate) fn open(found: &Found) -> Option<PciTransport> {
    pci::enable(found.device);
    PciTransport::new::<KernelHal, _>(&mut pci::root(), found.device).ok()
}

/// Directs the first `queues` queues of a device to a vector. Between feature negotiation and queue set-up.
pub(crate) fn route_interrupts(found: &Found, queues: u16, vector: u8, apic_id: u32) -> bool {
    if !pci::enable_msix(found.device, vector, apic_id) {
        return false;
    }
    let Some(common) = common_config(found.device) else { return false };
    // SAFETY: the common configuration structure (virtio 1.2, 4.1.4.3), mapped; the device is being set up by this core.
    unsafe {
        common.byte_add(COMMON_CONFIG_VECTOR).write_volatile(NO_VECTOR);
        for queue in 0..queues {
            common.byte_add(COMMON_QUEUE_SELECT).write_volatile(queue);
            common.byte_add(COMMON_QUEUE_VECTOR).write_volatile(0);
            if common.byte_add(COMMON_QUEUE_VECTOR).read_volatile() != 0 {
                return false;
            }
        }
    }
    true
}

/// Finds the common configuration structure by its vendor capability (type 1).
fn common_config(device: DeviceFunction) -> Option<*mut u16> {
    let root = pci::root();
    let capability = root
        .capabilities(device)
        .find(|capability| capability.id == 0x09 && (capability.private_header >> 8) as u8 == 1)?;
    let bar = pci::Ports.read_word(device, capability.offset + 4) as u8;
    let offset = pci::Ports.read_word(device, capability.offset + 8);
    // SAFETY: the capability says that the structure is there.
    unsafe { pci::map_bar(device, bar, offset, 64) }.map(<*mut u8>::cast)
}
