//! Local APICs: end of interrupt, one-shot timer, interrupts from core to core.
use super::local::{MAX_CORES, core_number};
use super::registers::read_msr;
use crate::address::PhysicalAddress;
use crate::memory::kernel_map::map_device;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};
use x2apic::lapic::{LocalApic, LocalApicBuilder, TimerDivide, TimerMode, xapic_base};

/// Vector of the timer.
pub const TIMER_VECTOR: u8 = 0x20;
/// Vector by which a core tells another to look who should run.
pub const RESCHEDULE_VECTOR: u8 = 0x21;
/// Vector by which a core makes another forget translations.
pub const SHOOTDOWN_VECTOR: u8 = 0x22;
/// First vector for devices.
pub const DEVICE_VECTOR: u8 = 0x30;
/// First of [`LINES`] vectors for the interrupt lines of ring 3.
pub const LINE_VECTOR: u8 = 0x40;
/// Interrupt lines that ring 3 can have.
pub const LINES: usize = 16;
const ERROR_VECTOR: u8 = 0xFE;
/// Vector of spurious interrupts, which take no end-of-interrupt.
pub const SPURIOUS_VECTOR: u8 = 0xFF;

/// The register that says where the APIC is, and in which mode.
const APIC_BASE: u32 = 0x1B;

/// Ticks of the APIC timer per millisecond.
static TICKS_PER_MS: AtomicU32 = AtomicU32::new(0);

/// The local APIC of each core, which that core alone uses.
struct Locals(UnsafeCell<[Option<LocalApic>; MAX_CORES]>);
// SAFETY: each core uses its own element only, with interrupts off.
unsafe impl Sync for Locals {}
static LOCALS: Locals = Locals(UnsafeCell::new([const { None }; MAX_CORES]));
/// APIC ids by core number.
static IDS: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];

fn local() -> &'static mut LocalApic {
    // SAFETY: this core's own element; callers do not keep it across anything that takes it again.
    let local = unsafe { &mut (*LOCALS.0.get())[core_number()] };
    local.as_mut().expect("the core's local APIC was enabled")
}

/// Says which APIC id a core has, before anything is sent to it.
pub fn set_id(core: usize, id: u32) {
    IDS[core].store(id, Ordering::SeqCst);
}

/// APIC id of a core.
#[must_use]
pub fn id(core: usize) -> u32 {
    IDS[core].load(Ordering::Relaxed)
}

/// Switches on this core's local APIC, in x2APIC mode where the CPU has it.
///
/// # Panics
/// If its registers cannot be mapped.
pub fn enable() {
    // SAFETY: the APIC is present (checked with the features); this is its register page.
    let registers = unsafe { map_device(PhysicalAddress(xapic_base()), 4096) };
    let registers = registers.expect("room for the APIC's registers");
    let mut local = LocalApicBuilder::new()
        .timer_vector(TIMER_VECTOR.into())
        .error_vector(ERROR_VECTOR.into())
        .spurious_vector(SPURIOUS_VECTOR.into())
        .timer_mode(TimerMode::OneShot)
        .timer_divide(TimerDivide::Div1)
        .timer_initial(0)
        .set_xapic_base(registers as u64)
        .build()
        .expect("all vectors are set");
    // SAFETY: the vectors have stubs; interrupts are off until the first user context runs. The element is this core's.
    unsafe {
        local.enable();
        (*LOCALS.0.get())[core_number()] = Some(local);
    }
    if core_number() == 0 {
        mask_legacy_controllers();
    }
}

/// Whether the local APIC is in x2APIC mode (Intel SDM vol. 3A, 11.12.1: bit 10 of `IA32_APIC_BASE`).
#[must_use]
pub fn is_x2apic() -> bool {
    // SAFETY: the register exists where there is an APIC.
    unsafe { read_msr(APIC_BASE) & 1 << 10 != 0 }
}

/// Sends an interrupt to another core.
pub fn send(core: usize, vector: u8) {
    let (id, x2apic) = (id(core), is_x2apic());
    // In xAPIC mode the destination is in the upper byte of its register.
    let destination = if x2apic { id } else { id << 24 };
    // SAFETY: the vectors sent have handlers on every core. An xAPIC takes a command when the last one is out (Intel SDM
    // vol. 3A, 11.6.1).
    unsafe {
        while !x2apic && local().get_ipi_delivery_status() {
            core::hint::spin_loop();
        }
        local().send_ipi(vector, destination);
    }
}

/// Ends the interrupt in service.
pub fn end_of_interrupt() {
    // SAFETY: writes a register of this core, from an interrupt handler.
    unsafe { local().end_of_interrupt() };
}

/// Counts APIC timer ticks while `wait` lasts, which takes `milliseconds`.
pub(crate) fn calibrate(milliseconds: u32, wait: impl FnOnce()) {
    // SAFETY: the timer is masked by no handler yet, but interrupts are off; the count is long enough not to end.
    let ticks = unsafe {
        local().set_timer_initial(u32::MAX);
        wait();
        let left = local().timer_current();
        local().set_timer_initial(0);
        u32::MAX - left
    };
    TICKS_PER_MS.store((ticks / milliseconds).max(1), Ordering::Relaxed);
}

/// Asks for a timer interrupt on this core after so many nanoseconds (at least one tick); `None` for none.
pub fn set_timer(nanoseconds: Option<u64>) {
    let per_ms = u64::from(TICKS_PER_MS.load(Ordering::Relaxed));
    let ticks = nanoseconds.map_or(0, |ns| {
        let ns = ns.min(1_000_000_000);
        (ns * per_ms / 1_000_000).clamp(1, u32::MAX.into()) as u32
    });
    // SAFETY: the timer's vector has a handler.
    unsafe { local().set_timer_initial(ticks) };
}

/// Masks the two legacy interrupt controllers (8259), whose vectors would collide with exceptions.
fn mask_legacy_controllers() {
    // SAFETY: the data ports of both controllers; all ones masks every line.
    unsafe {
        crate::device::port::write8(0x21, 0xFF);
        crate::device::port::write8(0xA1, 0xFF);
    }
}
