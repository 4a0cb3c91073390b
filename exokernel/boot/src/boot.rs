//! From "files and a memory map" to the kernel's first instruction.
//!
//! The order matters: everything is allocated before the memory map is handed over, other CPUs
//! start when page tables are final, and the responses are written last.
//!
//! May use memory below 4 GiB only (both front ends have that identity mapped), and only what it
//! allocated from the [`MemoryMap`] or was given as files.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Range;
use core::slice;

use crate::acpi::{self, Acpi, Physical, Processor};
use crate::clock;
use crate::cpu::{self, Apic};
use crate::elf::{Access, Elf};
use crate::error::Error;
use crate::faults::{self, TablePointer};
use crate::image::Plan;
use crate::memory::{ALLOCATION_WINDOW, Kind, MemoryMap, PAGE, page_ceil, page_floor};
use crate::paging::{Cache, NO_EXECUTE, TableMemory, Tables, WRITE};
use crate::protocol::arena::Arena;
use crate::protocol::requests::{Feature, Requests};
use crate::protocol::responses::{
    Facts, File, Firmware, Framebuffer, Processors, arena_bytes, place_processor, respond,
};
use crate::protocol::{HHDM, MINIMUM_STACK};
use crate::serial;
use crate::smp::{self, Environment, Record, Starter, TRAMPOLINE_WINDOW};

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
        // SAFETY: 1. The front ends identity map all below that address. 2. Only firmware tables are read
        // through this, which nobody writes any more. 3. The address is not null.
        Some(unsafe { slice::from_raw_parts(address as *const u8, length) })
    }
}

/// Takes memory for good: its physical address, and its words, zeroed.
fn take_words<'a>(
    memory: &mut MemoryMap,
    bytes: u64,
    align: u64,
    kind: Kind,
    purpose: &'static str,
) -> Result<(u64, &'a mut [u64]), Error> {
    let address = memory.allocate(bytes, align, ALLOCATION_WINDOW, kind, purpose)?;
    let words = (page_ceil(bytes) / 8) as usize;
    // SAFETY: 1. The map gave these pages away just now, so they are nobody else's. 2. They are RAM
    // below 4 GiB, identity mapped, and not page 0. 3. Any bytes are valid words.
    let words = unsafe { slice::from_raw_parts_mut(address as *mut u64, words) };
    words.fill(0);
    Ok((address, words))
}

struct TableAllocator<'a>(&'a mut MemoryMap);

impl TableMemory for TableAllocator<'_> {
    fn new_table(&mut self) -> Result<u64, Error> {
        let kind = Kind::BootloaderReclaimable;
        take_words(self.0, PAGE, PAGE, kind, "page tables").map(|(address, _)| address)
    }

    fn table(&mut self, physical: u64) -> &mut [u64; 512] {
        // SAFETY: 1. `physical` came from `new_table` or from an entry made of one: a page of ours,
        // identity mapped. 2. The borrow of `self` makes it the only reference.
        unsafe { &mut *(physical as *mut [u64; 512]) }
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
pub unsafe fn start(machine: Machine, payload: Payload) -> Result<Infallible, Error> {
    let Machine { mut memory, rsdp, firmware, framebuffer, identity_end } = machine;
    let kind = Kind::BootloaderReclaimable;
    let (faults_at, words) = take_words(&mut memory, PAGE, PAGE, kind, "exception tables")?;
    // SAFETY: 1. The page is taken for good. 2. The caller vouches that interrupts are off.
    let idt = unsafe { catch_faults(faults_at, words) };
    if cpu::runs_five_levels() {
        return Err(Error::Firmware("five-level paging is on"));
    }
    for file in payload.modules.iter().chain([&payload.kernel]) {
        memory.set(file.bytes.clone(), Kind::ExecutableAndModules);
    }
    let acpi = rsdp.map(|rsdp| acpi::walk(&Identity(identity_end), rsdp)).unwrap_or_default();
    for table in &acpi.tables {
        memory.convert(table.clone(), |kind| kind == Kind::Reserved, Kind::ReservedMapped);
    }

    // SAFETY: 1. The file is initialised and below 4 GiB. 2. It stays as it is.
    let file = unsafe { file_bytes(&payload.kernel) };
    let plan = Plan::new(Elf::parse(file)?)?;
    let kind = Kind::ExecutableAndModules;
    let (image_at, image) = take_words(&mut memory, plan.size(), plan.align, kind, "the kernel")?;
    plan.load(as_bytes(image))?;
    let mut requests = Requests::scan(image)?;
    let entry = requests.field_of(Feature::EntryPoint).unwrap_or(plan.entry);

    // SAFETY: The caller vouches that the APIC's registers are identity mapped.
    let cpus = requests.field_of(Feature::Mp).map(|flags| unsafe { Cpus::find(&acpi, flags) });
    let count = cpus.as_ref().map_or(0, |cpus| cpus.list.len());
    let stack_size = stack_size(&requests)?;
    let kind = Kind::BootloaderReclaimable;
    let stacks = stack_size * count.max(1) as u64;
    let stacks = memory.allocate(stacks, PAGE, ALLOCATION_WINDOW, kind, "stacks")?;
    let stack_end = |index: usize| HHDM + stacks + stack_size * (index as u64 + 1);

    let files: Vec<&File> = payload.modules.iter().chain([&payload.kernel]).collect();
    let regions = memory.regions().len() + SPARE_REGIONS;
    let bytes = arena_bytes(regions, count, &files);
    let (arena_at, words) = take_words(&mut memory, bytes, PAGE, kind, "responses")?;
    let mut arena = Arena::new(words, HHDM + arena_at);
    let gdt = TablePointer::new(arena.words(&smp::GDT)?, smp::GDT.len());

    let trampoline = match count {
        0 | 1 => None,
        _ => Some(memory.allocate(PAGE, PAGE, TRAMPOLINE_WINDOW, kind, "the AP trampoline")?),
    };
    let page_tables = build_tables(&mut memory, &plan, image_at, trampoline)?;
    let environment = Environment { page_tables, gdt, idt };

    // SAFETY: 1. Present page tables are identity maps of write-back memory. 2. The loader writes
    // to no read-only page.
    unsafe { cpu::set_protocol_state() };
    // SAFETY: They come from the MADT and lie below 4 GiB, identity mapped.
    unsafe { cpu::mask_interrupts(&acpi.io_apics) };
    let processors = match cpus {
        Some(cpus) => {
            // SAFETY: 1. Tables are final, and the trampoline page is mapped. 2. Each CPU has a stack
            // of its own. 3. The caller vouches for the other CPUs.
            Some(unsafe { cpus.start(&mut arena, trampoline, environment, stack_end) }?)
        }
        None => None,
    };

    let facts = Facts {
        hhdm: HHDM,
        image: (image_at, plan.pages.start),
        rsdp: rsdp.filter(|_| !acpi.tables.is_empty()),
        firmware,
        kernel: &payload.kernel,
        modules: &payload.modules,
        date: clock::read(cpu::cmos),
        framebuffer,
        memory: memory.regions(),
        processors: processors.as_ref(),
    };
    respond(&mut requests, &mut arena, &facts)?;
    // SAFETY: 1. `build_tables` mapped the entry code, the direct map with stack, GDT and IDT, and
    // the kernel. 2. Nothing of ours is used any more.
    unsafe { smp::enter(&environment, stack_end(0), entry) }
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

/// # Safety
/// The file's memory is initialised, below 4 GiB, and nobody writes to it.
unsafe fn file_bytes(file: &File) -> &'static [u8] {
    let Range { start, end } = file.bytes;
    // SAFETY: The caller vouches; memory below 4 GiB is identity mapped.
    unsafe { slice::from_raw_parts(start as *const u8, (end - start) as usize) }
}

fn as_bytes(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: 1. The same bytes, borrowed as long. 2. Bytes need no alignment, any are valid.
    unsafe { slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

fn stack_size(requests: &Requests<'_>) -> Result<u64, Error> {
    let wanted = requests.field_of(Feature::StackSize).unwrap_or(0).max(MINIMUM_STACK);
    match wanted {
        ..=MAX_STACK => Ok(page_ceil(wanted)),
        _ => Err(Error::Protocol("a stack of more than 64 MiB")),
    }
}

/// The kernel's first address space: the direct map (never executable), the image with its
/// segments' permissions, and the identity mapped pages in which CPUs change over.
fn build_tables(
    memory: &mut MemoryMap,
    plan: &Plan<'_>,
    image_at: u64,
    trampoline: Option<u64>,
) -> Result<u64, Error> {
    let no_execute = if cpu::has_no_execute() { NO_EXECUTE } else { 0 };
    let regions: Vec<_> = memory.regions().iter().filter(|r| r.kind.is_mapped()).copied().collect();
    let mut tables = Tables::new(TableAllocator(memory), cpu::has_gigabyte_pages())?;
    for (range, cache) in direct_map(&regions) {
        let length = range.end - range.start;
        tables.map(HHDM + range.start, range.start, length, WRITE | no_execute, cache)?;
    }
    for (pages, Access { write, execute }) in plan.mappings() {
        let access = if write { WRITE } else { 0 } | if execute { 0 } else { no_execute };
        let physical = image_at + (pages.start - plan.pages.start);
        tables.map(pages.start, physical, pages.end - pages.start, access, Cache::WriteBack)?;
    }
    for code in [smp::entry_code(), faults::code()] {
        let (start, end) = (page_floor(code.start), page_ceil(code.end));
        tables.map(start, start, end - start, 0, Cache::WriteBack)?;
    }
    if let Some(page) = trampoline {
        tables.map(page, page, PAGE, WRITE, Cache::WriteBack)?;
    }
    Ok(tables.root())
}

/// Runs of mapped memory of one memory type, as long as they can be: fewer and larger pages.
fn direct_map(regions: &[crate::memory::Region]) -> Vec<(Range<u64>, Cache)> {
    let mut runs: Vec<(Range<u64>, Cache)> = Vec::new();
    for region in regions {
        let cache = match region.kind {
            Kind::Framebuffer => Cache::WriteCombining,
            _ => Cache::WriteBack,
        };
        match runs.last_mut() {
            Some((run, of)) if run.end == region.base && *of == cache => run.end = region.end,
            _ => runs.push((region.base..region.end, cache)),
        }
    }
    runs
}

struct Cpus {
    /// The boot CPU is among them.
    list: Vec<Processor>,
    apic: Apic,
    x2apic: bool,
}

impl Cpus {
    /// Lists the CPUs and puts this one's APIC in the mode that the kernel asks for.
    ///
    /// # Safety
    /// The APIC's registers are identity mapped.
    unsafe fn find(acpi: &Acpi, flags: u64) -> Cpus {
        if flags & 1 != 0 && cpu::has_x2apic() {
            // SAFETY: CPUID says so, and firmware leaves the boot CPU's APIC enabled.
            unsafe { Apic::enable_x2apic() };
        }
        // SAFETY: The caller vouches.
        let apic = unsafe { Apic::current() };
        let x2apic = matches!(apic, Apic::Registers);
        let mut list = acpi.processors.clone();
        // Ids above 8 bits can only be addressed in x2APIC mode.
        list.retain(|processor| x2apic || processor.apic_id < 0xff);
        if !list.iter().any(|processor| processor.apic_id == apic.id()) {
            list.insert(0, Processor { acpi_id: 0, apic_id: apic.id() });
        }
        Cpus { list, apic, x2apic }
    }

    /// Starts all but the boot CPU. Who does not come up is left out, and named on COM1.
    ///
    /// # Safety
    /// 1. `trampoline` and `environment` are as [`Starter::new`] wants them. 2. `stack_end` is another
    ///    one for each index below the number of CPUs; 0 is not taken here. 3. No other CPU is needed.
    unsafe fn start(
        self,
        arena: &mut Arena<'_>,
        trampoline: Option<u64>,
        environment: Environment,
        stack_end: impl Fn(usize) -> u64,
    ) -> Result<Processors, Error> {
        let boot_apic_id = self.apic.id();
        let place = |processor: &Processor| place_processor(arena, *processor);
        let entries = self.list.iter().map(place).collect::<Result<Vec<u64>, Error>>()?;
        let records = self.records(boot_apic_id, &entries, stack_end);
        let address = arena.words(&records)?;
        // SAFETY: 1. The arena holds these words for good, and is identity mapped as well as in the
        // direct map. 2. `records` laid them out as records. 3. CPUs change `ready` only, an atomic.
        let records: &[Record] = unsafe {
            slice::from_raw_parts((address - HHDM) as *const Record, self.list.len() - 1)
        };
        if let Some(page) = trampoline {
            // SAFETY: 1. The caller vouches for page, environment, and CPUs. 2. The records name all
            // CPUs but this one, each with a stack and entry of its own.
            unsafe {
                Starter::new(page, self.apic, environment, self.x2apic).start(records, address);
            }
        }
        let missing = |entry: &u64| records.iter().any(|r| r.entry == *entry && !r.is_ready());
        for record in records.iter().filter(|record| !record.is_ready()) {
            let id = record.apic_id;
            serial::say(format_args!("warning: CPU with APIC id {id} did not start"));
        }
        let entries = entries.into_iter().filter(|entry| !missing(entry)).collect();
        Ok(Processors { entries, boot_apic_id, x2apic: self.x2apic })
    }

    /// The words of a [`Record`] for each CPU but the boot CPU.
    fn records(&self, boot: u32, entries: &[u64], stack_end: impl Fn(usize) -> u64) -> Vec<u64> {
        let others = self.list.iter().zip(entries).filter(|(cpu, _)| cpu.apic_id != boot);
        let record = |(index, (cpu, entry)): (usize, (&Processor, &u64))| {
            [u64::from(cpu.apic_id), *entry, stack_end(index + 1)]
        };
        others.enumerate().flat_map(record).collect()
    }
}

/// Splits a boot module's string, "FILE NAME rest", as QEMU's `-initrd` gives it: its name (NAME,
/// or FILE's last component) and the rest.
#[must_use]
pub fn split_module_string(text: &str) -> (String, String) {
    let text = text.trim();
    let (file, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    let name = if name.is_empty() { file } else { name };
    (String::from(crate::config::base_name(name)), String::from(rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_strings() {
        let split = |text| split_module_string(text);
        let pair = |a: &str, b: &str| (String::from(a), String::from(b));
        assert_eq!(split("/a/b/serix-kernel"), pair("serix-kernel", ""));
        assert_eq!(split("/a/serix-kernel kernel.elf"), pair("kernel.elf", ""));
        assert_eq!(split("/a/x /serix/init one  two "), pair("init", "one  two"));
        assert_eq!(split(""), pair("", ""));
    }

    #[test]
    fn direct_map_joins_neighbours() {
        let memory = MemoryMap::from_firmware([
            (0x1000, 0x9e000, Kind::Usable),
            (0x10_0000, 0x10_0000, Kind::Usable),
            (0x20_0000, 0x1000, Kind::AcpiNvs),
            (0x20_1000, 0x1000, Kind::Framebuffer),
        ]);
        let runs = direct_map(memory.regions());
        assert_eq!(
            runs,
            [
                (0x1000..0x9f000, Cache::WriteBack),
                (0x10_0000..0x20_1000, Cache::WriteBack),
                (0x20_1000..0x20_2000, Cache::WriteCombining),
            ]
        );
    }
}
