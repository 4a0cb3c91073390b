//! The local APIC: end of interrupt, one-shot timer.
use crate::address::PhysicalAddress;
use crate::memory::kernel_map::map_device;
use core::sync::atomic::{AtomicU32, Ordering};
use x2apic::lapic::{LocalApic, LocalApicBuilder, TimerDivide, TimerMode, xapic_base};

/// Vector of the timer.
pub const TIMER_VECTOR: u8 = 0x20;
/// First vector for devices.
pub const DEVICE_VECTOR: u8 = 0x30;
const ERROR_VECTOR: u8 = 0xFE;
/// Vector of spurious interrupts, which take no end-of-interrupt.
pub const SPURIOUS_VECTOR: u8 = 0xFF;

/// Ticks of the APIC timer per millisecond.
static TICKS_PER_MS: AtomicU32 = AtomicU32::new(0);

/// This core's local APIC.
pub struct Apic {
    local: LocalApic,
}

// SAFETY: the registers are this core's; the value lives in the kernel's state, used under its lock, on the core that made it.
unsafe impl Send for Apic {}

impl Apic {
    /// Switches on this core's local APIC, in x2APIC mode where the CPU has it; `None` if its registers cannot be mapped.
    #[must_use]
    pub fn enable() -> Option<Self> {
        // SAFETY: the APIC is present (checked with the features); this is its register page.
        let registers = unsafe { map_device(PhysicalAddress(xapic_base()), 4096) }?;
        let mut local = LocalApicBuilder::new()
            .timer_vector(TIMER_VECTOR.into())
            .error_vector(ERROR_VECTOR.into())
            .spurious_vector(SPURIOUS_VECTOR.into())
            .timer_mode(TimerMode::OneShot)
            .timer_divide(TimerDivide::Div1)
            .timer_initial(0)
            .set_xapic_base(registers as u64)
            .build()
            .ok()?;
        mask_legacy_controllers();
        // SAFETY: the vectors have stubs; interrupts are off until the first user context runs.
        unsafe { local.enable() };
        Some(Self { local })
    }

    /// This core's APIC id.
    #[must_use]
    pub fn id(&self) -> u32 {
        // SAFETY: reads a register of this core.
        unsafe { self.local.id() }
    }

    /// Ends the interrupt in service.
    pub fn end_of_interrupt(&mut self) {
        // SAFETY: writes a register of this core, from an interrupt handler.
        unsafe { self.local.end_of_interrupt() };
    }

    /// Counts APIC timer ticks while `wait` lasts, which takes `milliseconds`.
    pub fn calibrate(&mut self, milliseconds: u32, wait: impl FnOnce()) {
        // SAFETY: the timer is masked by no handler yet, but interrupts are off; the count is long enough not to end.
        let ticks = unsafe {
            self.local.set_timer_initial(u32::MAX);
            wait();
            let left = self.local.timer_current();
            self.local.set_timer_initial(0);
            u32::MAX - left
        };
        TICKS_PER_MS.store((ticks / milliseconds).max(1), Ordering::Relaxed);
    }

    /// Asks for a timer interrupt after so many nanoseconds (at least one tick); `None` for none.
    pub fn set_timer(&mut self, nanoseconds: Option<u64>) {
        let per_ms = u64::from(TICKS_PER_MS.load(Ordering::Relaxed));
        let ticks = nanoseconds.map_or(0, |ns| {
            let ns = ns.min(1_000_000_000);
            (ns * per_ms / 1_000_000).clamp(1, u32::MAX.into()) as u32
        });
        // SAFETY: the timer's vector has a handler.
        unsafe { self.local.set_timer_initial(ticks) };
    }
}

/// Masks the two legacy interrupt controllers (8259), whose vectors would collide with exceptions.
fn mask_legacy_controllers() {
    // SAFETY: the data ports of both controllers; all ones masks every line.
    unsafe {
        crate::device::port::write8(0x21, 0xFF);
        crate::device::port::write8(0xA1, 0xFF);
    }
}
