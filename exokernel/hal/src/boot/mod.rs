//! From the loader's hand-off (Limine boot protocol) to the kernel's own page tables, stack and heap.
pub mod acpi;
mod cores;
pub(crate) mod memory_map;
mod requests;

pub(crate) use cores::on_kernel_stack;
pub use cores::{CoreMain, release};

use crate::address::{DIRECT_MAP, FrameNumber, PhysicalAddress};
use crate::cpu::time::Reference;
use crate::cpu::{features, trap};
use crate::device::screen::Screen;
use crate::device::serial;
use crate::memory::frames::{Caching, FrameEntry, FrameTable};
use crate::memory::{heap, kernel_map};
use alloc::string::String;
use alloc::vec::Vec;
use memory_map::BootFrames;
use serix_abi::PAGE_SIZE;
use serix_abi::start::Framebuffer;

/// A file that the loader put in memory.
#[derive(Clone, Debug)]
pub struct BootModule {
    /// Last part of its path.
    pub name: String,
    /// First frame; the file begins at its start.
    pub frame: FrameNumber,
    /// Bytes.
    pub size: usize,
}

impl BootModule {
    /// Frames it takes.
    #[must_use]
    pub fn frame_count(&self) -> u32 {
        self.size.div_ceil(PAGE_SIZE) as u32
    }
}

impl BootInfo {
    /// The framebuffer, for the kernel's text; `None` if there is none with room for it.
    #[must_use]
    pub fn screen(&self) -> Option<Screen> {
        let first = self.frames.devices().first()?.first;
        // SAFETY: 1. The first device is the framebuffer, which the loader described, where no memory is. 2. Whoever still has the
        // boot information has not started ring 3.
        unsafe { Screen::new(first, self.framebuffer.as_ref()?) }
    }
}

/// What the loader found, copied out of its memory.
pub struct BootInfo {
    /// The kernel's command line.
    pub command_line: String,
    /// Modules, in the order of the configuration.
    pub modules: Vec<BootModule>,
    /// The kernel's ELF file, for its symbols.
    pub kernel_file: &'static [u8],
    /// Ranges of RAM, (first frame, frames), that ring 3 may have; modules among them.
    pub ram: Vec<(FrameNumber, u32)>,
    /// APIC ids of all cores, the boot core first.
    pub cores: Vec<u32>,
    /// Unix time in seconds at boot.
    pub epoch_seconds: u64,
    /// What the time stamp counter showed when the loader had handed over.
    pub entered: u64,
    /// The clock to calibrate against.
    pub reference: Reference,
    /// The frame table, with the frames of `ram` and of the framebuffer in it.
    pub frames: FrameTable,
    /// How the picture lies in the frame table's first device, if there is one.
    pub framebuffer: Option<Framebuffer>,
    /// How interrupts come to the cores.
    pub interrupts: acpi::Interrupts,
}

/// Heap beyond what the frame table takes.
const HEAP_BASE: usize = 1 << 20;
/// Heap for the kernel's tables, per frame.
const HEAP_PER_FRAME: usize = 32;

/// Brings the boot core from the loader's state to the kernel's own, on a stack of its own, and calls `main`.
pub fn start(main: extern "sysv64" fn() -> !) -> ! {
    serial::init();
    assert!(
        requests::supported(),
        "the loader does not speak base revision 4 of the Limine protocol"
    );
    if let Err(missing) = features::check() {
        panic!("this CPU lacks {missing}, which Serix needs");
    }
    let offset = requests::direct_map_offset();
    assert!(
        offset == DIRECT_MAP,
        "the loader maps memory at {offset:#x}: set randomise_hhdm_base to no"
    );
    // The ACPI tables often lie in reserved memory, which only the loader's page tables reach.
    let found = memory_map::Found {
        entered: crate::cpu::time::ticks(),
        hpet: requests::rsdp().and_then(acpi::hpet),
        interrupts: requests::rsdp().map(acpi::interrupts).unwrap_or_default(),
    };
    let mut boot_frames = BootFrames::new(requests::memory_map());
    build_kernel_map(&mut boot_frames);
    trap::fill_interrupt_table();
    cores::set_up(0);
    let frame_count = memory_map::frame_count() + picture().map_or(0, |at| at.count) as usize;
    let heap_size = HEAP_BASE + frame_count * (HEAP_PER_FRAME + size_of::<FrameEntry>());
    let (heap_start, heap_size) = boot_frames.take(heap_size.div_ceil(PAGE_SIZE) as u64);
    // SAFETY: frames just taken, covered by the direct map.
    unsafe { heap::fill((DIRECT_MAP + heap_start) as *mut u8, heap_size as usize) };
    memory_map::keep(boot_frames, found);
    trap::run_on_kernel_stack(main)
}

fn build_kernel_map(boot_frames: &mut BootFrames) {
    let mut builder = kernel_map::Builder::new(boot_frames, DIRECT_MAP);
    for entry in requests::memory_map() {
        if memory_map::is_memory(&entry) {
            builder.direct(entry.base & !0xFFF, (entry.base + entry.length).next_multiple_of(4096));
        }
    }
    let (physical, virtual_base) = requests::image_address();
    for (start, end, write, execute) in requests::image_sections() {
        builder.image(start, end, physical + (start - virtual_base), write, execute);
    }
    for core in 0..requests::core_count() as u64 {
        cores::map_stacks(&mut builder, core);
    }
    // SAFETY: the loader's stack and the protocol's structures are RAM, reached through the direct map at the
    // loader's offset, which is the same; code and data are the image.
    unsafe { builder.finish() };
}

/// Copies what the loader left, and takes the other cores into kernel code. Call once, on the kernel stack, with the
/// heap filled; afterwards the loader's memory is RAM like any other.
#[must_use]
pub fn take() -> BootInfo {
    let (boot_frames, found) = memory_map::kept();
    requests::call_other_cores();
    cores::await_arrival(requests::core_count() - 1);
    let modules = requests::modules();
    let kernel_file = requests::kernel_file();
    let reference = found.hpet.and_then(hpet_reference).unwrap_or(Reference::Pit);
    let mut ram = memory_map::ranges(&boot_frames, kernel_file);
    for module in &modules {
        ram.push((module.frame, module.frame_count()));
    }
    let mut entries = Vec::new();
    let (ram_end, picture) = (memory_map::frame_count(), picture());
    let device_frames = picture.map_or(0, |at| at.count);
    entries.resize(ram_end + device_frames as usize, FrameEntry::RESERVED);
    let mut frames = FrameTable::new(entries.leak());
    for &(first, count) in &ram {
        for frame in first.0..first.0 + count {
            // SAFETY: `ranges` leaves out what boot allocated, the image and the kernel file; modules are whole frames.
            unsafe { frames.release_boot_frame(FrameNumber(frame)) };
        }
    }
    if let Some(Picture { first, count, .. }) = picture {
        // SAFETY: the loader says that a picture is there; `picture` looked that no memory is.
        unsafe { frames.add_device(ram_end, first, count, Caching::WriteCombining) };
    }
    BootInfo {
        command_line: requests::command_line(),
        modules,
        kernel_file,
        ram,
        cores: requests::cores(),
        epoch_seconds: requests::epoch_seconds(),
        entered: found.entered,
        reference,
        frames,
        framebuffer: picture.map(|picture| picture.layout),
        interrupts: found.interrupts,
    }
}

/// Where the loader's picture is, and how it lies there.
#[derive(Clone, Copy)]
struct Picture {
    first: FrameNumber,
    count: u32,
    layout: Framebuffer,
}

/// Most frames of a picture: 256 MiB.
const PICTURE_FRAMES: u64 = 1 << 16;

/// The loader's first framebuffer, if it is one of whole frames with no memory among them.
fn picture() -> Option<Picture> {
    let (address, layout) = requests::framebuffer()?;
    let address = address.checked_sub(DIRECT_MAP)?;
    let count = (u64::from(layout.pitch) * u64::from(layout.height)).div_ceil(PAGE_SIZE as u64);
    let end = address.checked_add(count * PAGE_SIZE as u64)?;
    let whole = address.is_multiple_of(PAGE_SIZE as u64) && (1..=PICTURE_FRAMES).contains(&count);
    let first = FrameNumber::containing(PhysicalAddress(address))?;
    let usable = whole && !memory_map::has_memory(address, end);
    usable.then_some(Picture { first, count: count as u32, layout })
}

/// The HPET as a reference clock: its first register says how many femtoseconds a tick has, at most 100 ns.
fn hpet_reference(address: u64) -> Option<Reference> {
    // SAFETY: the HPET table says that its registers are there.
    let registers =
        unsafe { kernel_map::map_device(PhysicalAddress(address), 1024) }?.cast::<u64>();
    // SAFETY: mapped just now.
    let period = unsafe { registers.read_volatile() } >> 32;
    (1..=100_000_000).contains(&period).then_some(Reference::Hpet(registers, period))
}

/// Defines the kernel's entry point, which brings the core up and calls the given function on the kernel stack.
#[macro_export]
macro_rules! entry_point {
    ($main:path) => {
        // SAFETY: the linker script names `_start` as the entry; nothing else has this name.
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            extern "sysv64" fn main() -> ! {
                $main()
            }
            $crate::boot::start(main)
        }
    };
}
