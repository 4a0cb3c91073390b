//! The requests of the Limine boot protocol, and their answers.
use super::BootModule;
use super::memory_map::Region;
use crate::address::{DIRECT_MAP, FrameNumber};
use crate::cpu::local::MAX_CORES;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use limine::BaseRevision;
use limine::file::File;
use limine::framebuffer::MemoryModel;
use limine::memory_map::EntryType;
use limine::request::{
    DateAtBootRequest, ExecutableAddressRequest, ExecutableCmdlineRequest, ExecutableFileRequest,
    FramebufferRequest, HhdmRequest, MemoryMapRequest, ModuleRequest, MpRequest, RequestsEndMarker,
    RequestsStartMarker, RsdpRequest,
};
use serix_abi::start::Framebuffer;

// SAFETY: the linker script keeps these sections in this order; the loader reads and fills them before the kernel runs.
#[unsafe(link_section = ".limine_requests_start")]
#[used]
static START: RequestsStartMarker = RequestsStartMarker::new();

macro_rules! requests {
    ($($name:ident: $type:ty = $value:expr;)+) => { $(
        // SAFETY: see above.
        #[unsafe(link_section = ".limine_requests")]
        #[used]
        static $name: $type = $value;
    )+ };
}

requests! {
    BASE_REVISION: BaseRevision = BaseRevision::with_revision(4);
    HHDM: HhdmRequest = HhdmRequest::new();
    MEMORY_MAP: MemoryMapRequest = MemoryMapRequest::new();
    ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
    FILE: ExecutableFileRequest = ExecutableFileRequest::new();
    COMMAND_LINE: ExecutableCmdlineRequest = ExecutableCmdlineRequest::new();
    MODULES: ModuleRequest = ModuleRequest::new();
    RSDP: RsdpRequest = RsdpRequest::new();
    CORES: MpRequest = MpRequest::new();
    DATE: DateAtBootRequest = DateAtBootRequest::new();
    FRAMEBUFFER: FramebufferRequest = FramebufferRequest::new();
}

// SAFETY: see above.
#[unsafe(link_section = ".limine_requests_end")]
#[used]
static END: RequestsEndMarker = RequestsEndMarker::new();

unsafe extern "C" {
    static kernel_text_start: u8;
    static kernel_text_end: u8;
    static kernel_rodata_start: u8;
    static kernel_rodata_end: u8;
    static kernel_data_start: u8;
    static kernel_data_end: u8;
}

pub(super) fn supported() -> bool {
    BASE_REVISION.is_supported()
}

pub(super) fn direct_map_offset() -> u64 {
    HHDM.get_response().expect("the loader gave no direct map").offset()
}

pub(super) fn memory_map() -> impl Iterator<Item = Region> {
    MEMORY_MAP.get_response().expect("the loader gave no memory map").entries().iter().map(
        |entry| Region {
            base: entry.base,
            length: entry.length,
            usable: entry.entry_type == EntryType::USABLE,
            reclaimable: entry.entry_type == EntryType::BOOTLOADER_RECLAIMABLE,
            files: entry.entry_type == EntryType::EXECUTABLE_AND_MODULES,
            tables: entry.entry_type == EntryType::ACPI_RECLAIMABLE
                || entry.entry_type == EntryType::ACPI_NVS,
        },
    )
}

/// Physical and virtual address of the image.
pub(super) fn image_address() -> (u64, u64) {
    let response = ADDRESS.get_response().expect("the loader did not say where the kernel is");
    (response.physical_base(), response.virtual_base())
}

/// Sections of the image: start, end, writable, executable.
pub(super) fn image_sections() -> [(u64, u64, bool, bool); 3] {
    let address = |symbol: *const u8| symbol as u64;
    [
        (address(&raw const kernel_text_start), address(&raw const kernel_text_end), false, true),
        (
            address(&raw const kernel_rodata_start),
            address(&raw const kernel_rodata_end),
            false,
            false,
        ),
        (address(&raw const kernel_data_start), address(&raw const kernel_data_end), true, false),
    ]
}

fn physical(pointer: *const u8) -> u64 {
    (pointer as u64).checked_sub(DIRECT_MAP).expect("a file outside the direct map")
}

fn file_name(file: &File) -> String {
    let path = String::from_utf8_lossy(file.path().to_bytes()).into_owned();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

pub(super) fn modules() -> Vec<BootModule> {
    let files = MODULES.get_response().map_or(&[][..], |response| response.modules());
    files
        .iter()
        .map(|file| {
            let start = physical(file.addr());
            assert!(start.is_multiple_of(4096), "a module is not page aligned");
            BootModule {
                name: file_name(file),
                frame: FrameNumber((start >> 12) as u32),
                size: file.size() as usize,
            }
        })
        .collect()
}

pub(super) fn kernel_file() -> &'static [u8] {
    FILE.get_response().map_or(&[], |response| {
        let file = response.file();
        // SAFETY: the loader put the file there; `memory_map::ranges` keeps its frames from being handed out.
        unsafe { core::slice::from_raw_parts(file.addr(), file.size() as usize) }
    })
}

pub(super) fn command_line() -> String {
    COMMAND_LINE.get_response().map_or_else(String::new, |response| {
        String::from_utf8_lossy(response.cmdline().to_bytes()).into_owned()
    })
}

/// Address of the root ACPI table pointer.
pub(super) fn rsdp() -> Option<u64> {
    RSDP.get_response().map(|response| response.address() as u64)
}

/// The first framebuffer that is pixels of red, green and blue: address in the direct map, and how the picture lies there.
pub(super) fn framebuffer() -> Option<(u64, Framebuffer)> {
    let response = FRAMEBUFFER.get_response()?;
    let found = response.framebuffers().find(|found| found.memory_model() == MemoryModel::RGB)?;
    let layout = Framebuffer {
        width: u32::try_from(found.width()).ok()?,
        height: u32::try_from(found.height()).ok()?,
        pitch: u32::try_from(found.pitch()).ok()?,
        bits_per_pixel: found.bpp(),
        red: [found.red_mask_size(), found.red_mask_shift()],
        green: [found.green_mask_size(), found.green_mask_shift()],
        blue: [found.blue_mask_size(), found.blue_mask_shift()],
        reserved: 0,
    };
    Some((found.addr() as u64, layout))
}

pub(super) fn epoch_seconds() -> u64 {
    DATE.get_response().map_or(0, |response| response.timestamp().as_secs())
}

/// APIC ids of the cores that run the kernel, the boot core first.
pub(super) fn cores() -> Vec<u32> {
    let Some(response) = CORES.get_response() else { return alloc::vec![0] };
    let boot = response.bsp_lapic_id();
    let others = response.cpus().iter().map(|cpu| cpu.lapic_id).filter(|id| *id != boot);
    core::iter::once(boot).chain(others).take(core_count()).collect()
}

/// The kernel's top table, for cores that leave the loader's.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// How many cores the loader found, at most [`MAX_CORES`].
pub(super) fn core_count() -> usize {
    CORES.get_response().map_or(1, |response| response.cpus().len().clamp(1, MAX_CORES))
}

/// Takes the other cores out of the loader's memory: each goes to [`super::cores::arrive`] with its number, on its own
/// kernel stack. Cores beyond [`MAX_CORES`] stay with the loader, which is told nothing.
pub(super) fn call_other_cores() {
    let Some(response) = CORES.get_response() else { return };
    ROOT.store(crate::memory::kernel_map::kernel_root().start().0, Ordering::SeqCst);
    let boot = response.bsp_lapic_id();
    let others = response.cpus().iter().filter(|cpu| cpu.lapic_id != boot);
    for (number, cpu) in (1..core_count() as u64).zip(others) {
        cpu.extra.store(number, Ordering::SeqCst);
        cpu.goto_address.write(leave_loader);
    }
}

/// First instructions of a core in the kernel: from the loader's page tables and stack to the kernel's.
#[unsafe(naked)]
unsafe extern "C" fn leave_loader(_cpu: &limine::mp::Cpu) -> ! {
    naked_asm!(
        "cli",
        "mov rdi, [rdi + {extra}]",
        // NXE: the kernel's tables use the no-execute bit.
        "mov ecx, 0xC0000080",
        "rdmsr",
        "or eax, 0x800",
        "wrmsr",
        "mov rax, [rip + {root}]",
        "mov cr3, rax",
        "mov rax, rdi",
        "imul rax, rax, {stride}",
        "mov rsp, {first_top}",
        "add rsp, rax",
        "xor ebp, ebp",
        "call {arrive}",
        extra = const core::mem::offset_of!(limine::mp::Cpu, extra),
        root = sym ROOT,
        stride = const super::cores::STRIDE,
        first_top = const super::cores::stack_top(0),
        arrive = sym super::cores::arrive,
    )
}
