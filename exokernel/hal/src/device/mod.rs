//! Devices that the kernel drives itself (serial line, exit port, PCI, virtio, ATA, interrupt controllers), and what of others it hands on.
pub mod ata;
pub mod block;
pub mod disk;
pub mod exit;
pub mod ioapic;
pub mod keyboard;
pub mod pci;
pub mod port;
pub mod ring;
pub mod runs;
pub mod screen;
pub mod serial;
pub mod stream;
pub mod virtio;
