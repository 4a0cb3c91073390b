//! The TSC clock.
use crate::device::port;
use core::sync::atomic::{AtomicU64, Ordering};

/// TSC ticks per second.
static HERTZ: AtomicU64 = AtomicU64::new(1_000_000_000);
/// Nanoseconds per tick, times 2^32.
static MULTIPLIER: AtomicU64 = AtomicU64::new(1 << 32);
/// Rate of the programmable interval timer (Intel 8254).
const PIT_HERTZ: u64 = 1_193_182;

/// The time stamp counter.
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: RDTSC exists (checked at boot).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds of the TSC clock.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    ((u128::from(ticks()) * u128::from(MULTIPLIER.load(Ordering::Relaxed))) >> 32) as u64
}

/// TSC ticks per second.
#[must_use]
pub fn hertz() -> u64 {
    HERTZ.load(Ordering::Relaxed)
}

/// Nanoseconds per tick, times 2^32.
#[must_use]
pub fn multiplier() -> u64 {
    MULTIPLIER.load(Ordering::Relaxed)
}

/// A clock that the TSC is measured against.
pub enum Reference {
    /// HPET main counter (IA-PC HPET 1.0a, 2.3): registers and femtoseconds per tick.
    Hpet(*mut u64, u64),
    /// Channel 0 of the 8254. Not channel 2: what gates that one is missing where there is no speaker.
    Pit,
}

impl Reference {
    /// Waits so many milliseconds (at most 50).
    pub fn wait(&self, milliseconds: u32) {
        match *self {
            Self::Hpet(registers, period) => {
                let ticks = u64::from(milliseconds) * 1_000_000_000_000 / period;
                // SAFETY: mapped HPET registers; 0x10 enables the counter, 0xF0 is it.
                unsafe {
                    let enable = registers.byte_add(0x10);
                    enable.write_volatile(enable.read_volatile() | 1);
                    let counter = registers.byte_add(0xF0);
                    let start = counter.read_volatile();
                    while counter.read_volatile().wrapping_sub(start) < ticks {
                        core::hint::spin_loop();
                    }
                }
            }
            Self::Pit => {
                let count = (PIT_HERTZ * u64::from(milliseconds) / 1000).min(0xFFFF);
                // SAFETY: port 0x43 programs channel 0 (mode 0, binary), 0x40 is it; its interrupt is masked, nobody else uses it.
                unsafe {
                    port::write8(0x43, 0x30);
                    port::write8(0x40, count as u8);
                    port::write8(0x40, (count >> 8) as u8);
                }
                // How it was programmed; all ones where there is no channel.
                let is_there = pit_status() & 0x3F == 0x30;
                assert!(is_there, "neither an HPET nor an 8254 to measure the clock against");
                while pit_status() & 0x80 == 0 {
                    core::hint::spin_loop();
                }
            }
        }
    }
}

/// The status of channel 0: its output, which is high once it has counted down, in bit 7; below, how it was programmed.
fn pit_status() -> u8 {
    const LATCH_STATUS: u8 = 0xE2;
    // SAFETY: latches and reads the channel's status (Intel 8254, read-back command).
    unsafe {
        port::write8(0x43, LATCH_STATUS);
        port::read8(0x40)
    }
}

/// Measures TSC and APIC timer against a reference.
pub fn calibrate(reference: &Reference) {
    const MILLISECONDS: u32 = 10;
    let start = ticks();
    super::apic::calibrate(MILLISECONDS, || reference.wait(MILLISECONDS));
    let measured = ((ticks() - start) * 1000 / u64::from(MILLISECONDS)).max(1_000_000);
    let hertz = super::topology::tsc_hertz(raw_cpuid::CpuIdReaderNative, measured);
    HERTZ.store(hertz, Ordering::Relaxed);
    MULTIPLIER.store(((1_000_000_000u128 << 32) / u128::from(hertz)) as u64, Ordering::Relaxed);
}
