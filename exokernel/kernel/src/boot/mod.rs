//! From the machine as the loader left it to the first domain.
mod first_domain;

use crate::capability::DEVICE_SHIFT;
use crate::cpu::SLICE_NS;
use crate::cpu::core::Cores;
use crate::debug::{log, log_line, symbols};
use crate::disk::{Devices, Queue};
use crate::domain::{MAX_DOMAINS, Resources};
use crate::interrupt;
use crate::kernel::{self, Kernel, Options};
use crate::memory::information::Check;
use crate::object::Table;
use crate::syscall;
use alloc::boxed::Box;
use alloc::vec::Vec;
use serix_abi::info::{CoreInfo, INFO_MAGIC, MAX_CORES};
use serix_core::deadline::{DeadlineSlot, Deadlines};
use serix_core::grant::GrantTree;
use serix_core::ids::Frame;
use serix_core::ledger::{FrameKind, FrameWord, Ledger, MemoryRange};
use serix_core::seal::Sealer;
use serix_hal::FrameNumber;
use serix_hal::boot::BootInfo;
use serix_hal::cpu::apic::{self, DEVICE_VECTOR};
use serix_hal::cpu::{features, histogram, local, registers, time, topology, trap};
use serix_hal::device::ata::{self, AtaDisk};
use serix_hal::device::block::BlockDevice;
use serix_hal::device::disk::Disk;
use serix_hal::device::stream::StreamDevice;
use serix_hal::device::{ioapic, pci, virtio};
use serix_hal::memory::info::SharedInfo;

/// One object for so many frames of RAM. Each object table has room for all of them, and the first domain may have one less: so no
/// table is ever full, whoever shares them with whom.
const FRAMES_PER_OBJECT: u32 = 16;
/// Bounds of the object tables.
const OBJECTS: core::ops::RangeInclusive<u32> = 64..=MAX_DOMAINS;

/// The kernel's first Rust function on its own stack.
pub(crate) fn main() -> ! {
    let mut boot = serix_hal::boot::take();
    let mut progress = Progress(0);
    symbols::init(boot.kernel_file);
    if let Some(screen) = boot.screen() {
        log::show_on(screen);
    }
    log_line!(
        "Serix {}: {} cores, command line {:?}",
        env!("CARGO_PKG_VERSION"),
        boot.cores.len(),
        boot.command_line
    );
    progress.stage("firmware and loader", boot.entered);
    progress.stage("memory and cores", time::ticks());
    for (core, id) in boot.cores.iter().enumerate() {
        apic::set_id(core, *id);
    }
    apic::enable();
    log_line!("local APICs in {} mode", if apic::is_x2apic() { "x2APIC" } else { "xAPIC" });
    time::calibrate(&boot.reference);
    progress.stage("clock, by waiting", time::ticks());
    log_line!(
        "time stamp counter at {} kHz, {} frames of RAM",
        time::hertz() / 1000,
        frame_count(&boot)
    );
    let options = Options::parse(&boot.command_line);
    if options.histograms {
        histogram::turn_on();
    }
    install_handlers();
    ioapic::init(&boot.interrupts);
    let devices = start_devices(&mut boot);
    progress.stage("devices", time::ticks());
    let info = information_page(&mut boot, options);
    let ram = core::mem::take(&mut boot.ram);
    let modules = core::mem::take(&mut boot.modules);
    let framebuffer = boot.framebuffer.unwrap_or_default();
    let mut kernel = assemble(boot, devices, info, options, &ram);
    progress.stage("tables", time::ticks());
    assert!(!kernel.options.panic, "the command line asks for a panic");
    first_domain::start(&mut kernel, &ram, &modules, framebuffer);
    progress.stage("first domain", time::ticks());
    log_line!("first domain starts after {} instructions or cycles", time::ticks());
    kernel::install(kernel);
    let kernel = kernel::lock();
    serix_hal::boot::release(join);
    kernel::run(kernel)
}

/// When the last stage of boot was over. Under QEMU the count begins at the machine's reset.
struct Progress(u64);

impl Progress {
    /// Says what a stage took that was over at `now`.
    fn stage(&mut self, what: &str, now: u64) {
        log_line!("boot: {what}: {} instructions or cycles", now.saturating_sub(self.0));
        self.0 = now;
    }
}

/// A core besides the boot core begins to run slices.
fn join() -> ! {
    install_handlers();
    apic::enable();
    let core = local::core_number();
    // Each core tells of itself: CPUID's leaves of class and caches are its own.
    let known = topology::this_core(apic::id(core));
    let mut kernel = kernel::lock();
    if let Some(place) = kernel.info.page().cores.get_mut(core) {
        *place = known;
    }
    kernel::run(kernel)
}

fn install_handlers() {
    trap::install(
        &syscall::HANDLERS,
        interrupt::trap,
        interrupt::no_foreign,
        interrupt::idle_interrupt,
    );
}

fn frame_count(boot: &BootInfo) -> u64 {
    boot.ram.iter().map(|(_, count)| u64::from(*count)).sum()
}

fn start_devices(boot: &mut BootInfo) -> Devices {
    let mut devices = Devices { disks: Vec::new(), queues: Vec::new(), link: None };
    let functions = pci::functions();
    for found in virtio::find(&functions, &boot.command_line) {
        if found.is_block() {
            let disk = BlockDevice::start(&found, DEVICE_VECTOR, apic::id(0));
            let disk = disk.map(|disk| Disk::Virtio(Box::new(disk)));
            add_disk(&mut devices, disk, &found);
        } else if found.is_console() && devices.link.is_none() {
            devices.link = StreamDevice::start(&found, DEVICE_VECTOR, apic::id(0));
            log_line!("link: {}", if devices.link.is_some() { "up" } else { "did not start" });
        }
    }
    for channel in ata::find(&functions) {
        let memory = low_frames(boot, ata::FRAMES);
        let disk = memory.and_then(|memory| {
            AtaDisk::start(channel, memory, &boot.interrupts, DEVICE_VECTOR, apic::id(0))
        });
        add_disk(&mut devices, disk.map(Disk::Ata), &channel);
    }
    devices
}

fn add_disk(devices: &mut Devices, disk: Option<Disk>, found: &dyn core::fmt::Debug) {
    match disk {
        Some(disk) => {
            log_line!("disk{}: {} sectors", devices.disks.len(), disk.capacity());
            devices.disks.push(disk);
            devices.queues.push(Queue::default());
        }
        None => log_line!("a disk at {found:?} did not start"),
    }
}

/// Takes frames of RAM for a device that reaches 4 GiB, one after the other. They are no domain's, for ever.
fn low_frames(boot: &mut BootInfo, count: u32) -> Option<FrameNumber> {
    const REACH: u32 = 1 << 20;
    let is_module = |at: FrameNumber| boot.modules.iter().any(|module| module.frame == at);
    let range = boot
        .ram
        .iter_mut()
        .find(|(first, left)| *left > count && first.0 + count <= REACH && !is_module(*first))?;
    let first = range.0;
    *range = (FrameNumber(first.0 + count), range.1 - count);
    (first.0..first.0 + count).all(|frame| boot.frames.pin(FrameNumber(frame))).then_some(first)
}

/// The last frame of the last range becomes the information page.
fn information_page(boot: &mut BootInfo, options: Options) -> SharedInfo {
    let range = boot.ram.iter_mut().max_by_key(|(_, count)| *count).expect("RAM");
    range.1 -= 1;
    let frame = FrameNumber(range.0.0 + range.1);
    let mut info = SharedInfo::new(&mut boot.frames, frame).expect("a free frame");
    let count = boot.ram.iter().map(|(_, count)| u64::from(*count)).sum();
    let page = info.page();
    page.magic = INFO_MAGIC;
    page.tsc_hz = time::hertz();
    page.tsc_multiplier = time::multiplier();
    page.epoch_ns = (boot.epoch_seconds * 1_000_000_000).saturating_sub(time::now_ns());
    page.core_count = boot.cores.len().min(MAX_CORES) as u32;
    page.slice_ns = SLICE_NS;
    page.histograms_on = u64::from(options.histograms);
    page.frame_count = count;
    page.xsave_size = features::xsave_size();
    page.xcr0 = features::xcr0();
    for (core, apic_id) in page.cores.iter_mut().zip(&boot.cores) {
        *core = CoreInfo { apic_id: *apic_id, running: 1, ..CoreInfo::default() };
    }
    page.cores[0] = topology::this_core(apic::id(0));
    info
}

fn assemble(
    boot: BootInfo,
    devices: Devices,
    info: SharedInfo,
    options: Options,
    ram: &[(FrameNumber, u32)],
) -> Kernel {
    let frames = boot.frames;
    let words = Vec::leak(alloc::vec![FrameWord::ABSENT; frames.len()]);
    let ranges = ram.iter().map(|(base, count)| MemoryRange {
        base: Frame(base.0),
        count: *count,
        kind: FrameKind::Free,
    });
    let device_frames = frames.devices().iter().map(|range| MemoryRange {
        base: Frame(range.place.0),
        count: range.count,
        kind: FrameKind::Free,
    });
    let ledger = Ledger::new(ranges.chain(device_frames), words);
    let objects = (frames.len() as u32 / FRAMES_PER_OBJECT).clamp(*OBJECTS.start(), *OBJECTS.end());
    let resources = Resources {
        frames,
        ledger,
        domains: Table::new(objects),
        node_chunks: Table::new(objects),
        changes: 1,
        reuse: alloc::vec![0; objects as usize],
    };
    Kernel {
        resources,
        grants: GrantTree::new(),
        sealer: Sealer::new(master_key()),
        environments: Table::new(objects),
        subtrees: Table::new(objects),
        dispatchers: Table::new(objects),
        events: Table::new(objects),
        gates: Table::new(objects),
        rings: Table::new(objects),
        devices,
        lines: interrupt::route(&boot.interrupts),
        deadlines: Deadlines::new(Vec::leak(alloc::vec![DeadlineSlot::EMPTY; objects as usize])),
        cores: Cores::new(boot.cores.len()),
        info,
        check: Check::default(),
        options,
        forced: 0,
        next_serial: 1,
        first_domain: 0,
    }
}

/// 256 random bits from the CPU.
fn master_key() -> [u8; 32] {
    let mut key = [0; 32];
    for word in key.chunks_exact_mut(8) {
        word.copy_from_slice(&registers::random().expect("RDRAND gives numbers").to_le_bytes());
    }
    key
}

const _: () = assert!(DEVICE_SHIFT == 40);
