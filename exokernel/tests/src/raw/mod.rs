//! The kernel's raw interface, entry stubs, and probes of memory: the only unsafe code of the tests.
//!
//! Invariant: nothing here changes memory that Rust code uses. [`call`] refuses arguments that would; probes
//! touch only addresses outside of the image, whatever is mapped there.
#![allow(unsafe_code)]

mod attack;
mod entry;

mod guard;
mod probe;
mod server;
mod syscall;
mod worker;

pub use attack::{Attack, attack_code};
pub use entry::{
    agent_code, code_address, entries, fault_stub, foreign_stub, manifest_text, open, set_current,
};
pub use guard::{NOWHERE, harms};
pub use probe::{
    Fault, execute, faults, fs_base, gs_base_across_entries, now_ns, pass_time, read,
    read_with_flags, set_fs_base, vectors, vectors_survive, write,
};
pub use server::{
    ENTRY_SIZE, GAP, NEXT, ROUNDS, Server, gate_call, gate_call_measured, server_code,
};
pub use syscall::{
    Registers, call, call_number, call_with_flags, call_with_registers, dispatcher, dispatcher_at,
    environment_measured, foreign, foreign_with_flags, known_loop, measured, measured_whole,
    ping_measured, registers_after,
};

pub use worker::{
    CREW, Job, Place, WORKERS, Worker, WorkerFault, core_number, crew, worker_read, worker_write,
};

/// What a program is entered by: defines `_start` and the panic handler around a function, which gets the start block and
/// answers the status. On the host it is a program that says where it belongs.
#[macro_export]
macro_rules! program {
    ($session:ident) => {
        #[cfg(target_os = "none")]
        mod entry {
            //! Entry and panic.
            #![allow(unsafe_code)]

            core::arch::global_asm!(
                ".global _start",
                "_start:",
                "xor ebp, ebp",
                "call {start}",
                "ud2",
                start = sym start,
            );

            extern "C" fn start(start: &'static $crate::raw::SessionStart) -> ! {
                $crate::raw::exit(super::$session(start))
            }

            #[panic_handler]
            fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
                $crate::log::line(format_args!("FAIL panic: {info}"));
                $crate::raw::exit(101)
            }
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _ = $session;
            extern crate std;
            std::eprintln!("a session of the Serix exokernel; it does not run here");
            std::process::exit(1);
        }
    };
}

pub use serix_session::SessionStart;
pub use serix_sys::call::exit;
