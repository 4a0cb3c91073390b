//! The kernel log, panics and symbols.
pub(crate) mod log;
mod panic;
pub(crate) mod symbols;

/// Writes a line to the kernel log.
macro_rules! log_line {
    ($($argument:tt)*) => { $crate::debug::log::line(format_args!($($argument)*)) };
}
pub(crate) use log_line;
