//! What the kernel handed over: the start information page, sorted by use.

use alloc::string::String;
use alloc::vec::Vec;
use serix_abi::start::{Framebuffer, Module, Resource, START_MAGIC, StartInfo};
use serix_abi::token::Kind;
use serix_sys::Slot;

use crate::frames::Piece;

/// Console device of the kernel log.
const DEVICE_LOG: u32 = 0;
/// Console device of the link.
const DEVICE_LINK: u32 = 1;

/// Slices of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSlices {
    /// Core number.
    pub core: u32,
    /// Their slot.
    pub slot: Slot,
    /// How many.
    pub count: u64,
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskDevice {
    /// Device number, the N of `diskN`.
    pub number: u32,
    /// Slot of all its sectors.
    pub slot: Slot,
    /// How many sectors.
    pub sectors: u64,
}

/// All that the first domain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// This environment.
    pub environment: Slot,
    /// Kernel objects that all sessions and init can have.
    pub objects: u32,
    /// Frames that nothing uses yet.
    pub frames: Vec<Piece>,
    /// Slices, by core.
    pub slices: Vec<CoreSlices>,
    /// Disks.
    pub disks: Vec<DiskDevice>,
    /// The kernel log.
    pub log: Option<Slot>,
    /// The link to the host.
    pub link: Option<Slot>,
    /// The frames of the framebuffer, and how the picture lies there.
    pub framebuffer: Option<(Slot, u64, Framebuffer)>,
    /// Ports of the keyboard controller, in their order.
    pub ports: Vec<Slot>,
    /// Interrupt lines that no driver in the kernel has: their numbers for the ISA, and slots.
    pub interrupts: Vec<(u32, Slot)>,
    /// Names of the boot modules, in the kernel's order.
    pub modules: Vec<String>,
}

impl Inventory {
    /// Sorts a start information page; `None` if it is not one.
    #[must_use]
    pub fn new(info: &StartInfo) -> Option<Self> {
        let resources = info.resources.get(..info.resource_count as usize)?;
        let modules = info.modules.get(..info.module_count as usize)?;
        let mut inventory = Self {
            environment: Slot(info.environment),
            objects: info.objects,
            frames: Vec::new(),
            slices: Vec::new(),
            disks: Vec::new(),
            log: None,
            link: None,
            framebuffer: None,
            ports: Vec::new(),
            interrupts: Vec::new(),
            modules: modules.iter().map(name).collect(),
        };
        resources.iter().for_each(|resource| inventory.add(resource, &info.framebuffer));
        (info.magic == START_MAGIC).then_some(inventory)
    }

    fn add(&mut self, resource: &Resource, picture: &Framebuffer) {
        let (slot, count) = (Slot(resource.slot), resource.count);
        match u8::try_from(resource.kind).ok().and_then(Kind::from_number) {
            Some(Kind::Frames) => {
                // The first environment's own frames are at the end of the range.
                let free = count.saturating_sub(resource.in_use.into());
                self.frames.push(Piece { slot, first: 0, count: free });
            }
            Some(Kind::Slices) => {
                self.slices.push(CoreSlices { core: resource.device, slot, count });
            }
            Some(Kind::Blocks) => {
                let number = resource.device;
                self.disks.push(DiskDevice { number, slot, sectors: count });
            }
            Some(Kind::DeviceFrames) if picture.width > 0 => {
                self.framebuffer = Some((slot, count, *picture));
            }
            Some(Kind::Ports) => self.ports.push(slot),
            Some(Kind::Interrupt) => self.interrupts.push((resource.device, slot)),
            Some(Kind::Console) if resource.device == DEVICE_LOG => self.log = Some(slot),
            Some(Kind::Console) if resource.device == DEVICE_LINK => self.link = Some(slot),
            _ => {}
        }
    }

    /// The disk that a manifest calls `diskN`.
    #[must_use]
    pub fn disk(&self, name: &str) -> Option<DiskDevice> {
        let number = name.strip_prefix("disk")?.parse().ok()?;
        self.disks.iter().copied().find(|disk| disk.number == number)
    }

    /// The line of an ISA interrupt.
    #[must_use]
    pub fn interrupt(&self, isa: u32) -> Option<Slot> {
        self.interrupts.iter().find(|(known, _)| *known == isa).map(|(_, slot)| *slot)
    }

    /// The number of the boot module of this name.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<usize> {
        self.modules.iter().position(|module| module == name)
    }
}

fn name(module: &Module) -> String {
    let end = module.name.iter().position(|&byte| byte == 0).unwrap_or(module.name.len());
    String::from_utf8_lossy(&module.name[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serix_abi::start::{MAX_MODULES, MAX_RESOURCES};

    fn info() -> StartInfo {
        let mut info = StartInfo {
            magic: START_MAGIC,
            resource_count: 10,
            module_count: 1,
            environment: 3,
            objects: 800,
            resources: [Resource::default(); MAX_RESOURCES],
            modules: [Module { address: 0, size: 0, name: [0; 48] }; MAX_MODULES],
            framebuffer: Framebuffer { width: 800, ..Framebuffer::default() },
        };
        let mut resource = |index: usize, kind: Kind, device, in_use| {
            let slot = index as u32 + 10;
            let (kind, base, count) = (kind as u32, 100, 50);
            info.resources[index] = Resource { kind, slot, base, count, device, in_use };
        };
        resource(0, Kind::Frames, 0, 0);
        resource(1, Kind::Frames, 0, 20);
        resource(2, Kind::Slices, 2, 0);
        resource(3, Kind::Blocks, 1, 0);
        resource(4, Kind::Console, 0, 0);
        resource(5, Kind::Console, 1, 0);
        resource(6, Kind::DeviceFrames, 0, 0);
        resource(7, Kind::Interrupt, 12, 0);
        resource(8, Kind::Ports, 0, 0);
        resource(9, Kind::Ports, 0, 0);
        info.modules[0].name[..8].copy_from_slice(b"manifest");
        info
    }

    #[test]
    fn resources_are_sorted_by_use() {
        let inventory = Inventory::new(&info()).unwrap();
        assert_eq!((inventory.environment, inventory.objects), (Slot(3), 800));
        let counts = inventory.frames.iter().map(|piece| (piece.slot.0, piece.count));
        assert!(counts.eq([(10, 50), (11, 30)]));
        assert_eq!(inventory.slices, [CoreSlices { core: 2, slot: Slot(12), count: 50 }]);
        assert_eq!(inventory.disk("disk1").unwrap().slot, Slot(13));
        assert_eq!((inventory.log, inventory.link), (Some(Slot(14)), Some(Slot(15))));
        assert_eq!(inventory.module("manifest"), Some(0));
        let picture = Framebuffer { width: 800, ..Framebuffer::default() };
        assert_eq!(inventory.framebuffer, Some((Slot(16), 50, picture)));
        assert_eq!((inventory.interrupt(12), inventory.interrupt(1)), (Some(Slot(17)), None));
        assert_eq!(inventory.ports, [Slot(18), Slot(19)]);
    }

    #[test]
    fn device_frames_without_a_picture_are_nobodys() {
        let info = StartInfo { framebuffer: Framebuffer::default(), ..info() };
        assert_eq!(Inventory::new(&info).unwrap().framebuffer, None);
    }

    #[test]
    fn other_names_are_no_disk_and_no_module() {
        let inventory = Inventory::new(&info()).unwrap();
        for name in ["disk0", "disk", "diskone", "sda", "disk-1"] {
            assert_eq!(inventory.disk(name), None, "{name}");
        }
        assert_eq!(inventory.module("manifes"), None);
    }

    #[test]
    fn a_damaged_page_is_refused() {
        assert_eq!(Inventory::new(&StartInfo { magic: 0, ..info() }), None);
        let count = MAX_RESOURCES as u32 + 1;
        assert_eq!(Inventory::new(&StartInfo { resource_count: count, ..info() }), None);
        assert_eq!(Inventory::new(&StartInfo { module_count: u32::MAX, ..info() }), None);
    }
}
