//! Terminals: the console over the link, and pseudo-terminal pairs.
//!
//! Owns each terminal's line discipline (crate `serix-terminal`), its size, its session and foreground group. Its two
//! ends are programs, which read and write lines, and the other side: the host's terminal, or whoever opened
//! `/dev/ptmx`. Signals are sent and waiters woken once the terminal's lock is free. May use `process`, `signal`,
//! `sched` and, for its console, `io`.
//!
//! Invariant: a session has at most one terminal, and a terminal at most one session.
pub mod console;
pub mod control;
pub mod devices;
mod master;
mod program;
pub mod screen;
pub mod session;
mod size;
mod state;

pub use devices::file_system;
pub use size::Size;
pub use state::{Side, Terminal};
