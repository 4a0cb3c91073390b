//! Writing the answers to the kernel's requests.
//!
//! A request is answered or left alone; what cannot be given (no framebuffer, no RSDP, no clock)
//! stays unanswered. Structures are written as words: all fields of the protocol are 64-bit, or
//! pairs of 32-bit ones.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::arena::Arena;
use super::requests::{Feature, Found, Requests};
use crate::acpi::Processor;
use crate::error::Error;
use crate::memory::Region;

/// Words of an entry of the MP response: ids, reserved, goto address, extra.
pub const PROCESSOR_WORDS: usize = 4;

/// Words that starting a CPU takes in the arena besides: a `smp::Record`.
const START_WORDS: usize = size_of::<crate::smp::Record>() / 8;

/// A file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path on the boot volume.
    pub path: String,
    /// The string given to it: a kernel's command line, a module's `module_string`.
    pub string: String,
    /// Its physical bytes; the start is page aligned.
    pub bytes: Range<u64>,
}

/// A linear framebuffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framebuffer {
    /// Physical address.
    pub address: u64,
    /// Pixels in a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Bytes from one row to the next.
    pub pitch: u64,
    /// Bits of a pixel.
    pub bits_per_pixel: u16,
    /// `(size, shift)` in bits of red, green and blue.
    pub masks: [(u8, u8); 3],
}

/// The firmware that the machine was started by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// A BIOS.
    Bios = 0,
    /// 64-bit UEFI.
    Uefi = 2,
}

/// The CPUs as the kernel will see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processors {
    /// Addresses of the entries that [`place_processor`] made, of CPUs that run.
    pub entries: Vec<u64>,
    /// APIC id of the CPU that enters the kernel.
    pub boot_apic_id: u32,
    /// Whether the APICs are in x2APIC mode.
    pub x2apic: bool,
}

/// All that there is to say.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Start of the direct map.
    pub hhdm: u64,
    /// Physical and virtual start of the image.
    pub image: (u64, u64),
    /// Physical address of the RSDP.
    pub rsdp: Option<u64>,
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// The kernel's file; its string is the command line.
    pub kernel: &'a File,
    /// Modules in order.
    pub modules: &'a [File],
    /// Seconds since 1970.
    pub date: Option<i64>,
    /// The framebuffer, if there is one.
    pub framebuffer: Option<Framebuffer>,
    /// The final memory map.
    pub memory: &'a [Region],
    /// The CPUs, if the kernel asked for them.
    pub processors: Option<&'a Processors>,
}

/// Makes the MP response's entry of one CPU.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn place_processor(arena: &mut Arena<'_>, processor: Processor) -> Result<u64, Error> {
    let ids = u64::from(processor.acpi_id) | u64::from(processor.apic_id) << 32;
    arena.words(&[ids, 0, 0, 0])
}

/// How many bytes of arena the answers take at most, given the lengths that vary.
#[must_use]
pub fn arena_bytes(facts_regions: usize, processors: usize, files: &[&File]) -> u64 {
    let texts: usize = files.iter().map(|f| 2 * (f.path.len() + f.string.len()) + 64 + 128).sum();
    (4096 + facts_regions * 32 + processors * (PROCESSOR_WORDS + 1 + START_WORDS) * 8 + texts)
        as u64
}

/// Answers every request of the kernel.
///
/// # Errors
/// [`Error::OutOfMemory`] when the arena is too small, [`Error::Protocol`] for a request that
/// insists on what is not spoken here.
pub fn respond(
    requests: &mut Requests<'_>,
    arena: &mut Arena<'_>,
    facts: &Facts<'_>,
) -> Result<(), Error> {
    for request in requests.all() {
        if let Some(address) = answer(requests, request, arena, facts)? {
            requests.answer(request, address);
        }
    }
    Ok(())
}

fn answer(
    requests: &Requests<'_>,
    request: Found,
    arena: &mut Arena<'_>,
    facts: &Facts<'_>,
) -> Result<Option<u64>, Error> {
    let response = match request.feature {
        Feature::BootloaderInfo => {
            let name = arena.text("serix-boot")?;
            let version = arena.text(env!("CARGO_PKG_VERSION"))?;
            arena.words(&[0, name, version])
        }
        Feature::ExecutableCmdline => {
            let text = arena.text(&facts.kernel.string)?;
            arena.words(&[0, text])
        }
        Feature::FirmwareType => arena.words(&[0, facts.firmware as u64]),
        Feature::StackSize | Feature::EntryPoint => arena.words(&[0]),
        Feature::Hhdm => arena.words(&[0, facts.hhdm]),
        Feature::PagingMode => four_levels(requests, request, arena),
        Feature::ExecutableAddress => arena.words(&[0, facts.image.0, facts.image.1]),
        Feature::ExecutableFile => {
            let file = place_file(arena, facts.kernel, facts.hhdm)?;
            arena.words(&[0, file])
        }
        Feature::Module => modules(requests, request, arena, facts),
        Feature::MemoryMap => memory_map(arena, facts.memory),
        Feature::Framebuffer => match &facts.framebuffer {
            Some(framebuffer) => place_framebuffer(arena, framebuffer, facts.hhdm),
            None => return Ok(None),
        },
        Feature::Mp => match facts.processors {
            Some(processors) => place_processors(arena, processors),
            None => return Ok(None),
        },
        Feature::Rsdp => match facts.rsdp {
            Some(address) => arena.words(&[0, facts.hhdm + address]),
            None => return Ok(None),
        },
        Feature::DateAtBoot => match facts.date {
            Some(date) => arena.words(&[0, date as u64]),
            None => return Ok(None),
        },
    };
    response.map(Some)
}

/// Mode 0 is four levels. A request of revision 1 states the least mode it can live with.
fn four_levels(
    requests: &Requests<'_>,
    request: Found,
    arena: &mut Arena<'_>,
) -> Result<u64, Error> {
    let minimum = if requests.revision(request) >= 1 { requests.field(request, 2) } else { None };
    match minimum.unwrap_or(0) {
        0 => arena.words(&[0, 0]),
        _ => Err(Error::Protocol("five-level paging is not offered")),
    }
}

fn modules(
    requests: &Requests<'_>,
    request: Found,
    arena: &mut Arena<'_>,
    facts: &Facts<'_>,
) -> Result<u64, Error> {
    let internal = if requests.revision(request) >= 1 { requests.field(request, 0) } else { None };
    if internal.unwrap_or(0) != 0 {
        return Err(Error::Protocol("internal modules are not offered"));
    }
    let place = |module| place_file(arena, module, facts.hhdm);
    let files = facts.modules.iter().map(place).collect::<Result<Vec<u64>, Error>>()?;
    let list = arena.words(&files)?;
    arena.words(&[0, files.len() as u64, list])
}

/// `struct limine_file`. Media type, TFTP address, partition and disk ids stay zero: unknown.
fn place_file(arena: &mut Arena<'_>, file: &File, hhdm: u64) -> Result<u64, Error> {
    let path = arena.text(&file.path)?;
    let string = arena.text(&file.string)?;
    let size = file.bytes.end - file.bytes.start;
    let mut words = [0; 14];
    words[1..5].copy_from_slice(&[hhdm + file.bytes.start, size, path, string]);
    arena.words(&words)
}

fn memory_map(arena: &mut Arena<'_>, regions: &[Region]) -> Result<u64, Error> {
    let place = |r: &Region| arena.words(&[r.base, r.end - r.base, r.kind as u64]);
    let entries = regions.iter().map(place).collect::<Result<Vec<u64>, Error>>()?;
    let list = arena.words(&entries)?;
    arena.words(&[0, entries.len() as u64, list])
}

fn place_processors(arena: &mut Arena<'_>, processors: &Processors) -> Result<u64, Error> {
    let list = arena.words(&processors.entries)?;
    let flags = u64::from(processors.x2apic) | u64::from(processors.boot_apic_id) << 32;
    arena.words(&[0, flags, processors.entries.len() as u64, list])
}

/// Revision 1: the framebuffer with its one video mode.
fn place_framebuffer(arena: &mut Arena<'_>, f: &Framebuffer, hhdm: u64) -> Result<u64, Error> {
    const RGB: u8 = 1;
    let [(rs, rp), (gs, gp), (bs, bp)] = f.masks;
    let depth = f.bits_per_pixel.to_le_bytes();
    let format = u64::from_le_bytes([depth[0], depth[1], RGB, rs, rp, gs, gp, bs]);
    let mode = arena.words(&[f.pitch, f.width, f.height, format, u64::from(bp)])?;
    let modes = arena.words(&[mode])?;
    let address = hhdm + f.address;
    let words = [address, f.width, f.height, f.pitch, format, u64::from(bp), 0, 0, 1, modes];
    let framebuffer = arena.words(&words)?;
    let list = arena.words(&[framebuffer])?;
    arena.words(&[1, 1, list])
}

#[cfg(test)]
mod tests {
    use super::super::requests::tests::words;
    use super::*;
    use crate::memory::Kind;
    use limine::BaseRevision;
    use limine::request::*;

    fn file(path: &str, string: &str, bytes: Range<u64>) -> File {
        File { path: path.into(), string: string.into(), bytes }
    }

    /// Answers one request of crate `limine` and gives it back with the response in it. The arena
    /// leaks: the crate follows real pointers into it.
    fn answered<T>(request: T, facts: &Facts<'_>) -> T {
        let tag = words(&BaseRevision::with_revision(4));
        let mut image = [tag, words(&request)].concat();
        let memory = Box::leak(vec![0u64; 1024].into_boxed_slice());
        let address = memory.as_ptr() as u64;
        let mut arena = Arena::new(memory, address);
        respond(&mut Requests::scan(&mut image).unwrap(), &mut arena, facts).unwrap();
        // SAFETY: 1. The words after the tag are a copy of `request` with another response
        // pointer. 2. That pointer leads to leaked memory, or is null. 3. Requests own nothing.
        unsafe { image.as_ptr().add(3).cast::<T>().read() }
    }

    fn with_facts(check: impl FnOnce(&Facts<'_>)) {
        let kernel = file("/serix/kernel.elf", "a=1 b", 0x5000..0x5123);
        let modules = [file("/serix/init", "", 0x8000..0x9000), file("/m", "x y", 0xa000..0xa001)];
        let region = |base, end, kind| Region { base, end, kind };
        let memory =
            [region(0x1000, 0x3000, Kind::Usable), region(0x3000, 0x4000, Kind::ReservedMapped)];
        let framebuffer = Framebuffer {
            address: 0x8000_0000,
            width: 1024,
            height: 768,
            pitch: 4096,
            bits_per_pixel: 32,
            masks: [(8, 16), (7, 8), (6, 1)],
        };
        check(&Facts {
            hhdm: super::super::HHDM,
            image: (0x20_0000, 0xffff_ffff_8000_0000),
            rsdp: Some(0xf_5a40),
            firmware: Firmware::Uefi,
            kernel: &kernel,
            modules: &modules,
            date: Some(1_800_000_000),
            framebuffer: Some(framebuffer),
            memory: &memory,
            processors: None,
        });
    }

    #[test]
    fn crate_limine_reads_the_plain_answers() {
        with_facts(|facts| {
            let info = answered(BootloaderInfoRequest::new(), facts);
            let info = info.get_response().unwrap();
            assert_eq!((info.name(), info.version()), ("serix-boot", env!("CARGO_PKG_VERSION")));
            let hhdm = answered(HhdmRequest::new(), facts);
            assert_eq!(hhdm.get_response().unwrap().offset(), facts.hhdm);
            let address = answered(ExecutableAddressRequest::new(), facts);
            let address = address.get_response().unwrap();
            assert_eq!((address.physical_base(), address.virtual_base()), facts.image);
            let rsdp = answered(RsdpRequest::new(), facts);
            assert_eq!(rsdp.get_response().unwrap().address() as u64, facts.hhdm + 0xf_5a40);
            let date = answered(DateAtBootRequest::new(), facts);
            assert_eq!(date.get_response().unwrap().timestamp().as_secs(), 1_800_000_000);
            let line = answered(ExecutableCmdlineRequest::new(), facts);
            assert_eq!(line.get_response().unwrap().cmdline().to_bytes(), b"a=1 b");
            let firmware = answered(FirmwareTypeRequest::new(), facts);
            let firmware = firmware.get_response().unwrap().firmware_type();
            assert!(firmware == limine::firmware_type::FirmwareType::UEFI_64);
            assert!(answered(StackSizeRequest::new(), facts).get_response().is_some());
            let mode = answered(PagingModeRequest::new(), facts);
            assert!(mode.get_response().unwrap().mode() == limine::paging::Mode::FOUR_LEVEL);
        });
    }

    #[test]
    fn crate_limine_reads_files_and_memory() {
        with_facts(|facts| {
            let request = answered(ExecutableFileRequest::new(), facts);
            let kernel = request.get_response().unwrap().file();
            assert_eq!((kernel.addr() as u64, kernel.size()), (facts.hhdm + 0x5000, 0x123));
            let request = answered(ModuleRequest::new(), facts);
            let modules = request.get_response().unwrap().modules();
            let texts: Vec<_> =
                modules.iter().map(|m| (m.path().to_bytes(), m.string().to_bytes())).collect();
            assert_eq!(texts, [(&b"/serix/init"[..], &b""[..]), (b"/m", b"x y")]);
            assert!(modules[1].partition_idx().is_none() && modules[1].gpt_disk_id().is_none());
            let request = answered(MemoryMapRequest::new(), facts);
            let entries = request.get_response().unwrap().entries();
            let entries: Vec<_> = entries.iter().map(|e| (e.base, e.length)).collect();
            assert_eq!(entries, [(0x1000, 0x2000), (0x3000, 0x1000)]);
        });
    }

    #[test]
    fn crate_limine_reads_the_framebuffer() {
        with_facts(|facts| {
            let request = answered(FramebufferRequest::new(), facts);
            let f = request.get_response().unwrap().framebuffers().next().unwrap();
            assert_eq!((f.width(), f.height(), f.pitch(), f.bpp()), (1024, 768, 4096, 32));
            assert_eq!((f.red_mask_size(), f.red_mask_shift()), (8, 16));
            assert_eq!((f.green_mask_size(), f.green_mask_shift()), (7, 8));
            assert_eq!((f.blue_mask_size(), f.blue_mask_shift()), (6, 1));
            assert_eq!(f.addr() as u64, facts.hhdm + 0x8000_0000);
            let modes = f.modes().unwrap();
            assert_eq!((modes.len(), modes[0].width, modes[0].blue_mask_shift), (1, 1024, 1));
        });
    }

    #[test]
    fn crate_limine_reads_processors() {
        let mut memory = [0u64; 64];
        let address = memory.as_ptr() as u64;
        let mut arena = Arena::new(&mut memory, address);
        let ids = [(0, 0), (1, 300)].map(|(acpi_id, apic_id)| Processor { acpi_id, apic_id });
        let entries = ids.map(|p| place_processor(&mut arena, p).unwrap()).to_vec();
        let processors = Processors { entries, boot_apic_id: 5, x2apic: true };
        with_facts(|facts| {
            let facts = Facts { processors: Some(&processors), ..*facts };
            let request = answered(MpRequest::new(), &facts);
            let mp = request.get_response().unwrap();
            assert_eq!(mp.bsp_lapic_id(), 5);
            assert!(mp.flags().contains(limine::mp::ResponseFlags::X2APIC));
            let seen: Vec<_> = mp.cpus().iter().map(|cpu| (cpu.id, cpu.lapic_id)).collect();
            assert_eq!(seen, [(0, 0), (1, 300)]);
        });
    }

    #[test]
    fn what_is_absent_stays_unanswered() {
        with_facts(|facts| {
            let none = Facts { framebuffer: None, rsdp: None, date: None, ..*facts };
            assert!(answered(FramebufferRequest::new(), &none).get_response().is_none());
            assert!(answered(RsdpRequest::new(), &none).get_response().is_none());
            assert!(answered(DateAtBootRequest::new(), &none).get_response().is_none());
            assert!(answered(MpRequest::new(), &none).get_response().is_none());
        });
    }

    #[test]
    fn arena_estimate_is_enough() {
        with_facts(|facts| {
            let files: Vec<&File> = facts.modules.iter().chain([facts.kernel]).collect();
            let size = arena_bytes(facts.memory.len(), 0, &files) as usize / 8;
            let mut memory = vec![0; size];
            let mut image = [
                words(&BaseRevision::with_revision(4)),
                words(&BootloaderInfoRequest::new()),
                words(&ExecutableCmdlineRequest::new()),
                words(&ExecutableFileRequest::new()),
                words(&ModuleRequest::new()),
                words(&MemoryMapRequest::new()),
                words(&FramebufferRequest::new()),
            ]
            .concat();
            let mut requests = Requests::scan(&mut image).unwrap();
            respond(&mut requests, &mut Arena::new(&mut memory, 0), facts).unwrap();
        });
    }
}
