//! The multiboot1 front end: what `qemu -kernel` starts.
//!
//! Boot modules are the boot volume: each is a file named by its string (see
//! [`split_module_string`]). A module named `limine.conf` says what is the kernel and what are its
//! modules; without it the first module is the kernel and the others are its modules.

mod display;
mod entry;
mod info;

use alloc::string::String;
use alloc::vec::Vec;

use serix_boot::boot::{self, Machine, Payload};
use serix_boot::config::{self, base_name, split_module_string};
use serix_boot::error::Error;
use serix_boot::memory::{Kind, MemoryMap};
use serix_boot::protocol::responses::{File, Firmware};
use serix_boot::{acpi, serial};

use info::{Information, Module};

const CONFIG_NAME: &str = "limine.conf";

/// The first Rust code: long mode, all below 4 GiB identity mapped, interrupts off.
extern "sysv64" fn main(magic: u32, information: u32) -> ! {
    let Err(error) = run(magic, information);
    serial::refuse(error)
}

fn run(magic: u32, information: u32) -> Result<core::convert::Infallible, Error> {
    // SAFETY: `entry` passes on what the multiboot loader gave it, and all below 4 GiB is mapped.
    let information = unsafe { Information::new(magic, information)? };
    let modules = information.modules()?;
    let mut memory = MemoryMap::from_firmware(information.memory()?);
    for range in information.extents(&modules).chain([entry::image()]) {
        memory.set(range, Kind::BootloaderReclaimable);
    }
    let framebuffer = display::set_up();
    if let Some(f) = &framebuffer {
        memory.set(f.address..f.address + f.pitch * f.height, Kind::Framebuffer);
    }
    let payload = choose(&modules, information.arguments())?;
    let machine = Machine {
        memory,
        rsdp: acpi::find_rsdp(&info::LowMemory),
        firmware: Firmware::Bios,
        identity_end: 1 << 32,
        framebuffer,
    };
    // SAFETY: 1. `entry` made the state. 2. A BIOS leaves the other CPUs halted. 3. Everything that
    // multiboot handed over, and this program, was taken out of usable memory.
    unsafe { boot::start(machine, payload) }
}

/// The boot entry's files among the modules. `arguments` follow the command line.
fn choose(modules: &[Module], arguments: String) -> Result<Payload, Error> {
    let named = |name: &str| {
        let found = modules.iter().find(|module| split_module_string(&module.string).0 == name);
        found.map(|module| module.bytes.clone())
    };
    let Some(config) = named(CONFIG_NAME) else { return default_payload(modules, arguments) };
    // SAFETY: A module's memory is initialised, identity mapped, and nobody writes to it.
    let entry = config::parse(unsafe { info::bytes(&config) })?;
    let file = |path: &str, string: String| match named(base_name(path)) {
        Some(bytes) => Ok(File { path: path.into(), string, bytes }),
        None => Err(Error::MissingFile(path.into())),
    };
    let mut line = entry.command_line;
    if !arguments.is_empty() {
        line = if line.is_empty() { arguments } else { alloc::format!("{line} {arguments}") };
    }
    let modules = entry.modules.into_iter().map(|module| file(&module.path, module.string));
    Ok(Payload { kernel: file(&entry.kernel, line)?, modules: modules.collect::<Result<_, _>>()? })
}

fn default_payload(modules: &[Module], arguments: String) -> Result<Payload, Error> {
    let file = |module: &Module| {
        let (name, string) = split_module_string(&module.string);
        File { path: alloc::format!("/{name}"), string, bytes: module.bytes.clone() }
    };
    let mut files: Vec<File> = modules.iter().map(file).collect();
    if files.is_empty() {
        return Err(Error::NoKernel);
    }
    let kernel = File { string: arguments, ..files.remove(0) };
    Ok(Payload { kernel, modules: files })
}
