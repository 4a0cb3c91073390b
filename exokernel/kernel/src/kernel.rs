//! The kernel's state, whole, under one lock.
use crate::cpu::core::{Core, Cores};
use crate::cpu::dispatcher::Dispatcher;
use crate::disk::Devices;
use crate::disk::ring::Ring;
use crate::domain::Resources;
use crate::interrupt::Line;
use crate::ipc::event::Event;
use crate::ipc::gate::Gate;
use crate::memory::environment::Environment;
use crate::memory::information::Check;
use crate::memory::subtree::Subtree;
use crate::object::Table;
use alloc::vec::Vec;
use serix_core::deadline::Deadlines;
use serix_core::grant::GrantTree;
use serix_core::seal::Sealer;
use serix_hal::cpu::trap::GateEntry;
use serix_hal::cpu::{local, tlb, trap};
use serix_hal::memory::info::SharedInfo;
use spin::RelaxStrategy;
use spin::mutex::ticket::{TicketMutex, TicketMutexGuard};

/// How a native call that succeeded ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// It returns a value to its caller.
    Value(u64),
    /// Another dispatcher may have to run; the caller's reply is in its context.
    Switch,
    /// This dispatcher goes on in the caller's slice.
    Enter(u32),
    /// A server was entered, to be called through this gate with the caller's words and this badge.
    Call { gate: GateEntry, badge: u64 },
    /// A client was entered, to go on with the caller's words as the reply to its call.
    Reply,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// `check`: compare the ledger with the page tables before the machine ends.
    pub(crate) check: bool,
    /// `panic`: panic instead of starting the first domain, for testing what a panic looks like.
    pub(crate) panic: bool,
    /// `histograms`: keep histograms of what takes how long.
    pub(crate) histograms: bool,
}

impl Options {
    pub(crate) fn parse(command_line: &str) -> Self {
        let has = |word: &str| command_line.split_ascii_whitespace().any(|other| other == word);
        Self { check: has("check"), panic: has("panic"), histograms: has("histograms") }
    }
}

/// All of it.
pub(crate) struct Kernel {
    pub(crate) resources: Resources,
    pub(crate) grants: GrantTree,
    pub(crate) sealer: Sealer,
    pub(crate) environments: Table<Environment>,
    pub(crate) subtrees: Table<Subtree>,
    pub(crate) dispatchers: Table<Dispatcher>,
    pub(crate) events: Table<Event>,
    pub(crate) gates: Table<Gate>,
    pub(crate) rings: Table<Ring>,
    pub(crate) devices: Devices,
    /// Interrupt lines that ring 3 may have, by vector.
    pub(crate) lines: Vec<Line>,
    pub(crate) deadlines: Deadlines<'static>,
    pub(crate) cores: Cores,
    pub(crate) info: SharedInfo,
    pub(crate) check: Check,
    /// Words of the command line.
    pub(crate) options: Options,
    /// Domains that end by force in this step, one for another's frames.
    pub(crate) forced: u32,
    /// Serial number of the next dispatcher.
    pub(crate) next_serial: u64,
    /// The first domain: when it ends, the machine does.
    pub(crate) first_domain: u32,
}

impl Kernel {
    /// The core that this runs on.
    #[inline(always)]
    pub(crate) fn core(&self) -> &Core {
        &self.cores[local::core_number()]
    }

    /// As [`Self::core`].
    #[inline(always)]
    pub(crate) fn core_mut(&mut self) -> &mut Core {
        &mut self.cores[local::core_number()]
    }
}

/// What a core does while another has the lock: it forgets the translations that the holder wants forgotten.
struct Serve;

impl RelaxStrategy for Serve {
    fn relax() {
        tlb::serve();
        core::hint::spin_loop();
    }
}

/// The lock goes round in the order in which it was asked for, so no core waits for ever.
static KERNEL: TicketMutex<Option<Kernel>, Serve> = TicketMutex::new(None);

/// The lock, held. Before it is let go, the other cores have forgotten what has changed.
pub(crate) struct Locked(TicketMutexGuard<'static, Option<Kernel>>);

impl Drop for Locked {
    #[inline(always)]
    fn drop(&mut self) {
        tlb::finish();
    }
}

impl core::ops::Deref for Locked {
    type Target = Kernel;
    fn deref(&self) -> &Kernel {
        self.0.as_ref().expect("the kernel was set up before ring 3")
    }
}

impl core::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut Kernel {
        self.0.as_mut().expect("the kernel was set up before ring 3")
    }
}

/// Sets the kernel up.
pub(crate) fn install(kernel: Kernel) {
    *KERNEL.lock() = Some(kernel);
}

/// Takes the lock. Interrupts are off in the kernel, so whoever holds it goes on.
#[inline(always)]
pub(crate) fn lock() -> Locked {
    Locked(KERNEL.lock())
}

/// Leaves the kernel for a dispatcher that goes on in the slice of the one that called.
#[inline(always)]
pub(crate) fn run_in_slice(mut kernel: Locked, core: usize, next: u32) -> ! {
    kernel.enter_in_slice(core, next);
    drop(kernel);
    trap::resume();
}

/// Leaves the kernel into a gate.
#[inline(always)]
pub(crate) fn call(
    mut kernel: Locked,
    core: usize,
    gate: GateEntry,
    badge: u64,
    words: [u64; 4],
) -> ! {
    kernel.note_deadline(core);
    drop(kernel);
    trap::enter_gate(gate, badge, words)
}

/// Leaves the kernel back from a gate.
#[inline(always)]
pub(crate) fn reply(kernel: Locked, words: [u64; 4]) -> ! {
    drop(kernel);
    trap::leave_gate(words)
}

/// Leaves the kernel for whoever should run; waits for an interrupt while nobody should.
pub(crate) fn run(mut kernel: Locked) -> ! {
    loop {
        if kernel.schedule() {
            drop(kernel);
            trap::resume();
        }
        kernel.idle();
        drop(kernel);
        trap::wait_for_interrupt();
        kernel = lock();
    }
}
