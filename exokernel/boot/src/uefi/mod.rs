//! The UEFI front end: `BOOTX64.EFI`.
//!
//! The volume that the firmware loaded it from is the boot volume: `limine.conf` and all files come
//! from there. Files are read while boot services run; then these end, and the machine is handed to
//! [`boot::start`] as the multiboot front end does it.
//!
//! Invariant: what this front end allocates is of UEFI's loader types, below 4 GiB where the core has
//! to reach it, and no protocol is open when boot services end.

mod graphics;
mod memory;
mod volume;

use alloc::vec::Vec;
use core::arch::asm;
use core::ffi::c_void;
use core::fmt::Write;
use core::time::Duration;

use serix_boot::boot::{self, Machine, Payload};
use serix_boot::config;
use serix_boot::error::Error;
use serix_boot::memory::Kind;
use serix_boot::protocol::responses::{File, Firmware};
use serix_boot::serial;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Handle, Status, system};

use volume::Volume;

/// Where `limine.conf` is looked for, in Limine's order.
const CONFIG_PATHS: [&str; 5] = [
    "/EFI/BOOT/limine.conf",
    "/boot/limine/limine.conf",
    "/boot/limine.conf",
    "/limine/limine.conf",
    "/limine.conf",
];
/// How long a refusal stays on the screen before the firmware goes on.
const REFUSAL_SHOWN: Duration = Duration::from_secs(5);

/// What the firmware calls: EFI_IMAGE_ENTRY_POINT.
#[unsafe(no_mangle)]
extern "efiapi" fn efi_main(image: Handle, table: *const c_void) -> Status {
    // SAFETY: The firmware passes this image's handle and its system table, once.
    unsafe {
        uefi::boot::set_image_handle(image);
        uefi::table::set_system_table(table.cast());
    }
    let payload = match load() {
        Ok(payload) => payload,
        Err(error) => return refuse(&error),
    };
    let rsdp = find_rsdp();
    let framebuffer = graphics::find();
    // SAFETY: No protocol is open, and the heap is this program's own.
    let mut memory = memory::collect(unsafe { uefi::boot::exit_boot_services(None) });
    // SAFETY: The kernel starts with interrupts off; nothing here needs one.
    unsafe { asm!("cli", options(nomem, nostack)) };
    if let Some(f) = &framebuffer {
        memory.map.set(f.address..f.address + f.pitch * f.height, Kind::Framebuffer);
    }
    let machine = Machine {
        memory: memory.map,
        rsdp,
        firmware: Firmware::Uefi,
        framebuffer,
        identity_end: memory.end,
    };
    // SAFETY: 1. UEFI runs its applications at privilege level 0 in long mode, and no other CPU once
    // boot services are over. 2. It maps all memory in its map identically. 3. `memory` tells
    // usable memory from what this program, its files, stack and page tables take.
    let Err(error) = unsafe { boot::start(machine, payload) };
    serial::refuse(error)
}

fn load() -> Result<Payload, Error> {
    let mut volume = Volume::open()?;
    let mut config = None;
    for path in CONFIG_PATHS {
        if let Some(bytes) = volume.read(path)? {
            config = Some(bytes);
            break;
        }
    }
    let config = config.ok_or(Error::MissingFile("/limine.conf".into()))?;
    let entry = config::parse(volume::bytes(&config))?;
    let kernel = file(&mut volume, entry.kernel, entry.command_line)?;
    boot::check_kernel(volume::bytes(&kernel.bytes))?;
    let modules = entry.modules.into_iter().map(|m| file(&mut volume, m.path, m.string));
    Ok(Payload { modules: modules.collect::<Result<Vec<File>, Error>>()?, kernel })
}

fn file(
    volume: &mut Volume,
    path: alloc::string::String,
    string: alloc::string::String,
) -> Result<File, Error> {
    match volume.read(&path)? {
        Some(bytes) => Ok(File { path, string, bytes }),
        None => Err(Error::MissingFile(path)),
    }
}

/// The RSDP of ACPI 2 and newer, or of ACPI 1.
fn find_rsdp() -> Option<u64> {
    let guids = [ConfigTableEntry::ACPI2_GUID, ConfigTableEntry::ACPI_GUID];
    system::with_config_table(|tables| {
        let find = |guid| tables.iter().find(|table| table.guid == guid);
        guids.into_iter().find_map(find).map(|table| table.address as u64)
    })
}

/// Says on screen and serial port why nothing is started, and gives the machine back.
fn refuse(error: &Error) -> Status {
    serial::say(error);
    system::with_stdout(|screen| {
        // The message went to the serial port already.
        let _ = writeln!(screen, "loader: {error}");
    });
    serial::end_qemu();
    uefi::boot::stall(REFUSAL_SHOWN);
    Status::LOAD_ERROR
}
