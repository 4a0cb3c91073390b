//! I/O APICs: from a line to a vector of a core (Intel 82093AA; each line's entry of two registers is in section 3.2.4).
//!
//! Invariant: a line is masked unless somebody called [`unmask`]. Callers hold the kernel lock, or are at boot: choosing a register and
//! using it are two steps.
use crate::address::PhysicalAddress;
use crate::boot::acpi::{Interrupts, Line};
use crate::memory::kernel_map::map_device;
use spin::Mutex;

const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const LOW: u32 = 1 << 13;

/// A controller: registers, first line and how many.
#[derive(Clone, Copy)]
struct Controller {
    registers: *mut u32,
    first: u32,
    lines: u32,
}

// SAFETY: the registers are mapped for ever, on every core; the lock around them orders their use.
unsafe impl Send for Controller {}

static CONTROLLERS: Mutex<[Option<Controller>; 8]> = Mutex::new([None; 8]);

impl Controller {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: mapped registers; the index register chooses what the window shows.
        unsafe {
            self.registers.write_volatile(register);
            self.registers.byte_add(0x10).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as in `read`; an entry says which of the kernel's vectors a line raises.
        unsafe {
            self.registers.write_volatile(register);
            self.registers.byte_add(0x10).write_volatile(value);
        }
    }
}

/// Finds the controllers that the tables name, and masks all their lines.
pub fn init(interrupts: &Interrupts) {
    let mut known = CONTROLLERS.lock();
    for (place, (address, first)) in known.iter_mut().zip(interrupts.controllers.iter().flatten()) {
        // SAFETY: the tables say that its registers are there.
        let registers = unsafe { map_device(PhysicalAddress(*address), 0x20) };
        let Some(registers) = registers else { continue };
        let mut found = Controller { registers: registers.cast(), first: *first, lines: 0 };
        found.lines = (found.read(VERSION) >> 16 & 0xFF) + 1;
        (0..found.lines).for_each(|pin| found.write(FIRST_ENTRY + 2 * pin, MASKED));
        *place = Some(found);
    }
}

/// The controller of a line, and the register of its entry's lower half.
fn with_entry(line: u32, change: impl FnOnce(&Controller, u32)) -> bool {
    let known = CONTROLLERS.lock();
    let has = |at: &&Controller| (at.first..at.first + at.lines).contains(&line);
    let Some(controller) = known.iter().flatten().find(has) else { return false };
    change(controller, FIRST_ENTRY + 2 * (line - controller.first));
    true
}

/// Directs a line to a vector of the core with this APIC id, masked; false if there is no such line.
pub fn route(line: &Line, vector: u8, apic_id: u32) -> bool {
    let level = if line.level { LEVEL } else { 0 };
    let low = if line.low { LOW } else { 0 };
    with_entry(line.number, |controller, register| {
        controller.write(register, MASKED);
        controller.write(register + 1, apic_id << 24);
        controller.write(register, u32::from(vector) | level | low | MASKED);
    })
}

/// Keeps a line from signalling.
pub fn mask(line: u32) {
    with_entry(line, |controller, register| {
        controller.write(register, controller.read(register) | MASKED);
    });
}

/// Lets a line signal that was routed.
pub fn unmask(line: u32) {
    with_entry(line, |controller, register| {
        controller.write(register, controller.read(register) & !MASKED);
    });
}
