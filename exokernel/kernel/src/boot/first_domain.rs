//! The first domain: the module named `init`, with every resource of the machine in its binding table.
use crate::capability::DEVICE_SHIFT;
use crate::cpu::SLICES;
use crate::debug::log_line;
use crate::disk::{CONSOLE_LINK, CONSOLE_LOG};
use crate::domain::Domain;
use crate::kernel::Kernel;
use crate::memory::access::PageRange;
use alloc::vec::Vec;
use serix_abi::PAGE_SIZE;
use serix_abi::dispatcher::DispatcherParameters;
use serix_abi::layout::USER_END;
use serix_abi::map::MapFlags;
use serix_abi::start::{
    Framebuffer, MAX_MODULES, MAX_RESOURCES, MODULES_ADDRESS, Module, Resource, START_INFO_ADDRESS,
    START_MAGIC, StartInfo,
};
use serix_abi::token::{Kind, Rights};
use serix_core::extent::Extent;
use serix_core::ids::Frame;
use serix_core::{DomainId, NodeId};
use serix_hal::FrameNumber;
use serix_hal::boot::BootModule;
use serix_hal::device::keyboard;
use serix_hal::memory::boot_image::{read_module, write_frame};
use xmas_elf::ElfFile;
use xmas_elf::program::Type;

/// Name of the module that is the first domain.
const INIT: &str = "init";
/// Frames of the first domain's account, besides one in 64 of its RAM.
const ACCOUNT_BASE: u32 = 256;
/// Pages of its stack.
const STACK_PAGES: u64 = 16;
/// Where its stack ends.
const STACK_TOP: u64 = 0x7E00_1000_0000;
/// Where its dispatcher page is.
const DISPATCHER_ADDRESS: u64 = 0x7E00_0000_0000;
/// Where the information page is.
const INFO_ADDRESS: u64 = 0x7F80_0000_0000;
/// Every right that makes sense for RAM.
const FRAME_RIGHTS: Rights = Rights::READ
    .with(Rights::WRITE)
    .with(Rights::EXECUTE)
    .with(Rights::MAP)
    .with(Rights::DMA)
    .with(Rights::GRANT)
    .with(Rights::REVOKE);

/// A range of RAM that is handed out from its start.
struct Supply {
    ranges: Vec<(u32, u32)>,
}

impl Supply {
    fn take(&mut self) -> u32 {
        let range = self
            .ranges
            .iter_mut()
            .max_by_key(|(_, count)| *count)
            .filter(|(_, count)| *count > 0)
            .expect("not enough memory for the first domain");
        range.1 -= 1;
        range.0 + range.1
    }
}

struct Starter<'a> {
    kernel: &'a mut Kernel,
    supply: Supply,
    environment: u32,
    resources: Vec<Resource>,
}

/// Makes the first domain and everything it finds.
pub(super) fn start(
    kernel: &mut Kernel,
    ram: &[(FrameNumber, u32)],
    modules: &[BootModule],
    framebuffer: Framebuffer,
) {
    let init = modules
        .iter()
        .find(|module| module.name == INIT)
        .expect("no boot module named init: check limine.conf");
    let is_module = |base: u32| modules.iter().any(|module| module.frame.0 == base);
    let free: Vec<(u32, u32)> = ram
        .iter()
        .filter(|(base, _)| !is_module(base.0))
        .map(|(base, count)| (base.0, *count))
        .collect();
    let mut supply = Supply { ranges: free.clone() };
    make_domain(kernel, &mut supply, ram);
    let owner = kernel.resources.domains.get(kernel.first_domain).expect("just made").id;
    for core in 0..kernel.cores.len() {
        let all = slices_of(core);
        kernel.assign_slices(all, DomainId::NONE, owner).expect("nobody's slices");
    }
    let environment = kernel
        .environment_create(kernel.first_domain, kernel.first_domain, serix_abi::NO_SLOT.into())
        .expect("first environment");
    let index = kernel
        .environment(kernel.first_domain, environment, Rights::CONTROL)
        .expect("first environment");
    let mut starter = Starter { kernel, supply, environment: index, resources: Vec::new() };
    let entry = starter.load(init);
    starter.map_modules(modules);
    starter.map_fresh(STACK_TOP - STACK_PAGES * PAGE_SIZE as u64, STACK_PAGES);
    starter.kernel.map_info(index, INFO_ADDRESS).expect("information page");
    let page = starter.supply.take();
    starter.map_frame(DISPATCHER_ADDRESS, page, MapFlags::WRITE.with(MapFlags::NO_EXECUTE));
    let info_frame = starter.supply.take();
    starter.bind_resources(&free, modules);
    starter.bind_devices();
    starter.write_info(info_frame, environment, modules, framebuffer);
    starter.start_dispatcher(environment, page, entry);
}

/// The units of all slices of a core.
fn slices_of(core: usize) -> Extent {
    Extent::new((core as u64) << DEVICE_SHIFT, SLICES as u64).expect("a small range")
}

/// The domain, whose object, nodes and account come from RAM before it owns any.
fn make_domain(kernel: &mut Kernel, supply: &mut Supply, ram: &[(FrameNumber, u32)]) {
    let index = kernel.resources.domains.next().expect("a fresh table");
    let id = kernel.resources.next_id(index).expect("a fresh table");
    for (base, count) in ram {
        for frame in base.0..base.0 + count {
            kernel.resources.ledger.assign(Frame(frame), id).expect("RAM is free at boot");
        }
    }
    for range in kernel.resources.frames.devices().to_vec() {
        for place in range.place.0..range.place.0 + range.count {
            kernel.resources.ledger.assign(Frame(place), id).expect("devices are free at boot");
        }
    }
    let frame = supply.take();
    let owned = kernel.resources.frames.claim(FrameNumber(frame)).expect("RAM is free at boot");
    let share = kernel.resources.domains.capacity() - 1;
    kernel.first_domain =
        kernel.resources.insert_domain(owned, Domain::new(id, NodeId::NONE, None, share));
    let total: u32 = ram.iter().map(|(_, count)| count).sum();
    for _ in 0..ACCOUNT_BASE.min(total / 16) + total / 64 {
        let frame = supply.take();
        let account = &mut kernel.resources.domains.get_mut(index).expect("just made").account;
        kernel.resources.ledger.give(account, Frame(frame)).expect("RAM is the domain's");
    }
    let node = kernel.object_node(index, Kind::Domain, index).expect("the account is full");
    kernel.resources.domains.get_mut(index).expect("just made").node = node;
}

impl Starter<'_> {
    fn map_frame(&mut self, address: u64, frame: u32, flags: MapFlags) {
        let kernel = &mut *self.kernel;
        let space = kernel.environments.get(self.environment).expect("first environment");
        let (frames, mut source) = kernel.resources.tables(space.domain).expect("first domain");
        let leaf = space.root.leaf_for(frames, address, &mut source).expect("page tables for init");
        let limits = MapFlags::MAY_WRITE.with(MapFlags::MAY_EXECUTE);
        let mapped = leaf.map(frames, address, FrameNumber(frame), 1, flags.with(limits));
        assert!(mapped == 1, "RAM for init");
    }

    fn map_fresh(&mut self, address: u64, pages: u64) {
        for page in 0..pages {
            let frame = self.supply.take();
            assert!(self.kernel.resources.frames.zero_user(FrameNumber(frame)));
            let flags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);
            self.map_frame(address + page * PAGE_SIZE as u64, frame, flags);
        }
    }

    /// Loads the ELF file of a module; its entry point.
    fn load(&mut self, module: &BootModule) -> u64 {
        let file = read_module(module);
        let elf = ElfFile::new(file).expect("serix-init is an ELF file");
        for header in elf.program_iter().filter(|header| header.get_type() == Ok(Type::Load)) {
            let (start, size) = (header.virtual_addr(), header.mem_size());
            let page = start & !(PAGE_SIZE as u64 - 1);
            let pages = (start + size - page).div_ceil(PAGE_SIZE as u64);
            assert!(
                PageRange::new(page, pages).is_some() && start + size < USER_END,
                "serix-init has a segment outside the user half"
            );
            let from = header.offset() as usize;
            let bytes =
                file.get(from..from + header.file_size() as usize).expect("serix-init is whole");
            let mut flags = MapFlags::default();
            if header.flags().is_write() {
                flags = flags.with(MapFlags::WRITE);
            }
            if !header.flags().is_execute() {
                flags = flags.with(MapFlags::NO_EXECUTE);
            }
            for index in 0..pages {
                let frame = self.supply.take();
                let at = page + index * PAGE_SIZE as u64;
                write_frame(
                    &mut self.kernel.resources.frames,
                    FrameNumber(frame),
                    bytes,
                    at as i64 - start as i64,
                );
                self.map_frame(at, frame, flags);
            }
        }
        elf.header.pt2.entry_point()
    }

    fn map_modules(&mut self, modules: &[BootModule]) {
        let mut address = MODULES_ADDRESS;
        for module in modules {
            for frame in 0..module.frame_count() {
                self.map_frame(address, module.frame.0 + frame, MapFlags::NO_EXECUTE);
                address += PAGE_SIZE as u64;
            }
        }
    }

    /// Makes a root node over a range, binds it, and notes it for the start page.
    fn bind(&mut self, kind: Kind, base: u64, count: u64, rights: Rights, device: u32) {
        let kernel = &mut *self.kernel;
        let owner = kernel.resources.domains.get(kernel.first_domain).expect("first domain").id;
        let range = Extent::new(base, count).expect("a range of the machine");
        let node =
            kernel.grants.root(&mut kernel.resources, kind, range, owner).expect("nodes for init");
        let object = match kind {
            Kind::Blocks | Kind::Slices | Kind::Console => device,
            _ => base as u32,
        };
        let slot = kernel
            .resources
            .bind_node(kernel.first_domain, node, rights, object)
            .expect("slots for init");
        self.resources.push(Resource { kind: kind as u32, slot, base, count, device, in_use: 0 });
    }

    fn bind_resources(&mut self, free: &[(u32, u32)], modules: &[BootModule]) {
        let control = Rights::GRANT.with(Rights::REVOKE);
        for (place, (base, count)) in free.iter().enumerate() {
            self.bind(Kind::Frames, (*base).into(), (*count).into(), FRAME_RIGHTS, 0);
            // What boot took came from the range's end.
            let left = self.supply.ranges[place].1;
            let resource = self.resources.last_mut().expect("just pushed");
            resource.in_use = count - left;
        }
        for module in modules {
            self.bind(
                Kind::Frames,
                module.frame.0.into(),
                module.frame_count().into(),
                FRAME_RIGHTS,
                0,
            );
            let resource = self.resources.last_mut().expect("just pushed");
            resource.in_use = module.frame_count();
        }
        for core in 0..self.kernel.cores.len() {
            let slices = slices_of(core);
            self.bind(Kind::Slices, slices.base(), slices.count(), control, core as u32);
        }
        let disks: Vec<(u64, bool)> = self
            .kernel
            .devices
            .disks
            .iter()
            .map(|disk| (disk.capacity(), disk.read_only()))
            .collect();
        for (device, (capacity, read_only)) in disks.into_iter().enumerate() {
            let mut rights = control.with(Rights::READ);
            if !read_only {
                rights = rights.with(Rights::WRITE);
            }
            let count = capacity.min(u32::MAX.into());
            self.bind(Kind::Blocks, (device as u64) << DEVICE_SHIFT, count, rights, device as u32);
        }
        let log = control.with(Rights::LOG).with(Rights::CONTROL);
        self.bind(Kind::Console, CONSOLE_LOG.into(), 1, log, CONSOLE_LOG);
        if self.kernel.devices.link.is_some() {
            let link = control.with(Rights::READ).with(Rights::WRITE);
            self.bind(Kind::Console, CONSOLE_LINK.into(), 1, link, CONSOLE_LINK);
        }
    }

    /// What of devices ring 3 may have: of those that do no DMA, and that the kernel does not drive.
    fn bind_devices(&mut self) {
        let control = Rights::GRANT.with(Rights::REVOKE);
        let access = control.with(Rights::READ).with(Rights::WRITE);
        for range in self.kernel.resources.frames.devices().to_vec() {
            let (first, count) = (range.first.0.into(), range.count.into());
            self.bind(Kind::DeviceFrames, first, count, access.with(Rights::MAP), 0);
        }
        let lines = self.kernel.lines.iter().map(|line| (line.number, line.isa));
        for (number, isa) in lines.collect::<Vec<_>>() {
            self.bind(Kind::Interrupt, number.into(), 1, control.with(Rights::CONTROL), isa.into());
        }
        for port in keyboard::PORTS.into_iter().filter(|_| keyboard::is_present()) {
            self.bind(Kind::Ports, port.into(), 1, access, 0);
        }
    }

    fn write_info(
        &mut self,
        frame: u32,
        environment: u32,
        modules: &[BootModule],
        framebuffer: Framebuffer,
    ) {
        let mut info = StartInfo {
            magic: START_MAGIC,
            resource_count: self.resources.len().min(MAX_RESOURCES) as u32,
            module_count: modules.len().min(MAX_MODULES) as u32,
            environment,
            objects: self.kernel.resources.domains.capacity() - 1,
            resources: [Resource::default(); MAX_RESOURCES],
            modules: [Module { address: 0, size: 0, name: [0; 48] }; MAX_MODULES],
            framebuffer,
        };
        for (place, resource) in info.resources.iter_mut().zip(&self.resources) {
            *place = *resource;
        }
        let mut address = MODULES_ADDRESS;
        for (place, module) in info.modules.iter_mut().zip(modules) {
            *place = Module { address, size: module.size as u64, name: [0; 48] };
            let length = module.name.len().min(47);
            place.name[..length].copy_from_slice(&module.name.as_bytes()[..length]);
            address += u64::from(module.frame_count()) * PAGE_SIZE as u64;
        }
        serix_hal::memory::boot_image::write_start_info(
            &mut self.kernel.resources.frames,
            FrameNumber(frame),
            &info,
        );
        self.map_frame(START_INFO_ADDRESS, frame, MapFlags::NO_EXECUTE);
    }

    fn start_dispatcher(&mut self, environment: u32, page: u32, entry: u64) {
        let kernel = &mut *self.kernel;
        let resource = self.resources.iter().find(|resource| {
            resource.kind == Kind::Frames as u32
                && (resource.base..resource.base + resource.count).contains(&page.into())
        });
        let resource = resource.expect("the dispatcher page is of a range");
        let parameters = DispatcherParameters {
            frames: resource.slot,
            unit: page - resource.base as u32,
            page_address: DISPATCHER_ADDRESS,
            rip: entry,
            rsp: STACK_TOP,
            argument: START_INFO_ADDRESS,
            upcalls_disabled: 1,
            ..DispatcherParameters::default()
        };
        let caller = kernel.first_domain;
        let index =
            kernel.environment(caller, environment, Rights::CONTROL).expect("first environment");
        kernel.dispatcher_create(caller, index, &parameters).expect("first dispatcher");
        // On the boot core, where device interrupts arrive.
        let dispatcher = kernel.dispatcher_of(index, 0).expect("first dispatcher");
        kernel.leave_queue(dispatcher);
        kernel.make_current(dispatcher, 0);
        log_line!("first domain: entry {entry:#x}");
    }
}
