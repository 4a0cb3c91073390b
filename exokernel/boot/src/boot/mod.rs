//! From "files and a memory map" to the kernel's first instruction.
//!
//! The order matters: everything is allocated before the memory map is handed over, other CPUs
//! start when page tables are final, and the responses are written last.
//!
//! May use memory below 4 GiB only (both front ends have that identity mapped), and only what it
//! allocated from the [`MemoryMap`] or was given as files.

mod processors;
mod space;

use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Range;
use core::slice;

use crate::acpi::{self, Acpi, Physical};
use crate::clock;
use crate::cpu;
use crate::elf::Elf;
use crate::error::Error;
use crate::faults::{self, TablePointer};
use crate::image::Plan;
use crate::memory::{ALLOCATION_WINDOW, Kind, MemoryMap, PAGE, page_ceil};
use crate::protocol::arena::Arena;
use crate::protocol::requests::{Feature, Requests};
use crate::protocol::responses::{Facts, File, Firmware, Framebuffer, arena_bytes, respond};
use crate::protocol::{HHDM, MINIMUM_STACK};
use crate::smp::{self, Environment, TRAMPOLINE_WINDOW};

use processors::Cpus;
use space::{build_tables, take_words};

/// Regions that later allocations may add to the memory map.
const SPARE_REGIONS: usize = 32;
const MAX_STACK: u64 = 64 << 20;

/// What a front end found out about the machine.
#[derive(Debug)]
pub struct Machine {
    /// Physical memory. The loader's own memory and all files are in it, not as usable.
    pub memory: MemoryMap,
    /// Physical address of the RSDP.
    pub rsdp: Option<u64>,
    /// The firmware that started us.
    pub firmware: Firmware,
    /// A framebuffer, if the firmware set one up.
    pub framebuffer: Option<Framebuffer>,
    /// Where identity mapped memory ends: 4 GiB or more.
    pub identity_end: u64,
}

/// The files of the chosen boot entry.
#[derive(Debug)]
pub struct Payload {
    /// The kernel; its string is the command line.
    pub kernel: File,
    /// The modules in order.
    pub modules: Vec<File>,
}

/// Identity mapped physical memory, up to this address.
struct Identity(u64);

impl Physical for Identity {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        if address == 0 || end > self.0 {
            return None;
        }
        // SAFETY: 1. The front ends identity map all below that address. 2. Only firmware tables are
        // read through this, which nobody writes any more. 3. The address is not null.
        Some(unsafe { slice::from_raw_parts(address as *const u8, length) })
    }
}

/// Whether a kernel's file could be loaded: for a front end that can still tell its user.
///
/// # Errors
/// [`Error::Elf`].
pub fn check_kernel(file: &[u8]) -> Result<(), Error> {
    let elf = Elf::parse(file)?;
    elf.relocations()?;
    Plan::new(elf).map(drop)
}

/// Boots. Returns only if that is impossible.
///
/// # Errors
/// Why the kernel was not started.
///
/// # Safety
/// 1. Privilege level 0, long mode, interrupts off, this is the boot CPU, and the others do nothing
///    that matters. 2. All memory up to `identity_end` is identity mapped, and the APICs' registers. 3.
///    Usable memory of the machine is free, and the files' memory, below 4 GiB, is initialised and
///    not written.
pub unsafe fn start(mut machine: Machine, payload: Payload) -> Result<Infallible, Error> {
    let memory = &mut machine.memory;
    let kind = Kind::BootloaderReclaimable;
    let (faults_at, words) = take_words(memory, PAGE, PAGE, kind, "exception tables")?;
    // SAFETY: 1. The page is taken for good. 2. The caller vouches that interrupts are off.
    let idt = unsafe { catch_faults(faults_at, words) };
    if cpu::runs_five_levels() {
        return Err(Error::Firmware("five-level paging is on"));
    }
    payload.files().for_each(|file| memory.set(file.bytes.clone(), Kind::ExecutableAndModules));
    let acpi = find_tables(memory, machine.rsdp, machine.identity_end);
    // SAFETY: The caller vouches for the files.
    let mut kernel = unsafe { Kernel::load(memory, &payload.kernel) }?;

    // SAFETY: The caller vouches that the APIC's registers are identity mapped.
    let find = |flags| unsafe { Cpus::find(&acpi, flags) };
    let cpus = kernel.requests.field_of(Feature::Mp).map(find);
    let count = cpus.as_ref().map_or(1, Cpus::count);
    let stacks = Stacks::allocate(memory, &kernel.requests, count)?;
    let mut arena = make_arena(memory, count, &payload)?;
    let gdt = TablePointer::new(arena.words(&smp::GDT)?, smp::GDT.len());
    let trampoline = match count {
        1 => None,
        _ => Some(memory.allocate(PAGE, PAGE, TRAMPOLINE_WINDOW, kind, "the AP trampoline")?),
    };
    let page_tables = build_tables(memory, &kernel.plan, kernel.physical, trampoline)?;
    let environment = Environment { page_tables, gdt, idt };

    // SAFETY: 1. Present page tables are identity maps of write-back memory. 2. The loader writes
    // to no read-only page. 3. The I/O APICs come from the MADT and lie below 4 GiB, identity mapped.
    unsafe {
        cpu::set_protocol_state();
        cpu::mask_interrupts(&acpi.io_apics);
    }
    // SAFETY: 1. Tables are final, and the trampoline page is mapped. 2. Each CPU has a stack of its
    // own. 3. The caller vouches for the other CPUs.
    let start = |cpus: Cpus| unsafe { cpus.start(&mut arena, trampoline, environment, &stacks) };
    let processors = cpus.map(start).transpose()?;
    let facts = Facts {
        hhdm: HHDM,
        image: (kernel.physical, kernel.plan.pages.start),
        rsdp: machine.rsdp.filter(|_| !acpi.tables.is_empty()),
        firmware: machine.firmware,
        kernel: &payload.kernel,
        modules: &payload.modules,
        date: clock::read(cpu::cmos),
        framebuffer: machine.framebuffer,
        memory: memory.regions(),
        processors: processors.as_ref(),
    };
    respond(&mut kernel.requests, &mut arena, &facts)?;
    // SAFETY: 1. `build_tables` mapped the entry code, the direct map with stack, GDT and IDT, and
    // the kernel. 2. Nothing of ours is used any more.
    unsafe { smp::enter(&environment, stacks.end(0), kernel.entry) }
}

impl Payload {
    fn files(&self) -> impl Iterator<Item = &File> {
        self.modules.iter().chain([&self.kernel])
    }
}

/// Walks the ACPI tables and keeps them readable for the kernel, wherever the firmware put them.
fn find_tables(memory: &mut MemoryMap, rsdp: Option<u64>, identity_end: u64) -> Acpi {
    let acpi = rsdp.map(|rsdp| acpi::walk(&Identity(identity_end), rsdp)).unwrap_or_default();
    for table in &acpi.tables {
        memory.convert(table.clone(), |kind| kind == Kind::Reserved, Kind::ReservedMapped);
    }
    acpi
}

/// The kernel in memory.
struct Kernel {
    plan: Plan<'static>,
    /// Physical address of the image.
    physical: u64,
    /// Virtual address of its entry point.
    entry: u64,
    requests: Requests<'static>,
}

impl Kernel {
    /// # Safety
    /// The file's memory is initialised, below 4 GiB, and nobody writes to it any more.
    unsafe fn load(memory: &mut MemoryMap, file: &File) -> Result<Kernel, Error> {
        let Range { start, end } = file.bytes;
        // SAFETY: The caller vouches; memory below 4 GiB is identity mapped.
        let bytes = unsafe { slice::from_raw_parts(start as *const u8, (end - start) as usize) };
        let plan = Plan::new(Elf::parse(bytes)?)?;
        let kind = Kind::ExecutableAndModules;
        let (physical, image) = take_words(memory, plan.size(), plan.align, kind, "the kernel")?;
        plan.load(as_bytes(image))?;
        let requests = Requests::scan(image)?;
        let entry = requests.field_of(Feature::EntryPoint).unwrap_or(plan.entry);
        Ok(Kernel { plan, physical, entry, requests })
    }
}

fn as_bytes(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: 1. The same bytes, borrowed as long. 2. Bytes need no alignment, any are valid.
    unsafe { slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

/// Stacks of one size for all CPUs, one after the other.
struct Stacks {
    base: u64,
    size: u64,
}

impl Stacks {
    fn allocate(
        memory: &mut MemoryMap,
        requests: &Requests<'_>,
        count: usize,
    ) -> Result<Stacks, Error> {
        let wanted = requests.field_of(Feature::StackSize).unwrap_or(0).max(MINIMUM_STACK);
        if wanted > MAX_STACK {
            return Err(Error::Protocol("a stack of more than 64 MiB"));
        }
        let (size, kind) = (page_ceil(wanted), Kind::BootloaderReclaimable);
        let bytes = size * count as u64;
        let base = memory.allocate(bytes, PAGE, ALLOCATION_WINDOW, kind, "stacks")?;
        Ok(Stacks { base, size })
    }

    /// The end of stack number `index`, in the direct map.
    fn end(&self, index: usize) -> u64 {
        HHDM + self.base + self.size * (index as u64 + 1)
    }
}

/// An arena that holds all responses, however the memory map grows until then.
fn make_arena(
    memory: &mut MemoryMap,
    processors: usize,
    payload: &Payload,
) -> Result<Arena<'static>, Error> {
    let files: Vec<&File> = payload.files().collect();
    let regions = memory.regions().len() + SPARE_REGIONS;
    let bytes = arena_bytes(regions, processors, &files);
    let kind = Kind::BootloaderReclaimable;
    let (address, words) = take_words(memory, bytes, PAGE, kind, "responses")?;
    Ok(Arena::new(words, HHDM + address))
}

/// Exceptions end in a line on COM1 from here on. Makes two tables in the page at `address`, since
/// the kernel's code segment has another selector; gives the kernel's, in the direct map.
///
/// # Safety
/// The page is not used for anything else, and interrupts are off.
unsafe fn catch_faults(address: u64, page: &mut [u64]) -> TablePointer {
    let ours = faults::table(faults::code_selector());
    let kernels = faults::table(smp::CODE_SELECTOR);
    let length = ours.len();
    page[..length].copy_from_slice(&ours);
    page[length..2 * length].copy_from_slice(&kernels);
    // SAFETY: 1. The table is for this CPU's code segment. 2. The caller vouches for the page.
    unsafe { faults::load(TablePointer::new(address, length)) };
    TablePointer::new(HHDM + address + size_of_val(&ours) as u64, length)
}
