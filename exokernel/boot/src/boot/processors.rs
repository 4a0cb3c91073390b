//! The CPUs: who they are, and their start.

use alloc::vec::Vec;
use core::slice;

use crate::acpi::{Acpi, Processor};
use crate::cpu::{self, Apic};
use crate::error::Error;
use crate::protocol::HHDM;
use crate::protocol::arena::Arena;
use crate::protocol::responses::{Processors, place_processor};
use crate::serial;
use crate::smp::{Environment, Record, Starter};

use super::Stacks;

/// The usable CPUs.
pub(super) struct Cpus {
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
    pub(super) unsafe fn find(acpi: &Acpi, flags: u64) -> Cpus {
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

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// Starts all but the boot CPU. Who does not come up is left out, and named on COM1.
    ///
    /// # Safety
    /// 1. `trampoline` and `environment` are as [`Starter::new`] wants them. 2. There is a stack for
    ///    each CPU, of which the first is the boot CPU's. 3. No other CPU is needed.
    pub(super) unsafe fn start(
        self,
        arena: &mut Arena<'_>,
        trampoline: Option<u64>,
        environment: Environment,
        stacks: &Stacks,
    ) -> Result<Processors, Error> {
        let boot_apic_id = self.apic.id();
        let place = |processor: &Processor| place_processor(arena, *processor);
        let entries = self.list.iter().map(place).collect::<Result<Vec<u64>, Error>>()?;
        let records = self.records(boot_apic_id, &entries, stacks);
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
    fn records(&self, boot: u32, entries: &[u64], stacks: &Stacks) -> Vec<u64> {
        let others = self.list.iter().zip(entries).filter(|(cpu, _)| cpu.apic_id != boot);
        let record = |(index, (cpu, entry)): (usize, (&Processor, &u64))| {
            [u64::from(cpu.apic_id), *entry, stacks.end(index + 1)]
        };
        others.enumerate().flat_map(record).collect()
    }
}
