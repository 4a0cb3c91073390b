//! The machine: QEMU with its arguments, its folder, its log and its end.

mod accelerator;
mod arguments;
mod folder;
pub(crate) mod launch;
mod log;
mod monitor;
mod qemu;

pub(crate) use accelerator::{Accelerator, Choice};
pub(crate) use arguments::{Board, DiskBus, Display, Drive, Machine, Start};
pub(crate) use folder::RunFolder;
pub(crate) use log::{Follower, commit, find_line, session_text, write_header};
pub(crate) use monitor::Monitor;
pub(crate) use qemu::{End, Qemu, end_of};
