//! Checks every response that the loader gave, then ends QEMU: 33 when all is well, 35 when not.
//!
//! Facts that only the host can judge (sizes, strings, CPU count) go to COM1, one per line.

mod machine;
mod smp;

use core::arch::global_asm;
use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::mp::RequestFlags;
use limine::request::*;

use machine::exit;

const STACK: u64 = 256 << 10;

static BASE_REVISION: BaseRevision = BaseRevision::with_revision(4);
static INFO: BootloaderInfoRequest = BootloaderInfoRequest::new();
static FIRMWARE: FirmwareTypeRequest = FirmwareTypeRequest::new();
static STACK_SIZE: StackSizeRequest = StackSizeRequest::new().with_size(STACK);
static HHDM: HhdmRequest = HhdmRequest::new();
static FRAMEBUFFER: FramebufferRequest = FramebufferRequest::new();
static PAGING: PagingModeRequest = PagingModeRequest::new();
static MP: MpRequest = MpRequest::new().with_flags(RequestFlags::X2APIC);
static MEMORY: MemoryMapRequest = MemoryMapRequest::new();
static FILE: ExecutableFileRequest = ExecutableFileRequest::new();
static MODULES: ModuleRequest = ModuleRequest::new();
static RSDP: RsdpRequest = RsdpRequest::new();
static DATE: DateAtBootRequest = DateAtBootRequest::new();
static ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
static COMMAND_LINE: ExecutableCmdlineRequest = ExecutableCmdlineRequest::new();

// All registers but RSP must be zero: their union goes to `main`, with the stack pointer.
global_asm!(
    ".global _start",
    "_start:",
    "or rdi, rax; or rdi, rbx; or rdi, rcx; or rdi, rdx; or rdi, rsi; or rdi, rbp",
    "or rdi, r8; or rdi, r9; or rdi, r10; or rdi, r11",
    "or rdi, r12; or rdi, r13; or rdi, r14; or rdi, r15",
    "mov rsi, rsp",
    "mov rdx, [rsp]",
    "and rsp, -16",
    "call {main}",
    main = sym main,
);

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
}

/// Written at run time: in the kernel's writable part.
static mut WRITABLE: u64 = 0x5e51;
/// A pointer in data, which a position-independent kernel has relocated.
static RELOCATED: &[u8; 9] = b"read only";

macro_rules! say {
    ($($arg:tt)*) => { let _ = core::fmt::Write::write_fmt(
            &mut $crate::checks::machine::Console,
            format_args!("{}\n", format_args!($($arg)*)),
        ); };
}
pub(crate) use say;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("FAIL {info}");
    exit(0x11)
}

extern "sysv64" fn main(registers: u64, stack: u64, return_address: u64) -> ! {
    assert_eq!(registers, 0, "a register was not zero at entry");
    assert_eq!(return_address, 0, "the return address must be zero");
    assert!(BASE_REVISION.is_supported() && BASE_REVISION.loaded_revision() == Some(4));
    let hhdm = HHDM.get_response().expect("HHDM").offset();
    assert_eq!(hhdm, 0xffff_8000_0000_0000);
    machine::check_state();
    let line = COMMAND_LINE.get_response().expect("command line").cmdline().to_bytes();
    match line {
        b"fault=ud" => machine::undefined_instruction(),
        b"fault=page" => touch(0xffff_8fff_ffff_f000),
        _ => {}
    }
    check_plain();
    check_memory(hhdm);
    check_image(hhdm);
    check_stack(hhdm, stack);
    check_files(hhdm);
    check_acpi(hhdm);
    smp::check(MP.get_response().expect("MP"), hhdm);
    say!("boot-test: ok");
    exit(0x10)
}

fn check_plain() {
    let info = INFO.get_response().expect("bootloader info");
    say!("loader {} {}", info.name(), info.version());
    let firmware = FIRMWARE.get_response().expect("firmware type").firmware_type();
    say!(
        "firmware {}",
        if firmware == limine::firmware_type::FirmwareType::X86_BIOS { "bios" } else { "uefi" }
    );
    assert!(PAGING.get_response().expect("paging mode").mode() == limine::paging::Mode::FOUR_LEVEL);
    let line = COMMAND_LINE.get_response().expect("command line").cmdline();
    say!("command line [{}]", line.to_str().expect("UTF-8"));
    say!("date {}", DATE.get_response().map_or(0, |date| date.timestamp().as_secs()));
    match FRAMEBUFFER.get_response().and_then(|f| f.framebuffers().next()) {
        Some(f) => {
            let (width, height) = (f.width(), f.height());
            say!("framebuffer {width}x{height}x{} pitch {}", f.bpp(), f.pitch());
            assert!(f.bpp() == 32 && f.pitch() >= width * 4);
            // Both corners can be written and read back.
            for pixel in [0, (height - 1) * f.pitch() + (width - 1) * 4] {
                let at = f.addr().wrapping_add(pixel as usize).cast::<u32>();
                // SAFETY: Inside the framebuffer that the loader reports and maps.
                unsafe {
                    at.write_volatile(0x0012_3456);
                    assert_eq!(at.read_volatile() & 0xff_ffff, 0x12_3456);
                }
            }
        }
        None => {
            say!("framebuffer none");
        }
    }
}

fn check_memory(hhdm: u64) {
    let entries = MEMORY.get_response().expect("memory map").entries();
    let (mut end, mut usable) = (0, 0);
    for entry in entries {
        let kind = kind_of(entry.entry_type);
        say!("memory {:#x} {:#x} {kind}", entry.base, entry.base + entry.length);
        assert!(entry.base >= end && entry.length > 0, "sorted, disjoint, not empty");
        assert!((entry.base | entry.length) % 4096 == 0, "page aligned");
        end = entry.base + entry.length;
        if kind != "reserved" && kind != "bad" {
            assert!(machine::walk(hhdm + entry.base).is_some_and(|p| p.physical == entry.base));
            let last = machine::walk(hhdm + end - 1).expect("the direct map ends early");
            assert_eq!(last.physical, end - 1);
            assert!(last.writable && !last.executable);
        } else {
            assert!(machine::walk(hhdm + entry.base).is_none(), "reserved memory is mapped");
        }
        if kind == "usable" {
            usable += entry.length;
            assert!(entry.base >= 0x1000, "page 0");
            touch(hhdm + entry.base);
            touch(hhdm + end - 8);
        }
    }
    say!("usable {} KiB", usable / 1024);
}

fn kind_of(kind: EntryType) -> &'static str {
    const NAMES: [(EntryType, &str); 8] = [
        (EntryType::USABLE, "usable"),
        (EntryType::RESERVED, "reserved"),
        (EntryType::ACPI_RECLAIMABLE, "acpi"),
        (EntryType::ACPI_NVS, "nvs"),
        (EntryType::BAD_MEMORY, "bad"),
        (EntryType::BOOTLOADER_RECLAIMABLE, "loader"),
        (EntryType::EXECUTABLE_AND_MODULES, "files"),
        (EntryType::FRAMEBUFFER, "framebuffer"),
    ];
    NAMES.iter().find(|(k, _)| *k == kind).map_or("reserved-mapped", |(_, name)| name)
}

/// The kind of memory at a physical address.
fn kind_at(address: u64) -> &'static str {
    let entries = MEMORY.get_response().expect("memory map").entries();
    let holds = |e: &&&limine::memory_map::Entry| (e.base..e.base + e.length).contains(&address);
    entries.iter().find(holds).map_or("hole", |entry| kind_of(entry.entry_type))
}

fn touch(address: u64) {
    let word = address as *mut u64;
    // SAFETY: Usable memory, mapped, nobody else's.
    unsafe {
        word.write_volatile(address);
        assert_eq!(word.read_volatile(), address);
    }
}

fn check_image(hhdm: u64) {
    let address = ADDRESS.get_response().expect("executable address");
    let (physical, base) = (address.physical_base(), address.virtual_base());
    assert_eq!(base, (&raw const image_start) as u64 & !0xfff);
    let end = (&raw const image_end) as u64;
    for page in (base..end).step_by(4096) {
        let Some(seen) = machine::walk(page) else { continue };
        assert_eq!(seen.physical - physical, page - base, "the image is contiguous");
        assert!(!(seen.writable && seen.executable), "no page is writable and executable");
        assert_eq!(kind_at(seen.physical), "files");
        let alias = hhdm + seen.physical;
        // SAFETY: Both are mapped, as just seen; code and data can be read.
        unsafe { assert_eq!(*(page as *const u64), *(alias as *const u64)) };
    }
    let text = machine::walk(main as *const () as u64).expect("text");
    assert!(text.executable && !text.writable, "text is read-execute");
    let rodata = machine::walk(RELOCATED.as_ptr() as u64).expect("rodata");
    assert!(!rodata.executable && !rodata.writable, "constants are read-only");
    assert_eq!(RELOCATED, b"read only");
    // SAFETY: One CPU runs, nothing else refers to it.
    unsafe {
        let word = &raw mut WRITABLE;
        let data = machine::walk(word as u64).expect("data");
        assert!(data.writable && !data.executable);
        assert_eq!(word.read_volatile(), 0x5e51);
        word.write_volatile(1);
    }
    say!("image {base:#x} at {physical:#x}");
}

fn check_stack(hhdm: u64, stack: u64) {
    assert!(STACK_SIZE.get_response().is_some());
    assert!(stack > hhdm, "the stack is in the direct map");
    // The return address was pushed, so the stack's end is 8 bytes up.
    let end = stack + 8 - hhdm;
    assert_eq!(end % 16, 0);
    for page in (end - STACK..end).step_by(4096) {
        assert_eq!(kind_at(page), "loader");
    }
}

fn check_files(hhdm: u64) {
    let file = FILE.get_response().expect("executable file").file();
    say!("kernel {} {} {:08x}", name(file.path()), file.size(), sum(file, hhdm));
    // SAFETY: The loader says that so many bytes are there, and `sum` has read them.
    let bytes = unsafe { core::slice::from_raw_parts(file.addr(), file.size() as usize) };
    assert!(bytes.starts_with(b"\x7fELF"));
    let modules = MODULES.get_response().map_or(&[][..], |m| m.modules());
    for module in modules {
        let (path, string) = (name(module.path()), name(module.string()));
        say!("module {path} [{string}] {} {:08x}", module.size(), sum(module, hhdm));
        assert_eq!(module.addr() as u64 % 4096, 0);
    }
}

fn name(text: &core::ffi::CStr) -> &str {
    text.to_str().expect("UTF-8")
}

/// Sum of the file's bytes, which all lie in memory of the right kind.
fn sum(file: &limine::file::File, hhdm: u64) -> u32 {
    let start = file.addr() as u64 - hhdm;
    for page in (start..start + file.size()).step_by(4096) {
        assert_eq!(kind_at(page), "files");
    }
    // SAFETY: The loader says that so many bytes are there; they are mapped, as memory is checked.
    let bytes = unsafe { core::slice::from_raw_parts(file.addr(), file.size() as usize) };
    bytes.iter().fold(0u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

fn check_acpi(hhdm: u64) {
    let Some(rsdp) = RSDP.get_response() else {
        say!("acpi none");
        return;
    };
    let rsdp = rsdp.address() as u64;
    assert!(rsdp > hhdm, "the RSDP is in the direct map at revision 4");
    let revision = byte(rsdp + 15);
    // SAFETY: The loader maps the RSDP.
    assert_eq!(unsafe { *(rsdp as *const [u8; 8]) }, *b"RSD PTR ");
    let (root, entry) = if revision >= 2 { (long(rsdp + 24), 8) } else { (word(rsdp + 16), 4) };
    let root = hhdm + root;
    let mut seen_madt = false;
    for at in (36..word(root + 4)).step_by(entry as usize) {
        let table = hhdm + if entry == 8 { long(root + at) } else { word(root + at) };
        let length = word(table + 4);
        assert!((36..1 << 20).contains(&length));
        let sum = (0..length).fold(0u8, |sum, at| sum.wrapping_add(byte(table + at)));
        assert_eq!(sum, 0, "an ACPI table's checksum");
        seen_madt |= word(table) == u64::from(u32::from_le_bytes(*b"APIC"));
    }
    assert!(seen_madt);
    say!("acpi revision {revision} in {}", kind_at(rsdp - hhdm));
}

fn byte(address: u64) -> u8 {
    assert!(machine::walk(address).is_some(), "{address:#x} is not mapped");
    // SAFETY: Mapped, as just seen.
    unsafe { *(address as *const u8) }
}

fn word(address: u64) -> u64 {
    let byte = |at| u64::from(byte(address + at));
    byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
}

fn long(address: u64) -> u64 {
    word(address) | word(address + 4) << 32
}
