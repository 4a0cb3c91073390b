//! PCI configuration space (mechanism 1, PCI 3.0 section 3.2.2.3.2) and MSI-X.
use super::port;
use crate::address::PhysicalAddress;
use crate::memory::kernel_map::map_device;
use alloc::vec::Vec;
use virtio_drivers::transport::pci::bus::{
    BarInfo, Command, ConfigurationAccess, DeviceFunction, DeviceFunctionInfo, PciRoot,
};

/// Access by ports 0xCF8 and 0xCFC. The kernel lock serialises it.
pub struct Ports;

fn select(device: DeviceFunction, register: u8) {
    let address = 1 << 31
        | u32::from(device.bus) << 16
        | u32::from(device.device) << 11
        | u32::from(device.function) << 8
        | u32::from(register & !3);
    // SAFETY: the configuration address port only selects.
    unsafe { port::write32(0xCF8, address) };
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, device: DeviceFunction, register: u8) -> u32 {
        select(device, register);
        // SAFETY: reads the selected register; configuration reads have no effects the kernel minds.
        unsafe { port::read32(0xCFC) }
    }

    fn write_word(&mut self, device: DeviceFunction, register: u8, data: u32) {
        select(device, register);
        // SAFETY: the callers write command, BAR and capability registers of devices that the kernel drives.
        unsafe { port::write32(0xCFC, data) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// The configuration space of the machine.
#[must_use]
pub fn root() -> PciRoot<Ports> {
    PciRoot::new(Ports)
}

/// A function, and what it says that it is.
pub type Function = (DeviceFunction, DeviceFunctionInfo);

/// Every function on every bus.
#[must_use]
pub fn functions() -> Vec<Function> {
    (0..=255u8).flat_map(|bus| root().enumerate_bus(bus)).collect()
}

/// Maps part of a BAR.
///
/// # Safety
/// The range is registers of a device that the kernel drives.
pub(crate) unsafe fn map_bar(
    device: DeviceFunction,
    bar: u8,
    offset: u32,
    size: usize,
) -> Option<*mut u8> {
    match root().bar_info(device, bar).ok()?? {
        BarInfo::Memory { address, .. } if address != 0 => {
            // SAFETY: the caller's promise.
            unsafe { map_device(PhysicalAddress(address + u64::from(offset)), size) }
        }
        _ => None,
    }
}

/// Lets a device do DMA and answer memory accesses.
pub(crate) fn enable(device: DeviceFunction) {
    root().set_command(
        device,
        Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
    );
}

/// Lets a device that is driven by ports do DMA; the first port of its BAR number `bar`.
pub(crate) fn enable_ports(device: DeviceFunction, bar: u8) -> Option<u16> {
    let Ok(Some(BarInfo::IO { address, .. })) = root().bar_info(device, bar) else { return None };
    root().set_command(device, Command::IO_SPACE | Command::BUS_MASTER);
    u16::try_from(address).ok().filter(|port| *port != 0)
}

const MSIX: u8 = 0x11;

/// Directs MSI-X entry 0 of a device to a vector of the core with this APIC id; false if it has no MSI-X.
pub(crate) fn enable_msix(device: DeviceFunction, vector: u8, apic_id: u32) -> bool {
    let root = root();
    let Some(capability) = root.capabilities(device).find(|capability| capability.id == MSIX)
    else {
        return false;
    };
    let access = Ports;
    let table = access.read_word(device, capability.offset + 4);
    // SAFETY: the capability says that the table is there.
    let Some(entry) = (unsafe { map_bar(device, (table & 7) as u8, table & !7, 16) }) else {
        return false;
    };
    // SAFETY: entry 0 of the mapped table (PCI 3.0, 6.8.2): address, data, unmask.
    unsafe {
        let entry = entry.cast::<u32>();
        entry.write_volatile(0xFEE0_0000 | apic_id << 12);
        entry.add(1).write_volatile(0);
        entry.add(2).write_volatile(vector.into());
        entry.add(3).write_volatile(0);
    }
    let control = access.read_word(device, capability.offset);
    let mut access = Ports;
    access.write_word(device, capability.offset, control | 1 << 31);
    true
}
