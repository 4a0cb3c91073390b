//! What virtio devices share: memory for queues, finding them, interrupts. They are on PCI, or are named on the kernel's
//! command line, as `virtio_mmio.device=SIZE@ADDRESS:LINE` (virtio 1.2, 4.2.1 leaves finding them to the machine; Linux takes
//! the same words).
use super::{ioapic, pci};
use crate::PhysicalAddress;
use crate::address::DIRECT_MAP;
use crate::boot::acpi::Line;
use crate::memory::kernel_map::map_device;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::ptr::NonNull;
use virtio_drivers::transport::mmio::{MmioTransport, MmioVersion};
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::transport::{DeviceType, SomeTransport, Transport};
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
        let mapped = unsafe { map_device(PhysicalAddress(physical), size) };
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

/// Where a device is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Pci(DeviceFunction),
    Registers(Registers),
}

/// Registers in memory, as the command line names them.
#[derive(Clone, Copy, Debug)]
struct Registers {
    address: u64,
    size: usize,
    line: u32,
}

/// A virtio device.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    place: Place,
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

/// All virtio devices: among the functions on PCI, in bus order, then those that the command line names.
#[must_use]
pub fn find(functions: &[pci::Function], command_line: &str) -> Vec<Found> {
    let on_pci = functions.iter().filter_map(|(device, info)| {
        virtio_device_type(info).map(|kind| Found { place: Place::Pci(*device), kind })
    });
    let named = command_line.split_ascii_whitespace().filter_map(Registers::parse);
    let named = named.filter_map(|registers| {
        let kind = registers.open()?.device_type();
        Some(Found { place: Place::Registers(registers), kind })
    });
    on_pci.chain(named).collect()
}

impl Registers {
    fn parse(word: &str) -> Option<Self> {
        let (size, rest) = word.strip_prefix("virtio_mmio.device=")?.split_once('@')?;
        let (address, line) = rest.split_once(':')?;
        let address = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
        Some(Self { address, size: size.parse().ok()?, line: line.parse().ok()? })
    }

    /// The transport; `None` if no device of today's kind is there.
    fn open(&self) -> Option<MmioTransport<'static>> {
        // SAFETY: the command line says that a device's registers are there, and it is the machine's owner who writes it.
        let registers = unsafe { map_device(PhysicalAddress(self.address), self.size) }?;
        let header = NonNull::new(registers.cast())?;
        // SAFETY: mapped for ever, as long as `size` says, and aligned as a page of the machine is.
        let transport = unsafe { MmioTransport::new(header, self.size) }.ok()?;
        (transport.version() == MmioVersion::Modern).then_some(transport)
    }
}

/// Makes a transport of a device.
pub(crate) fn open(found: &Found) -> Option<SomeTransport<'static>> {
    match found.place {
        Place::Pci(device) => {
            pci::enable(device);
            PciTransport::new::<KernelHal, _>(&mut pci::root(), device).ok().map(Into::into)
        }
        Place::Registers(registers) => registers.open().map(Into::into),
    }
}

/// Directs the first `queues` queues of a device to a vector. Between feature negotiation and queue set-up.
pub(crate) fn route_interrupts(found: &Found, queues: u16, vector: u8, apic_id: u32) -> bool {
    match found.place {
        Place::Pci(device) => route_messages(device, queues, vector, apic_id),
        Place::Registers(registers) => {
            let line = Line { number: registers.line, level: true, low: false };
            let routed = ioapic::route(&line, vector, apic_id);
            ioapic::unmask(line.number);
            routed
        }
    }
}

/// Before completions are looked for: a device with a line asserts it until it is told that this was seen.
pub(crate) fn acknowledge(transport: &mut SomeTransport<'static>) {
    if let SomeTransport::Mmio(transport) = transport {
        transport.ack_interrupt();
    }
}

fn route_messages(device: DeviceFunction, queues: u16, vector: u8, apic_id: u32) -> bool {
    if !pci::enable_msix(device, vector, apic_id) {
        return false;
    }
    let Some(common) = common_config(device) else { return false };
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
